#include "serverledge/balance/load_balancer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <string_view>
#include <utility>
#include <vector>

#include "balance/forwarded_request.hpp"
#include "balance/targets.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {
namespace {

/// What a node may take to accept a connection: one whose machine has gone must not hold up a call longer.
constexpr Duration kConnectTime = std::chrono::milliseconds(500);
/// A call that was refused for lack of room is offered to that many other nodes: more would make an
/// overload worse.
constexpr int kMostRefusals = 2;
/// Added to what a node may take, so that its answer comes first.
constexpr Duration kSlack = std::chrono::seconds(5);
/// For what a node answers from its memory or its store: one node, and all that are asked.
constexpr Duration kAnswerTime = std::chrono::seconds(6);
constexpr Duration kAnswersTime = std::chrono::seconds(20);

using Kind = BalancedOutcome::Kind;

/// Nobody is there to read it.
HttpResponse caller_has_gone() { return balancer_refusal(503, "the caller has gone"); }

/// What an error of the client says of the node.
Kind kind_of(const Error& error) {
  const bool is_its = error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kUnknownOutcome;
  return is_its ? Kind::kFailed : Kind::kAbandoned;
}

/// The outcome of a request that may have been worked on, which must not be repeated; or, of one that was
/// not, nothing.
std::optional<HttpResponse> final_failure(const Error& error, const HttpRequest& request, const Peer& peer) {
  if (request.peer_gone.stop_requested()) return caller_has_gone();
  if (error.code == ErrorCode::kUnavailable) return std::nullopt;
  if (error.code == ErrorCode::kInvalid) return balancer_refusal(400, error.message);
  const bool no_answer = error.code == ErrorCode::kUnknownOutcome || error.code == ErrorCode::kDeadline;
  if (request.method == "GET" && no_answer) return std::nullopt;
  return balancer_refusal(502, fmt::format("node {} was sent this, may have done it, and gave no answer: {}",
                                           peer.key, error.message));
}

}  // namespace

/// How requests travel. One for each path that a request can take to the nodes.
class LoadBalancer::Machine {
 public:
  Machine(Options options, NodeDirectory& directory, FunctionRegistry& functions, Clock& clock,
          Observer& observer)
      : options_(std::move(options)),
        functions_(functions),
        clock_(clock),
        client_({.idle_per_target = 256}, clock),
        targets_(options_.area, options_.balancing, directory, clock, observer) {}

  void add_routes(HttpServer& server);
  void leave() { leaving_ = true; }

 private:
  HttpResponse call(HttpRequest& request);
  HttpResponse prewarm(HttpRequest& request);
  HttpResponse poll(HttpRequest& request);
  HttpResponse to_any(HttpRequest& request, Duration within);
  HttpResponse ready() const;
  HttpResponse place(const HttpRequest& request, const std::string& name, const Function* function,
                     TimePoint deadline);
  Result<HttpResponse> send(const HttpRequest& request, const Balancer::Choice& to, const BalancedCall& call,
                            TimePoint deadline);
  HttpResponse nobody() const;

  const Options options_;
  FunctionRegistry& functions_;
  Clock& clock_;
  HttpClient client_;
  Targets targets_;
  std::atomic<bool> leaving_{false};
};

/// Sends a request to one node. What the balancer learns from the outcome is entered.
Result<HttpResponse> LoadBalancer::Machine::send(const HttpRequest& request, const Balancer::Choice& to,
                                                 const BalancedCall& call, TimePoint deadline) {
  auto answer = client_.request(HttpTarget::tcp(to.peer.host, to.peer.port), request, kConnectTime, deadline);
  if (!answer) {
    targets_.ended(to, call, {kind_of(answer.error()), {}}, answer.error().message);
    return answer;
  }
  const bool refused = !call.function.empty() && (answer->status == 429 || answer->status == 503);
  const auto available = strip_answer(*answer);
  targets_.ended(to, call, {refused ? Kind::kRefused : Kind::kAnswered, available}, {});
  return answer;
}

HttpResponse LoadBalancer::Machine::nobody() const {
  return balancer_refusal(503, fmt::format("no node of the area {} can be reached", options_.area));
}

/// A call, or what else belongs to a function: by the nodes of its order, until one has taken it.
HttpResponse LoadBalancer::Machine::place(const HttpRequest& request, const std::string& name,
                                          const Function* function, TimePoint deadline) {
  BalancedCall call{.function = name, .archs = {}, .demand = {}};
  if (function != nullptr) {
    call.archs = function->supported_archs;
    call.demand = {function->memory_mb / std::max(1, function->max_concurrency),
                   to_millicores(function->cpu_demand)};
  }
  std::vector<Balancer::TargetId> tried;
  std::optional<HttpResponse> refusal;
  for (int refusals = 0; refusals <= kMostRefusals;) {
    const auto to = targets_.choose(call, tried);
    if (!to) break;
    tried.push_back(to->target);
    auto answer = send(request, *to, call, deadline);
    if (answer) {
      if (answer->status != 429 && answer->status != 503) return std::move(*answer);
      refusal = std::move(*answer);
      ++refusals;
    } else if (auto failure = final_failure(answer.error(), request, to->peer)) {
      return std::move(*failure);
    }
  }
  return refusal ? std::move(*refusal) : nobody();
}

