#include "serverledge/balance/load_balancer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "balance/forwarded_request.hpp"
#include "balance/targets.hpp"
#include "net/metrics_type.hpp"
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

/// What the caller is answered, and what that is in statistics.
struct Answer {
  HttpResponse response;
  std::string_view outcome;
};

bool is_refusal(int status) { return status == 429 || status == 503; }

Answer of_node(HttpResponse&& response) {
  const std::string_view outcome = is_refusal(response.status) ? "refused" : "answered";
  return {std::move(response), outcome};
}

/// Nobody is there to read it.
Answer caller_has_gone() { return {balancer_refusal(503, "the caller has gone"), "caller_gone"}; }

/// What an error of the client says of the node.
Kind kind_of(const Error& error) {
  const bool is_its = error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kUnknownOutcome;
  return is_its ? Kind::kFailed : Kind::kAbandoned;
}

/// The outcome of a request that may have been worked on, which must not be repeated; or, of one that was
/// not, nothing.
std::optional<Answer> final_failure(const Error& error, const HttpRequest& request, const Peer& peer) {
  if (request.peer_gone.stop_requested()) return caller_has_gone();
  if (error.code == ErrorCode::kUnavailable) return std::nullopt;
  if (error.code == ErrorCode::kInvalid) return Answer{balancer_refusal(400, error.message), "invalid"};
  const bool no_answer = error.code == ErrorCode::kUnknownOutcome || error.code == ErrorCode::kDeadline;
  if (request.method == "GET" && no_answer) return std::nullopt;
  return Answer{
      balancer_refusal(502, fmt::format("node {} was sent this, may have done it, and gave no answer: {}",
                                        peer.key, error.message)),
      "unknown"};
}

/// Why a request that such an error did not end goes to a further node.
std::string_view retry_reason(const Error& error) {
  return error.code == ErrorCode::kUnavailable ? "unreachable" : "no_answer";
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
  std::vector<Balancer::State> targets() const { return targets_.states(); }

 private:
  using Handler = Answer (Machine::*)(HttpRequest&);
  /// A handler whose answers are counted.
  HttpServer::Handler counted(std::string_view route, Handler handler);
  Answer call(HttpRequest& request);
  Answer prewarm(HttpRequest& request);
  Answer poll(HttpRequest& request);
  Answer change(HttpRequest& request) { return to_any(request, options_.change_time); }
  Answer question(HttpRequest& request) { return to_any(request, kAnswersTime); }
  Answer to_any(HttpRequest& request, Duration within);
  HttpResponse ready() const;
  Answer place(const HttpRequest& request, const std::string& name, const Function* function,
               TimePoint deadline);
  void retry(std::string_view reason) const;
  Result<HttpResponse> send(const HttpRequest& request, const Balancer::Choice& to, const BalancedCall& call,
                            TimePoint deadline);
  Answer nobody() const;

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
  const bool refused = !call.function.empty() && is_refusal(answer->status);
  const auto available = strip_answer(*answer);
  targets_.ended(to, call, {refused ? Kind::kRefused : Kind::kAnswered, available}, {});
  return answer;
}

Answer LoadBalancer::Machine::nobody() const {
  return {balancer_refusal(503, fmt::format("no node of the area {} can be reached", options_.area)),
          "unreachable"};
}

/// A request goes to a further node if there is a reason: the first one has none.
void LoadBalancer::Machine::retry(std::string_view reason) const {
  if (!reason.empty() && options_.on_retry) options_.on_retry(reason);
}

/// A call, or what else belongs to a function: by the nodes of its order, until one has taken it.
Answer LoadBalancer::Machine::place(const HttpRequest& request, const std::string& name,
                                    const Function* function, TimePoint deadline) {
  BalancedCall call{.function = name, .archs = {}, .demand = {}};
  if (function != nullptr) {
    call.archs = function->supported_archs;
    call.demand = {function->memory_mb / std::max(1, function->max_concurrency),
                   to_millicores(function->cpu_demand)};
  }
  std::vector<Balancer::TargetId> tried;
  std::optional<HttpResponse> refusal;
  std::string_view reason;
  for (int refusals = 0; refusals <= kMostRefusals;) {
    const auto to = targets_.choose(call, tried);
    if (!to) break;
    retry(reason);
    tried.push_back(to->target);
    auto answer = send(request, *to, call, deadline);
    if (answer) {
      if (!is_refusal(answer->status)) return of_node(std::move(*answer));
      refusal = std::move(*answer);
      reason = "refused";
      ++refusals;
    } else if (auto failure = final_failure(answer.error(), request, to->peer)) {
      return std::move(*failure);
    } else {
      reason = retry_reason(answer.error());
    }
  }
  return refusal ? of_node(std::move(*refusal)) : nobody();
}

