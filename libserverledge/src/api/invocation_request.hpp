#pragma once

#include <string>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Reads the body of `/invoke` into an invocation, which takes it over: the params stay where they are in it.
/// kInvalid naming the field; the invocation must not be run then.
Result<void> read_invocation(std::string body, Invocation& invocation);

}  // namespace serverledge
