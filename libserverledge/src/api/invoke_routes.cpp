#include "api/invoke_routes.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "api/answers.hpp"
#include "api/invocation_request.hpp"
#include "serverledge/core/trace_context.hpp"

namespace serverledge {
namespace {

HttpResponse refused_call(const Error& error) {
  if (error.code == ErrorCode::kNotFound) return HttpResponse::text(404, "Function unknown");
  return error_answer(error);
}

/// A number of cores with six decimal places.
std::string cores_text(std::int64_t millicores) {
  const std::string thousandths = fmt::format_int(1000 + millicores % 1000).str();
  return fmt::format_int(millicores / 1000).str().append(".").append(thousandths, 1).append("000");
}

/// What is no trace context is ignored, as its standard has it.
void read_trace(const HttpHeaders& headers, Invocation& invocation) {
  const std::string* parent = headers.find("traceparent");
  if (parent == nullptr || !parse_traceparent(*parent)) return;
  invocation.traceparent = *parent;
  const std::string* state = headers.find("tracestate");
  if (state != nullptr && state->size() <= kTraceStateMax) invocation.tracestate = *state;
}

}  // namespace

HttpResponse InvokeRoutes::invoke(HttpRequest& request) {
  const Result<FunctionPtr> function = node_.registry().find(request.path_parameter("fun"));
  if (!function) return refused_call(function.error());
  HttpResponse answer = run(request, *function);
  add_node_headers(request, **function, answer.headers);
  return answer;
}

HttpResponse InvokeRoutes::run(HttpRequest& request, const FunctionPtr& function) {
  Invocation invocation;
  invocation.function = function;
  invocation.arrival = request.arrival;
  if (Result<void> read = read_invocation(std::move(request.body), invocation); !read)
    return refused_call(read.error());
  read_trace(request.headers, invocation);
  if (invocation.asynchronous) return accept(std::move(invocation));

  invocation.caller_gone = request.peer_gone;
  const Result<ExecutionReport> report = node_.invoke(invocation);
  if (!report) return refused_call(report.error());
  return json_answer(report_status(*report), to_json(*report));
}

HttpResponse InvokeRoutes::accept(Invocation invocation) {
  const Result<std::string> id = node_.invoke_async(std::move(invocation));
  if (!id) return refused_call(id.error());
  return named_answer("ReqId", *id);
}

void InvokeRoutes::add_node_headers(const HttpRequest& request, const Function& function,
                                    HttpHeaders& headers) const {
  const PoolView pool = node_.invoker().view(function.name);
  const Resources available = pool.total - pool.busy;
  const InvokerOptions& self = node_.options().invoker;
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(node_.clock().wall().time_since_epoch());
  headers.add("Serverledge-Node-Name", self.node);
  headers.add("Serverledge-Free-Mem", fmt::format_int(available.memory_mb).str());
  headers.add("Serverledge-Timestamp", fmt::format_int(now.count()).str());
  headers.add("Serverledge-Free-CPU", cores_text(available.millicores));
  headers.add("Serverledge-Node-Arch", self.architecture);
  if (const std::string* bandit = request.headers.find("Serverledge-MAB-Request-ID")) {
    headers.add("Serverledge-MAB-Request-ID", *bandit);
  }
}

HttpResponse InvokeRoutes::poll(const HttpRequest& request) {
  Result<ResultStore::Found> found = node_.results().find(request.path_parameter("reqId"));
  if (!found) return error_answer(found.error());
  if (found->state == ResultStore::State::kUnknown) return HttpResponse::text(404, "unknown request");
  if (found->state == ResultStore::State::kPending) {
    HttpResponse answer = HttpResponse::text(404, "pending");
    answer.headers.add("Retry-After", "1");
    return answer;
  }
  // What is no response object of a function is the answer of a workflow, and stands as it is.
  const Result<ExecutionReport> report = report_from_json(found->answer);
  return HttpResponse::json(report ? report_status(*report) : 200, std::move(found->answer));
}

}  // namespace serverledge
