#include "net/answer_writer.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "net/http_head.hpp"

namespace serverledge {

namespace {

void add_field(std::string& head, std::string_view name, std::string_view value) {
  // In one piece, since each append costs more than the few bytes that it adds.
  const std::size_t at = head.size();
  head.resize(at + name.size() + value.size() + 4, '\n');
  char* to = &head[at];
  to += name.copy(to, name.size());
  *to++ = ':';
  *to++ = ' ';
  to += value.copy(to, value.size());
  *to = '\r';
}

}  // namespace

HttpResponse AnswerWriter::made(const Make& make) const {
  try {
    return make();
  } catch (const std::exception& error) {
    failed_(error.what());
  } catch (...) {
    failed_("an exception that is no std::exception");
  }
  return HttpResponse::json(500, "{\"message\":\"Internal Server Error\"}\n");
}

void AnswerWriter::write(const Asked& asked, const Make& make, std::string& head, std::string& body) const {
  HttpResponse response = made(make);
  constexpr std::size_t kUsual = 512;
  head.reserve(kUsual);
  head.append("HTTP/1.1 ").append(fmt::format_int(response.status).c_str());
  head.append(" ").append(reason_phrase(response.status)).append("\r\n");
  if (!asked.keep_alive) add_field(head, "Connection", "close");
  if (asked.keep_alive && asked.http_1_0) add_field(head, "Connection", "keep-alive");
  add_field(head, "Content-Length", fmt::format_int(response.body.size()).c_str());
  if (is_field_value(response.content_type) && !response.content_type.empty())
    add_field(head, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) {
    // A byte that would end the header must never get out, wherever it came from.
    if (is_token(name) && is_field_value(value)) add_field(head, name, value);
  }
  head.append("\r\n");
  if (asked.method != "HEAD") body = std::move(response.body);
}

}  // namespace serverledge
