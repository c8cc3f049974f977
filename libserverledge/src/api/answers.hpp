#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// A JSON answer; the newline that ends it on the wire is added.
HttpResponse json_answer(int status, std::string body);

/// `{"<key>": "<value>"}`: what most routes answer.
HttpResponse named_answer(std::string_view key, std::string_view value);

/// `{"Error": "<message>"}` with the status of the code; 429 and 503 tell by Retry-After when to try again.
HttpResponse error_answer(const Error& error);

/// 200 when the execution succeeded, 504 when it ran out of time, 500 for any other failure.
int report_status(const ExecutionReport& report);

}  // namespace serverledge
