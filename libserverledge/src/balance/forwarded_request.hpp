#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/resources.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// The request as it goes to a node, taken from the caller's: without what belongs to the caller's
/// connection, and with its address in X-Forwarded-For. The body is moved.
HttpRequest forwarded_request(HttpRequest& received);

/// Makes of a node's answer that of the balancer: what tells of one node's load is not for callers, and what
/// belongs to the node's connection ends here. Returns what was free at the node, if it said so.
std::optional<Resources> strip_answer(HttpResponse& answer);

/// `{"Error": "<message>"}`; 503 tells by Retry-After when to try again.
HttpResponse balancer_refusal(int status, std::string_view message);

/// What the body of a call says of its patience; zero if it says nothing, or is no JSON: the node will tell.
Duration longest_response_time(std::string_view body);

/// The function that the body of /prewarm names; empty if it names none.
std::string prewarmed_function(std::string_view body);

}  // namespace serverledge
