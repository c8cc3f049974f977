#include "net/answer_writer.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "net/http_head.hpp"

namespace serverledge {

namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";  // one must be there, and nobody reads it
  }
}

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
  head.append(" ").append(reason_of(response.status)).append("\r\n");
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
