#pragma once

#include <string>
#include <string_view>

namespace serverledge::bench {

/// The bytes of a request; a body is sent as JSON.
std::string http_request(std::string_view host, int port, std::string_view method, std::string_view path,
                         std::string_view body);

/// The body of an invocation with these parameters, a JSON object.
std::string invocation_body(std::string_view params);

}  // namespace serverledge::bench
