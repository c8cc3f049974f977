#pragma once

#include <optional>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What is shown to a registry: a token, or else user and password.
struct RegistryCredentials {
  std::string user;
  std::string password;
  std::string token;
};

/// Asks the program docker-credential-<name>, looked for on the PATH, what it keeps of a server; nothing if
/// it keeps none. It is started without a shell, without a terminal and with no descriptor of ours, and
/// killed with all that it has started when it takes longer than until `deadline` or says too much. kInvalid
/// for a name that is no program's; kUnavailable if it cannot be run, fails or says what is no answer;
/// kDeadline.
Result<std::optional<RegistryCredentials>> ask_credential_helper(const std::string& name,
                                                                 const std::string& server,
                                                                 TimePoint deadline, Clock& clock);

}  // namespace serverledge
