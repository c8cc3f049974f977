// An edge gateway with a node inside: it has an HTTP interface and an admission rule of its own, decides by a
// policy of its own where a call runs, and brings its function along.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <serverledge/assembly/open_node.hpp>
#include <serverledge/core/json.hpp>
#include <serverledge/net/http_server.hpp>

namespace gateway {

using namespace serverledge;

constexpr const char* kFunction = R"(
def handler(params, context):
    samples = params["samples"]
    return {"count": len(samples), "mean": sum(samples) / len(samples)}
)";

/// The admission rule: each client may make `burst` calls at once, and `per_second` in the long run.
/// Thread-safe.
class Admission {
 public:
  Admission(double burst, double per_second, Clock& clock)
      : burst_(burst), per_second_(per_second), clock_(clock) {}

  bool admit(const std::string& client) {
    const std::scoped_lock lock(mutex_);
    const TimePoint now = clock_.now();
    Account& account = accounts_.try_emplace(client, Account{burst_, now}).first->second;
    account.left = std::min(burst_, account.left + per_second_ * seconds(now - account.at));
    account.at = now;
    if (account.left < 1) return false;
    account.left -= 1;
    return true;
  }

 private:
  struct Account {
    double left;
    TimePoint at;
  };
  const double burst_;
  const double per_second_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Account> accounts_;
};

/// What the policy has decided so far.
struct Decisions {
  std::atomic<int> here{0};
  std::atomic<int> cloud{0};
  std::atomic<int> refused{0};
};

/// Small inputs stay here. Large ones go to the cloud, if there is one, and are refused otherwise: this
/// machine has better things to do.
class SmallStaysPolicy final : public OffloadingPolicy {
 public:
  SmallStaysPolicy(std::size_t largest, Decisions& decisions) : largest_(largest), decisions_(decisions) {}

  Decision on_arrival(const Invocation& invocation, const NodeView& view) override {
    if (invocation.params_size <= largest_) {
      ++decisions_.here;
      return Decision(RunHere{}, WaitHere{});
    }
    if (invocation.can_offload && !view.peers->cloud.empty()) {
      ++decisions_.cloud;
      return Decision(OffloadTo{view.peers->cloud.front().peer});
    }
    ++decisions_.refused;
    return Decision(Refuse{"too large for the edge, and no cloud is known"});
  }

 private:
  const std::size_t largest_;
  Decisions& decisions_;
};

HttpResponse message(int status, std::string_view text) {
  std::string body;
  JsonWriter(body).begin_object().key("message").string(text).end_object();
  return HttpResponse::json(status, std::move(body));
}

/// Runs the function on the thread of the request.
HttpResponse run(Node& node, const std::string& function, HttpRequest& request) {
  const Result<JsonDocument> params = JsonDocument::parse(request.body);
  if (!params || !params->root().is_object()) return message(400, "expected a JSON object");
  Result<FunctionPtr> found = node.registry().find(function);
  if (!found) return message(http_status(found.error().code), found.error().message);
  Invocation invocation;
  invocation.function = std::move(*found);
  invocation.params_size = request.body.size();
  invocation.body = std::move(request.body);
  invocation.arrival = request.arrival;
  invocation.caller_gone = request.peer_gone;
  const Result<ExecutionReport> report = node.invoke(invocation);
  if (!report) return message(http_status(report.error().code), report.error().message);
  if (report->failure) return message(500, report->failure->message);
  return HttpResponse::json(200, report->result);
}

/// The gateway's HTTP interface, in place of the node's.
void add_routes(HttpServer& front, Node& node, Admission& admission, const Decisions& decisions) {
  front.route("POST", "/measure", [&](HttpRequest& request) {
    const std::string* client = request.headers.find("X-Client");
    if (client == nullptr) return message(401, "who are you? (X-Client)");
    if (!admission.admit(*client)) return message(429, "too many calls");
    return run(node, "mean", request);
  });
  front.route("GET", "/decisions", [&](HttpRequest&) {
    std::string body;
    JsonWriter json(body);
    json.begin_object();
    json.key("here").integer(decisions.here).key("cloud").integer(decisions.cloud);
    json.key("refused").integer(decisions.refused).end_object();
    return HttpResponse::json(200, std::move(body));
  });
}

int fail(const Error& error) {
  std::fprintf(stderr, "gateway: %s\n", error.message.c_str());
  return 1;
}

int serve(int port, const sigset_t& stopping) {
  Configuration configuration;
  for (const auto& [key, value] :
       {std::pair{"store.path", ":memory:"}, {"scheduler.queue.capacity", "100"}}) {
    if (Result<void> set = configuration.set(key, value); !set) return fail(set.error());
  }
  Decisions decisions;
  Overrides parts;
  parts.policy = std::make_unique<SmallStaysPolicy>(4096, decisions);
  Result<std::unique_ptr<OpenedNode>> node = open_node(configuration, std::move(parts));
  if (!node) return fail(node.error());

  Function mean;
  mean.name = "mean";
  mean.runtime = "python314";
  mean.handler = "mean.handler";
  mean.memory_mb = 64;
  if (auto stored = (*node)->update_function(std::move(mean), kFunction); !stored)
    return fail(stored.error());

  Admission admission(3, 0.01, system_clock());
  HttpServerOptions options;
  options.port = port;
  HttpServer front(std::move(options), system_clock());
  add_routes(front, (*node)->node(), admission, decisions);
  const Result<int> listening = front.start();
  if (!listening) return fail(listening.error());
  std::printf("listening on http://127.0.0.1:%d\n", *listening);
  std::fflush(stdout);

  int signal = 0;
  sigwait(&stopping, &signal);
  (*node)->stop(std::chrono::seconds(5));
  front.drain(std::chrono::seconds(1));
  front.stop();
  return 0;
}

}  // namespace gateway

/// Usage: gateway [port]
int main(int argc, char** argv) {
  // A process decides about its signals itself: before its first thread, which hands the mask on.
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stopping, nullptr);
  return gateway::serve(argc > 1 ? std::atoi(argv[1]) : 8080, stopping);
}
