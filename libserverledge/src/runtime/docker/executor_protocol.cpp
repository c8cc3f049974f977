#include "runtime/docker/executor_protocol.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kMessageMax = 4096;
constexpr std::size_t kTracebackMax = std::size_t{64} << 10U;

/// The first bytes of a text, no character cut in two.
std::string_view cut(std::string_view text, std::size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
  return text.substr(0, size);
}

std::string text_of(const JsonValue& object, std::string_view name, std::size_t most) {
  const auto value = object.find(name);
  return std::string(cut(value ? value->as_string().value_or("") : "", most));
}

Reply no_answer(std::string_view what) {
  Reply reply;
  reply.doomed = true;
  reply.failure = {FailureKind::kProtocol, fmt::format("the executor gave what is no answer: {}", what), {}};
  return reply;
}

/// What the answer says of a failure. The contract knows none of it; executors of ours tell it in `Error`.
Failure failure_of(const JsonValue& root, int status) {
  Failure failure{FailureKind::kRaised, "the function failed", {}};
  if (status != 200) failure.message += fmt::format(" (its executor answered with status {})", status);
  const auto error = root.find("Error");
  if (!error) return failure;
  if (error->is_string()) {
    failure.message = std::string(cut(*error->as_string(), kMessageMax));
    return failure;
  }
  if (std::string message = text_of(*error, "Message", kMessageMax); !message.empty())
    failure.message = std::move(message);
  failure.traceback = text_of(*error, "Traceback", kTracebackMax);
  failure.kind = failure_kind(text_of(*error, "Kind", 20)).value_or(FailureKind::kRaised);
  return failure;
}

void take_output(Reply& reply, const JsonValue& root, std::uint64_t most) {
  const auto output = root.find("Output");
  const std::string_view text = output ? output->as_string().value_or("") : "";
  // An executor may add a line that says where it has cut.
  constexpr std::size_t kRoom = 100;
  reply.output = cut(text, most + kRoom);
  if (reply.output.size() < text.size()) reply.output += fmt::format("\n[output cut at {} bytes]\n", most);
}

void take_result(Reply& reply, const JsonValue& root, const ExecutorTask& task, std::uint64_t most) {
  const auto result = root.find("Result");
  const std::string_view text = result ? result->as_string().value_or("") : "";
  if (text.size() > most) {
    reply.failure = {FailureKind::kOutput,
                     fmt::format("result: {} bytes are over the limit of {}", text.size(), most),
                     {}};
    return;
  }
  reply.result = text.empty() && task.json_result ? "null" : text;
  if (!task.json_result) return;
  if (const Result<void> json = check_json(reply.result); !json) {
    reply = no_answer("its Result is not JSON: " + json.error().message);
  }
}

}  // namespace

ExecutorTask::ExecutorTask(const Function& of)
    : function(of.name), memory_mb(of.memory_mb), json_result(of.runtime != "custom") {
  if (of.runtime == "custom") {
    command_json = "null";
    return;
  }
  handler = of.handler;
  handler_dir = "/app";
  command_json = of.runtime == "go125"        ? R"(["/entrypoint.sh"])"
                 : of.runtime == "nodejs17ng" ? "[]"
                                              : R"(["python","/entrypoint.py"])";
}

std::string executor_call(const ExecutorTask& task, const Call& call, TimePoint now) {
  std::string text;
  text.reserve(call.params.size() + 400);
  JsonWriter json(text);
  json.begin_object().key("Command").raw(task.command_json).key("Params").raw(call.params);
  json.key("Handler").string(task.handler).key("HandlerDir").string(task.handler_dir);
  json.key("ReturnOutput").boolean(call.return_output);
  begin_context(json.key("Context"), task.function, task.memory_mb, call, now);
  json.end_object().end_object();
  return text;
}

std::string executor_load(const ExecutorTask& task) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("Handler").string(task.handler).key("HandlerDir").string(task.handler_dir);
  json.end_object();
  return text;
}

std::string frame_load(const ExecutorTask& task) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("Handler").string(task.handler).key("AppDir").string(task.handler_dir).end_object();
  return text;
}

Reply executor_reply(const HttpResponse& response, const ExecutorTask& task, const FrameLimits& limits) {
  const Result<JsonDocument> document = JsonDocument::parse(response.body, {.built_depth = 2});
  if (!document || !document->root().is_object()) {
    return no_answer(response.status == 200 ? "its body is no JSON object"
                                            : fmt::format("status {}", response.status));
  }
  const JsonValue root = document->root();
  const auto success = root.find("Success");
  if (!success || !success->as_bool()) return no_answer("it has no Success");
  Reply reply;
  take_output(reply, root, limits.output_bytes);
  if (*success->as_bool() && response.status == 200) {
    take_result(reply, root, task, limits.result_bytes);
    return reply;
  }
  reply.failure = failure_of(root, response.status);
  reply.doomed = reply.failure->kind != FailureKind::kRaised && reply.failure->kind != FailureKind::kOutput;
  return reply;
}

}  // namespace serverledge
