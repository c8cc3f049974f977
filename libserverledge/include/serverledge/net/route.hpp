#pragma once

#include <string>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// The address of this host from which it reaches that one (a name or an address), as the routing table has
/// it now; nothing is sent. kUnavailable if there is no route, or the name cannot be resolved.
Result<std::string> address_towards(const std::string& host);

/// Whether an address can only be reached on this host.
bool is_loopback(const std::string& address);

}  // namespace serverledge