Answer LoadBalancer::Machine::call(HttpRequest& received) {
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
Answer LoadBalancer::Machine::prewarm(HttpRequest& received) {
  const std::string name = prewarmed_function(received.body);
  if (name.empty()) return to_any(received, options_.change_time);
  const Result<FunctionPtr> known = functions_.find(name);
  return place(forwarded_request(received), name, known ? known->get() : nullptr,
               later(clock_.now(), options_.change_time));
}

/// By any node, each in its turn.
Answer LoadBalancer::Machine::to_any(HttpRequest& received, Duration within) {
  const HttpRequest request = forwarded_request(received);
  const TimePoint deadline = later(clock_.now(), within);
  std::vector<Balancer::TargetId> tried;
  const bool is_question = request.method == "GET";
  std::string_view reason;
  while (const auto to = targets_.next(tried)) {
    retry(reason);
    tried.push_back(to->target);
    auto answer =
        send(request, *to, {}, is_question ? std::min(deadline, later(clock_.now(), kAnswerTime)) : deadline);
    if (answer) return of_node(std::move(*answer));
    if (auto failure = final_failure(answer.error(), request, to->peer)) return std::move(*failure);
    reason = retry_reason(answer.error());
  }
  return nobody();
}

/// By the node that accepted the call, which alone knows that it is pending; else by any.
Answer LoadBalancer::Machine::poll(HttpRequest& received) {
  const std::string id(received.path_parameter("reqId"));
  const TimePoint deadline = later(clock_.now(), kAnswerTime);
  for (const Balancer::Choice& to : targets_.accepted(id)) {
    targets_.begin(to);
    HttpRequest question = received;
    auto answer = send(forwarded_request(question), to, {}, deadline);
    const bool unknown = answer && answer->status == 404 && answer->body != "pending";
    if (answer && !unknown) return of_node(std::move(*answer));
    if (!answer && received.peer_gone.stop_requested()) return caller_has_gone();
  }
  return to_any(received, kAnswersTime);
}

HttpResponse LoadBalancer::Machine::ready() const {
  if (leaving_) return HttpResponse::text(503, "draining");
  if (std::string obstacle = options_.obstacle ? options_.obstacle() : ""; !obstacle.empty())
    return HttpResponse::text(503, std::move(obstacle));
  if (!targets_.any_up()) return HttpResponse::text(503, "no node of the area can be reached");
  return HttpResponse::text(200, "ready");
}

void LoadBalancer::Machine::add_routes(HttpServer& server) {
  const HttpRouteOptions body{.body_max = options_.body_max};
  const HttpRouteOptions code{.body_max = options_.code_max / 3 * 4 + (std::size_t{64} << 10U)};
  const HttpRouteOptions quick{.body_max = options_.body_max, .quick = true};
  server.route("POST", "/invoke/:fun", counted("invoke", &Machine::call), body);
  server.route("GET", "/poll/:reqId", counted("poll", &Machine::poll), body);
  server.route("POST", "/prewarm", counted("prewarm", &Machine::prewarm), body);
  const HttpServer::Handler change = counted("change", &Machine::change);
  for (const char* path : {"/create", "/update", "/workflow/create", "/workflow/import"})
    server.route("POST", path, change, code);
  for (const char* path :
       {"/delete", "/workflow/delete", "/workflow/invoke/:workflow", "/workflow/resume/:workflow"}) {
    server.route("POST", path, change, body);
  }
  const HttpServer::Handler question = counted("question", &Machine::question);
  for (const char* path : {"/function", "/functions", "/status", "/workflow/list", "/openapi.yaml"})
    server.route("GET", path, question, body);
  server.route(
      "GET", "/healthz", [](HttpRequest&) { return HttpResponse::text(200, "ok"); }, quick);
  server.route(
      "GET", "/readyz", [this](HttpRequest&) { return ready(); }, quick);
  if (options_.metrics) {
    server.route(
        "GET", "/metrics",
        [this](HttpRequest&) {
          return HttpResponse{200, std::string(kMetricsType), {}, options_.metrics()};
        },
        quick);
  }
}

HttpServer::Handler LoadBalancer::Machine::counted(std::string_view route, Handler handler) {
  return [this, route, handler](HttpRequest& request) {
    const TimePoint begin = clock_.now();
    Answer answer = (this->*handler)(request);
    if (options_.on_answer)
      options_.on_answer({route, answer.outcome, answer.response.status, clock_.now() - begin});
    return std::move(answer.response);
  };
}

LoadBalancer::LoadBalancer(Options options, HttpServer& server, NodeDirectory& directory,
                           FunctionRegistry& functions, Clock& clock, Observer& observer)
    : machine_(std::make_unique<Machine>(std::move(options), directory, functions, clock, observer)) {
  machine_->add_routes(server);
}

LoadBalancer::~LoadBalancer() = default;

void LoadBalancer::leave() { machine_->leave(); }
std::vector<Balancer::State> LoadBalancer::targets() const { return machine_->targets(); }

}  // namespace serverledge
