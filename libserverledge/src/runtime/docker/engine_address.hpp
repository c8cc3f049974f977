#pragma once

#include <string_view>

#include "serverledge/core/result.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// Where an engine's API is, from a text as in DOCKER_HOST: "unix:///var/run/docker.sock", "tcp://host:2375",
/// "http://host:2375". kInvalid for others, TLS and SSH among them.
Result<HttpTarget> engine_address(std::string_view text);

}  // namespace serverledge
