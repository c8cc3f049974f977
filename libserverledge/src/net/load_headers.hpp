#pragma once

#include <optional>

#include "serverledge/core/resources.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// What was free at the node that gave an answer, by the headers of the contract (Serverledge-Free-Mem in MB,
/// Serverledge-Free-CPU in cores); nothing if they are missing or no numbers.
std::optional<Resources> available_resources(const HttpHeaders& headers);

}  // namespace serverledge
