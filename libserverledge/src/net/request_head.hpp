#pragma once

#include <string>

#include "serverledge/core/result.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// Whether a request would be read as what it says: kInvalid for a method, path or header that cannot be
/// sent.
Result<void> check_request(const HttpRequest& request);

/// What becomes of the connection after the answer.
enum class AfterAnswer { kKept, kClosed };

/// The request line and headers of a request that was checked. Host, Content-Length and Connection are ours.
std::string request_head(const HttpTarget& target, const HttpRequest& request, AfterAnswer after);

}  // namespace serverledge
