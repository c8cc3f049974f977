#include <cstring>

#include "call.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/core/trace_context.hpp"

using namespace serverledge;     // NOLINT(google-build-using-namespace)
using namespace serverledge::c;  // NOLINT(google-build-using-namespace)

namespace serverledge::c {
namespace {

Result<void> check_params(const char* params) {
  const Result<JsonDocument> parsed = JsonDocument::parse(params, {.built_depth = 1});
  if (!parsed) return Unexpected(parsed.error().code, "params: " + parsed.error().message);
  if (!parsed->root().is_object())
    return Unexpected(ErrorCode::kInvalid,
                      "params: expected a JSON object, got " + std::string(to_string(parsed->root().type())));
  return {};
}

}  // namespace

Result<Invocation> invocation_of(serverledge_node& node, const char* function,
                                 const serverledge_call* given) {
  serverledge_call call = SERVERLEDGE_CALL_INIT;
  if (given != nullptr) std::memcpy(&call, given, std::min(given->size, sizeof call));
  Node& machine = node.opened->node();
  Invocation invocation;
  invocation.arrival = machine.clock().now();
  Result<FunctionPtr> known = machine.registry().find(function);
  if (!known) return Unexpected(std::move(known).error());
  invocation.function = std::move(*known);
  if (call.params != nullptr) {
    if (Result<void> checked = check_params(call.params); !checked)
      return Unexpected(std::move(checked).error());
    invocation.body = call.params;
    invocation.params_size = invocation.body.size();
  }
  invocation.qos_class = call.qos_class;
  invocation.max_response_time = from_seconds(call.max_response_time);
  invocation.can_offload = call.can_offload;
  invocation.asynchronous = call.background;
  invocation.return_output = call.return_output;
  if (call.traceparent != nullptr && parse_traceparent(call.traceparent))
    invocation.traceparent = call.traceparent;
  return invocation;
}

}  // namespace serverledge::c

bool serverledge_report_failed(const serverledge_report* report) {
  return report != nullptr && report->report.failure.has_value();
}

const char* serverledge_report_result(const serverledge_report* report) {
  return report == nullptr || report->report.failure ? nullptr : report->report.result.c_str();
}

const char* serverledge_report_output(const serverledge_report* report) {
  return report == nullptr ? "" : report->report.output.c_str();
}

const char* serverledge_report_failure_kind(const serverledge_report* report) {
  return serverledge_report_failed(report) ? to_string(report->report.failure->kind) : nullptr;
}

const char* serverledge_report_failure_message(const serverledge_report* report) {
  return serverledge_report_failed(report) ? report->report.failure->message.c_str() : nullptr;
}

const char* serverledge_report_failure_traceback(const serverledge_report* report) {
  return serverledge_report_failed(report) ? report->report.failure->traceback.c_str() : nullptr;
}

bool serverledge_report_warm(const serverledge_report* report) {
  return report != nullptr && report->report.warm;
}

double serverledge_report_duration(const serverledge_report* report) {
  return report == nullptr ? 0 : seconds(report->report.duration);
}

double serverledge_report_init_time(const serverledge_report* report) {
  return report == nullptr ? 0 : seconds(report->report.init_time);
}

double serverledge_report_queueing_time(const serverledge_report* report) {
  return report == nullptr ? 0 : seconds(report->report.queueing_time);
}

double serverledge_report_response_time(const serverledge_report* report) {
  return report == nullptr ? 0 : seconds(report->report.response_time);
}

const char* serverledge_report_node(const serverledge_report* report) {
  return report == nullptr ? "" : report->report.node.c_str();
}

serverledge_code serverledge_report_json(const serverledge_report* report, char** json,
                                         serverledge_error** error) {
  clear(json);
  return guarded(error, [&] {
    if (report == nullptr) return fail(error, "report");
    if (json == nullptr) return fail(error, "json");
    *json = copy_of(to_json(report->report));
    return SERVERLEDGE_OK;
  });
}

void serverledge_report_free(serverledge_report* report) { delete report; }

serverledge_code serverledge_node_invoke(serverledge_node* node, const char* function,
                                         const serverledge_call* call, serverledge_report** report,
                                         serverledge_error** error) {
  clear(report);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (function == nullptr) return fail(error, "function");
    if (report == nullptr) return fail(error, "report");
    Result<Invocation> invocation = invocation_of(*node, function, call);
    if (!invocation) return fail(error, std::move(invocation).error());
    Result<ExecutionReport> given = node->opened->node().invoke(*invocation);
    if (!given) return fail(error, std::move(given).error());
    *report = new serverledge_report{std::move(*given)};
    return SERVERLEDGE_OK;
  });
}

serverledge_code serverledge_node_invoke_async(serverledge_node* node, const char* function,
                                               const serverledge_call* call, char** id,
                                               serverledge_error** error) {
  clear(id);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (function == nullptr) return fail(error, "function");
    if (id == nullptr) return fail(error, "id");
    Result<Invocation> invocation = invocation_of(*node, function, call);
    if (!invocation) return fail(error, std::move(invocation).error());
    Result<std::string> accepted = node->opened->node().invoke_async(std::move(*invocation));
    if (!accepted) return fail(error, std::move(accepted).error());
    *id = copy_of(*accepted);
    return SERVERLEDGE_OK;
  });
}

serverledge_code serverledge_node_poll(serverledge_node* node, const char* id, serverledge_report** report,
                                       serverledge_error** error) {
  clear(report);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (id == nullptr) return fail(error, "id");
    if (report == nullptr) return fail(error, "report");
    const Result<ResultStore::Found> found = node->opened->node().results().find(id);
    if (!found) return fail(error, found.error());
    if (found->state == ResultStore::State::kPending) return SERVERLEDGE_PENDING;
    if (found->state == ResultStore::State::kUnknown)
      return fail(error, {ErrorCode::kNotFound, "unknown request", {}});
    Result<ExecutionReport> read = report_from_json(found->answer);
    if (!read) return fail(error, std::move(read).error());
    *report = new serverledge_report{std::move(*read)};
    return SERVERLEDGE_OK;
  });
}
