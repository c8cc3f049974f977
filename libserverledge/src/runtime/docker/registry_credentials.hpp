#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The registry that an image's name leads to: "docker.io", "registry.example.org:5000".
std::string registry_of(std::string_view reference);

/// What an engine is to show to the registry of an image (the header X-Registry-Auth), according to the
/// config.json of that folder: what the credential helper of that registry (`credHelpers`), or of all
/// (`credsStore`), keeps of it, else what `docker login` has left in the file itself; empty if there is none.
/// A helper may take ten seconds, and no longer than until `deadline`. kInvalid if the file is there and
/// cannot be read as what it is; the helper's error if it fails and the file holds nothing either.
Result<std::string> registry_auth(const std::string& folder, std::string_view reference, TimePoint deadline,
                                  Clock& clock);

}  // namespace serverledge
