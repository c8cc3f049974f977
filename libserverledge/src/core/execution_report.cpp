#include <string>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {

std::string to_json(const ExecutionReport& report) {
  std::string out;
  out.reserve(320 + report.result.size() + report.result.size() / 8 + report.output.size());
  JsonWriter json(out);
  json.begin_object();
  json.key("Success").boolean(!report.failure.has_value());
  json.key("Result").string(report.result);
  json.key("ResponseTime").number(seconds(report.response_time));
  json.key("IsWarmStart").boolean(report.warm);
  json.key("InitTime").number(seconds(report.init_time));
  json.key("QueueingTime").number(seconds(report.queueing_time));
  json.key("OffloadLatency").number(seconds(report.offload_latency));
  json.key("Duration").number(seconds(report.duration));
  json.key("Output").string(report.output);
  json.key("ExecutionArea").string(report.area);
  json.key("ExecutionNode").string(report.node);
  if (report.failure) {
    json.key("Error").begin_object();
    json.key("Kind").string(to_string(report.failure->kind));
    json.key("Message").string(report.failure->message);
    json.key("Traceback").string(report.failure->traceback);
    json.end_object();
  }
  json.end_object();
  return out;
}

namespace {

std::string text(const JsonValue& object, std::string_view key) {
  const auto member = object.find_any_case(key);
  return member ? std::string(member->as_string().value_or("")) : std::string();
}

Duration time(const JsonValue& object, std::string_view key) {
  const auto member = object.find_any_case(key);
  return member ? from_seconds(member->as_double().value_or(0)) : Duration::zero();
}

Failure failure_of(const JsonValue& report) {
  const auto error = report.find_any_case("Error");
  // The Go implementation says only that it failed.
  if (!error || !error->is_object()) return {FailureKind::kCrashed, "the function failed", ""};
  return {failure_kind(text(*error, "Kind")).value_or(FailureKind::kCrashed), text(*error, "Message"),
          text(*error, "Traceback")};
}

}  // namespace

Result<ExecutionReport> report_from_json(std::string_view json) {
  const Result<JsonDocument> document = JsonDocument::parse(json);
  if (!document) return Unexpected(document.error());
  const JsonValue root = document->root();
  const auto success = root.find_any_case("Success");
  if (!success || !success->as_bool()) {
    return Unexpected(ErrorCode::kInvalid, "not a response object: it has no boolean Success");
  }
  ExecutionReport report;
  if (!*success->as_bool()) report.failure = failure_of(root);
  report.result = text(root, "Result");
  report.output = text(root, "Output");
  report.response_time = time(root, "ResponseTime");
  report.init_time = time(root, "InitTime");
  report.queueing_time = time(root, "QueueingTime");
  report.offload_latency = time(root, "OffloadLatency");
  report.duration = time(root, "Duration");
  report.area = text(root, "ExecutionArea");
  report.node = text(root, "ExecutionNode");
  if (const auto warm = root.find_any_case("IsWarmStart")) report.warm = warm->as_bool().value_or(false);
  return report;
}

ExecutionReport not_started(const Error& error) {
  ExecutionReport report;
  report.failure = Failure{FailureKind::kStart, "not started: " + error.message, ""};
  return report;
}

}  // namespace serverledge
