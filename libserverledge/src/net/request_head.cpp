#include "net/request_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "net/http_head.hpp"

namespace serverledge {

Result<void> check_request(const HttpRequest& request) {
  const auto visible = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  };
  const bool good = is_token(request.method) && !request.path.empty() && request.path.front() == '/' &&
                    visible(request.path) && visible(request.query) &&
                    std::all_of(request.headers.begin(), request.headers.end(), [](const HttpHeader& field) {
                      return is_token(field.name) && is_field_value(field.value);
                    });
  if (good) return {};
  return Unexpected(ErrorCode::kInvalid, "a method, path or header that cannot be sent");
}

std::string request_head(const HttpTarget& target, const HttpRequest& request, AfterAnswer after) {
  constexpr std::size_t kUsual = 512;
  std::string head;
  head.reserve(kUsual);
  head.append(request.method).append(" ").append(request.path);
  if (!request.query.empty()) head.append("?").append(request.query);
  head.append(" HTTP/1.1\r\nHost: ").append(target.unix_path.empty() ? target.name() : "localhost");
  head.append("\r\n");
  if (after == AfterAnswer::kClosed) head.append("Connection: close\r\n");
  for (const auto& [name, value] : request.headers) {
    const bool ours = equals_ignoring_case(name, "Host") || equals_ignoring_case(name, "Content-Length") ||
                      equals_ignoring_case(name, "Connection") ||
                      equals_ignoring_case(name, "Transfer-Encoding");
    if (!ours) head.append(name).append(": ").append(value).append("\r\n");
  }
  const bool bodiless = request.body.empty() && (request.method == "GET" || request.method == "HEAD");
  if (!bodiless) {
    head.append("Content-Length: ").append(fmt::format_int(request.body.size()).c_str()).append("\r\n");
  }
  return head.append("\r\n");
}

}  // namespace serverledge
