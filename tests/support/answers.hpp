#pragma once

#include <atomic>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "serverledge/core/json.hpp"
#include "serverledge/net/http_message.hpp"
#include "support/eventually.hpp"

namespace serverledge::test {

/// A member of a JSON answer, as its bytes; "absent", or what came instead of JSON.
inline std::string member(const HttpResponse& answer, std::string_view name) {
  const Result<JsonDocument> document = JsonDocument::parse(answer.body);
  if (!document) return "not JSON: " + answer.body;
  const std::optional<JsonValue> value = document->root().find(name);
  return value ? std::string(value->raw()) : "absent";
}

/// The same of a string, decoded.
inline std::string text_member(const HttpResponse& answer, std::string_view name) {
  const Result<JsonDocument> document = JsonDocument::parse(answer.body);
  if (!document) return "not JSON: " + answer.body;
  const std::optional<JsonValue> value = document->root().find(name);
  return std::string(value ? value->as_string().value_or("not text") : "absent");
}

inline std::string header(const HttpResponse& answer, std::string_view name) {
  const std::string* value = answer.headers.find(name);
  return value == nullptr ? "absent" : *value;
}

/// Waits for the answer of an asynchronous call, of which `accepted` is the first one.
template <typename Node>
HttpResponse poll(Node& node, const HttpResponse& accepted) {
  HttpResponse answer;
  eventually([&] {
    answer = node.get("/poll/" + text_member(accepted, "ReqId"));
    return answer.body != "pending";
  });
  return answer;
}

/// A call made by a thread of its own. Status 0: no answer came.
class Caller {
 public:
  template <typename Node>
  Caller(Node& node, std::string function, std::string body)
      : thread_([this, &node, path = "/invoke/" + std::move(function), body = std::move(body)] {
          try {
            answer_ = node.post(path, body);
          } catch (const std::exception& error) {
            answer_ = HttpResponse::text(0, error.what());
          }
        }) {}
  /// Waits for it.
  const HttpResponse& answer() {
    if (thread_.joinable()) thread_.join();
    return answer_;
  }

 private:
  HttpResponse answer_;
  std::jthread thread_;
};

/// Posts `request(0)`, `request(1)`, ... (path and body) by that many threads; the answers in that order.
template <typename Node, typename Request>
std::vector<HttpResponse> post_at_once(Node& node, int count, const Request& request, int threads = 8) {
  std::vector<HttpResponse> answers(static_cast<std::size_t>(count));
  std::atomic<int> next{0};
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < threads; ++caller) {
    callers.emplace_back([&] {
      for (int index = next++; index < count; index = next++) {
        auto [path, body] = request(index);
        try {
          answers[static_cast<std::size_t>(index)] = node.post(path, std::move(body));
        } catch (const std::exception& error) {
          answers[static_cast<std::size_t>(index)] = HttpResponse::text(0, error.what());
        }
      }
    });
  }
  callers.clear();
  return answers;
}

}  // namespace serverledge::test
