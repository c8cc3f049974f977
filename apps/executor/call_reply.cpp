#include "call_reply.hpp"

#include <fmt/format.h>

#include "net/http_head.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {

std::string success_reply(std::string_view result, std::string_view output) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("Success").boolean(true).key("Result").string(result);
  json.key("Output").string(output).end_object();
  return text;
}

std::string failure_reply(const CallFailure& failure, std::string_view output) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("Success").boolean(false).key("Output").string(output);
  json.key("Error").begin_object().key("Kind").string(failure.kind).key("Message").string(failure.message);
  json.key("Traceback").string(failure.traceback).end_object().end_object();
  return text;
}

std::string http_answer(int status, std::string_view body, bool keep_alive, std::string_view call) {
  std::string more = status == 405 ? "Allow: POST\r\n" : "";
  if (!call.empty()) more += fmt::format("Serverledge-Call: {}\r\n", call);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\nConnection: {}\r\n\r\n{}",
      status, reason_phrase(status), more, body.size(), keep_alive ? "keep-alive" : "close", body);
}

}  // namespace serverledge
