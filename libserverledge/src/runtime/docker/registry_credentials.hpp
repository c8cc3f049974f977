#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// The registry that an image's name leads to: "docker.io", "registry.example.org:5000".
std::string registry_of(std::string_view reference);

/// What an engine is to show to the registry of an image (the header X-Registry-Auth): the credentials that
/// `docker login` has left in the config.json of that folder; empty if there are none. Helpers that keep
/// credentials elsewhere are not run. kInvalid if the file is there and cannot be read as what it is.
Result<std::string> registry_auth(const std::string& folder, std::string_view reference);

}  // namespace serverledge
