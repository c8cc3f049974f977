#include "serverledge/cluster/http_peer_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/load_headers.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr Duration kConnectTime = std::chrono::seconds(1);
constexpr std::size_t kLongestQuoted = 200;

/// What is left of the time that the caller has given; the contract's "none" as it came.
double remaining_time(const Invocation& invocation, TimePoint now) {
  if (invocation.max_response_time <= Duration::zero()) return seconds(invocation.max_response_time);
  // Never "none": what is over is over.
  return std::max(seconds(invocation.start_deadline() - now), 1e-6);
}

HttpRequest request_for(const Invocation& invocation, TimePoint now) {
  HttpRequest request;
  request.method = "POST";
  request.path = "/invoke/" + invocation.function->name;
  request.headers.add("Content-Type", "application/json");
  if (!invocation.traceparent.empty()) request.headers.add("traceparent", invocation.traceparent);
  if (!invocation.tracestate.empty()) request.headers.add("tracestate", invocation.tracestate);
  request.body.reserve(invocation.params().size() + 160);
  JsonWriter json(request.body);
  json.begin_object();
  json.key("Params").raw(invocation.params());
  json.key("QoSClass").integer(invocation.qos_class);
  json.key("QoSMaxRespT").number(remaining_time(invocation, now));
  json.key("CanDoOffloading").boolean(false);  // one hop
  json.key("Async").boolean(false);
  json.key("ReturnOutput").boolean(invocation.return_output);
  json.end_object();
  return request;
}

/// What the headers of the contract say of the node that answered, if it is the one that was asked.
void read_load(const HttpHeaders& headers, const Peer& peer, PeerTable::Forwarded& outcome) {
  const std::string* node = headers.find("Serverledge-Node-Name");
  const std::optional<Resources> available = available_resources(headers);
  if (node == nullptr || *node != peer.key || !available) return;
  outcome.load_known = true;
  outcome.available = *available;
}

std::string in_quotes(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return to_utf8(text.substr(0, kLongestQuoted));
}

Error error_of(const HttpResponse& answer, const Peer& peer) {
  const std::string what =
      fmt::format("node {} answered {}: {}", peer.key, answer.status, in_quotes(answer.body));
  if (answer.status == 404) return {ErrorCode::kNotFound, what, "peer"};
  // Overloaded or stopping: nothing was started.
  if (answer.status == 503) return {ErrorCode::kUnavailable, what, "peer"};
  // Refused for what it is, e.g. too large there.
  if (answer.status >= 400 && answer.status < 500) return {ErrorCode::kNoResources, what, "peer"};
  return {ErrorCode::kUnknownOutcome, what, "peer"};
}

/// What the client's failure says of the call.
Error error_of(Error failure, const Peer& peer) {
  if (failure.code != ErrorCode::kUnavailable && failure.code != ErrorCode::kCancelled) {
    failure.code = ErrorCode::kUnknownOutcome;
  }
  failure.message = fmt::format(
      "offloaded to node {}, which {}: {}", peer.key,
      failure.code == ErrorCode::kUnknownOutcome ? "may have run it" : "has not run it", failure.message);
  failure.detail = "peer";
  return failure;
}

Result<ExecutionReport> read_report(const HttpResponse& answer, const Peer& peer) {
  auto report = report_from_json(answer.body);
  if (report) return report;
  if (answer.status != 200) return Unexpected(error_of(answer, peer));
  return Unexpected(ErrorCode::kUnknownOutcome,
                    fmt::format("the answer of node {} makes no sense: {}", peer.key, report.error().message),
                    "peer");
}

}  // namespace

/// Until it is answered, or the caller hangs up, or this node ends.
Result<HttpResponse> HttpPeerLink::send(const Invocation& invocation, const Peer& peer, TimePoint deadline) {
  std::stop_source give_up;
  const auto stop = [&give_up] { give_up.request_stop(); };
  const std::stop_callback hung_up(invocation.caller_gone, stop);
  const std::stop_callback ending(ending_.get_token(), stop);
  HttpRequest request = request_for(invocation, clock_.now());
  request.peer_gone = give_up.get_token();
  auto answer = client_.request(HttpTarget::tcp(peer.host, peer.port), request, kConnectTime, deadline);
  const bool ended =
      !answer && answer.error().code == ErrorCode::kCancelled && !invocation.caller_gone.stop_requested();
  if (ended) return Unexpected(ErrorCode::kUnknownOutcome, "this node is stopping");
  return answer;
}

Result<ExecutionReport> HttpPeerLink::forward(const Invocation& invocation, const Peer& peer,
                                              TimePoint deadline) {
  const Function& function = *invocation.function;
  const TimePoint begin = clock_.now();
  const std::uint64_t call =
      table_.forwarding(peer, {function.memory_mb, to_millicores(function.cpu_demand)});
  PeerTable::Forwarded outcome;
  outcome.function = function.name;
  Result<HttpResponse> answer = send(invocation, peer, deadline);
  if (!answer) {
    table_.forwarded(peer, call, outcome);
    return Unexpected(error_of(std::move(answer).error(), peer));
  }
  const TimePoint end = clock_.now();
  read_load(answer->headers, peer, outcome);
  Result<ExecutionReport> report = read_report(*answer, peer);
  outcome.answered = report.has_value();
  table_.forwarded(peer, call, outcome);
  if (!report) return report;
  const Duration there = report->duration + report->init_time + report->queueing_time;
  report->offload_latency = std::max(end - begin - there, Duration::zero());
  report->response_time = end - invocation.arrival;
  return report;
}

}  // namespace serverledge
