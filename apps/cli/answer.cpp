#include "answer.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "indent_json.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

bool is_success(const HttpResponse& answer) { return answer.status >= 200 && answer.status < 300; }

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string text_member(const JsonValue& object, std::string_view name) {
  const auto member = object.find(name);
  return std::string(member ? member->as_string().value_or("") : "");
}

// What an answer without a word of its own means.
const char* meaning_of(int status) {
  switch (status) {
    case 404:
      return "there is no such thing";
    case 409:
      return "it exists already";
    case 413:
      return "the request is too large";
    case 429:
      return "the node has no resources for this now";
    case 503:
      return "the node's registry or the node itself is not available";
    default:
      return "no reason was given";
  }
}

// A function that failed: {"Kind", "Message", "Traceback"}.
std::string execution_failure(const JsonValue& error) {
  std::string text =
      fmt::format("the function failed ({}): {}", text_member(error, "Kind"), text_member(error, "Message"));
  const std::string traceback = text_member(error, "Traceback");
  if (!traceback.empty()) text.append(1, '\n').append(trimmed(traceback));
  return text;
}

std::string reason_in(std::string_view body) {
  const auto document = JsonDocument::parse(body);
  if (!document) return std::string(trimmed(body));
  const JsonValue root = document->root();
  if (const auto text = root.as_string()) return std::string(trimmed(*text));
  if (const auto error = root.find("Error")) {
    return error->is_object() ? execution_failure(*error)
                              : std::string(error->as_string().value_or(error->raw()));
  }
  if (const auto message = root.find("message"))
    return std::string(message->as_string().value_or(message->raw()));
  return std::string(trimmed(body));
}

// Whether it is the answer of an execution, also of a failed one, which says more than its error.
bool is_execution(std::string_view body) {
  const auto document = JsonDocument::parse(body);
  return document && document->root().find("Success").has_value();
}

}  // namespace

int fail(Exit code, std::string_view message) {
  fmt::print(stderr, "serverledge-cli: {}\n", message);
  return code;
}

void print_body(std::string_view body) {
  body = trimmed(body);
  fmt::print("{}\n", check_json(body) ? indent_json(body) : std::string(body));
}

std::string refusal(const HttpResponse& answer) {
  std::string why = reason_in(answer.body);
  if (why.empty()) why = meaning_of(answer.status);
  std::string text = fmt::format("the node answered {}: {}", answer.status, why);
  if (const auto* wait = answer.headers.find("Retry-After"))
    text += fmt::format(" (try again in {} s)", *wait);
  return text;
}

int show(const Result<HttpResponse>& answer) {
  if (!answer) return fail(kServer, answer.error().message);
  if (const auto* warning = answer->headers.find("Warning")) fail(kOk, "warning: " + *warning);
  if (is_success(*answer)) {
    print_body(answer->body);
    return kOk;
  }
  if (is_execution(answer->body)) print_body(answer->body);
  return fail(kServer, refusal(*answer));
}

}  // namespace serverledge::cli