HttpResponse LoadBalancer::Machine::call(HttpRequest& received) {
  const std::string name(received.path_parameter("fun"));
  const Result<FunctionPtr> known = functions_.find(name);
  const Function* function = known ? known->get() : nullptr;
  const Duration runs = function != nullptr && function->timeout_sec ? from_seconds(*function->timeout_sec)
                                                                     : options_.call_time;
  const Duration waits = std::max(options_.queue_time, longest_response_time(received.body));
  const TimePoint deadline = later(later(clock_.now(), waits), options_.start_time + runs + kSlack);
  return place(forwarded_request(received), name, function, deadline);
}

/// By the node where the function's calls go first, so that they find the containers.
HttpResponse LoadBalancer::Machine::prewarm(HttpRequest& received) {
  const std::string name = prewarmed_function(received.body);
  if (name.empty()) return to_any(received, options_.change_time);
  const Result<FunctionPtr> known = functions_.find(name);
  return place(forwarded_request(received), name, known ? known->get() : nullptr,
               later(clock_.now(), options_.change_time));
}

/// By any node, each in its turn.
HttpResponse LoadBalancer::Machine::to_any(HttpRequest& received, Duration within) {
  const HttpRequest request = forwarded_request(received);
  const TimePoint deadline = later(clock_.now(), within);
  std::vector<Balancer::TargetId> tried;
  const bool is_question = request.method == "GET";
  while (const auto to = targets_.next(tried)) {
    tried.push_back(to->target);
    auto answer =
        send(request, *to, {}, is_question ? std::min(deadline, later(clock_.now(), kAnswerTime)) : deadline);
    if (answer) return std::move(*answer);
    if (auto failure = final_failure(answer.error(), request, to->peer)) return std::move(*failure);
  }
  return nobody();
}

/// By the node that accepted the call, which alone knows that it is pending; else by any.
HttpResponse LoadBalancer::Machine::poll(HttpRequest& received) {
  const std::string id(received.path_parameter("reqId"));
  const TimePoint deadline = later(clock_.now(), kAnswerTime);
  for (const Balancer::Choice& to : targets_.accepted(id)) {
    targets_.begin(to);
    HttpRequest question = received;
    auto answer = send(forwarded_request(question), to, {}, deadline);
    const bool unknown = answer && answer->status == 404 && answer->body != "pending";
    if (answer && !unknown) return std::move(*answer);
    if (!answer && received.peer_gone.stop_requested()) return caller_has_gone();
  }
  return to_any(received, kAnswersTime);
}

HttpResponse LoadBalancer::Machine::ready() const {
  if (leaving_) return HttpResponse::text(503, "draining");
  if (!targets_.any_up()) return HttpResponse::text(503, "no node of the area can be reached");
  return HttpResponse::text(200, "ready");
}

void LoadBalancer::Machine::add_routes(HttpServer& server) {
  const HttpRouteOptions body{.body_max = options_.body_max};
  const HttpRouteOptions code{.body_max = options_.code_max / 3 * 4 + (std::size_t{64} << 10U)};
  const HttpRouteOptions quick{.body_max = options_.body_max, .quick = true};
  server.route(
      "POST", "/invoke/:fun", [this](HttpRequest& request) { return call(request); }, body);
  server.route(
      "GET", "/poll/:reqId", [this](HttpRequest& request) { return poll(request); }, body);
  server.route(
      "POST", "/prewarm", [this](HttpRequest& request) { return prewarm(request); }, body);
  const auto change = [this](HttpRequest& request) { return to_any(request, options_.change_time); };
  for (const char* path : {"/create", "/update", "/workflow/create", "/workflow/import"})
    server.route("POST", path, change, code);
  for (const char* path :
       {"/delete", "/workflow/delete", "/workflow/invoke/:workflow", "/workflow/resume/:workflow"}) {
    server.route("POST", path, change, body);
  }
  const auto question = [this](HttpRequest& request) { return to_any(request, kAnswersTime); };
  for (const char* path : {"/function", "/functions", "/status", "/workflow/list", "/openapi.yaml"})
    server.route("GET", path, question, body);
  server.route(
      "GET", "/healthz", [](HttpRequest&) { return HttpResponse::text(200, "ok"); }, quick);
  server.route(
      "GET", "/readyz", [this](HttpRequest&) { return ready(); }, quick);
}

LoadBalancer::LoadBalancer(Options options, HttpServer& server, NodeDirectory& directory,
                           FunctionRegistry& functions, Clock& clock, Observer& observer)
    : machine_(std::make_unique<Machine>(std::move(options), directory, functions, clock, observer)) {
  machine_->add_routes(server);
}

LoadBalancer::~LoadBalancer() = default;

void LoadBalancer::leave() { machine_->leave(); }

}  // namespace serverledge
