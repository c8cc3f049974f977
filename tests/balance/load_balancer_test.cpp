// A balancer before targets in this process, which answer as a test wants.
#include "serverledge/balance/load_balancer.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "serverledge/cluster/embedded_store.hpp"
#include "serverledge/cluster/stored_directory.hpp"
#include "serverledge/cluster/stored_registry.hpp"
#include "serverledge/core/request_id.hpp"
#include "serverledge/net/http_client.hpp"
#include "support/answers.hpp"
#include "support/gate.hpp"
#include "support/silent_peer.hpp"

namespace serverledge::test {
namespace {

using std::chrono::seconds;

/// A node, as far as a balancer can tell.
class Target {
 public:
  using Handler = std::function<HttpResponse(HttpRequest&)>;
  explicit Target(std::string name) : key(std::move(name)) {
    for (const char* path : {"/invoke/:fun", "/create", "/prewarm", "/delete"})
      server_.route("POST", path, [this](HttpRequest& request) { return take(request); });
    for (const char* path : {"/poll/:reqId", "/status", "/function"})
      server_.route("GET", path, [this](HttpRequest& request) { return take(request); });
    port = server_.start().value();
  }
  /// Stops listening; `start` again is on another port.
  void stop() { server_.stop(); }
  HttpRequest last() const {
    const std::scoped_lock lock(mutex_);
    return last_;
  }

  const std::string key;
  int port = 0;
  std::atomic<int> requests{0};
  Handler answer = [this](HttpRequest&) { return HttpResponse::text(200, key); };

 private:
  HttpResponse take(HttpRequest& request) {
    ++requests;
    {
      const std::scoped_lock lock(mutex_);
      last_ = request;
    }
    return answer(request);
  }
  mutable std::mutex mutex_;
  HttpRequest last_;
  HttpServer server_{{}, system_clock()};
};

/// The balancer of an area, and a client of it.
class Rig {
 public:
  explicit Rig(LoadBalancerOptions options = {}) {
    options.area = "ROME";
    balancer_ = std::make_unique<LoadBalancer>(std::move(options), server_, *directory_, *functions_,
                                               system_clock(), observer_);
    port_ = server_.start().value();
  }
  ~Rig() { server_.stop(); }

  void add(const std::string& key, int port, const std::string& arch = "amd64") {
    REQUIRE(store_->put(registration_key("ROME", arch, key, false),
                        registration_value("127.0.0.1", port, 9876, arch)));
    REQUIRE(eventually([&] { return has(key); }));
  }
  void add(const Target& target) { add(target.key, target.port); }
  void remove(const std::string& key) {
    REQUIRE(store_->remove(registration_key("ROME", "amd64", key, false)));
    REQUIRE(eventually([&] { return !has(key); }));
  }
  FunctionRegistry& functions() { return *functions_; }
  LoadBalancer& balancer() { return *balancer_; }
  int port() const { return port_; }

  HttpResponse send(HttpRequest request) {
    auto answer = client_.request(HttpTarget::tcp("127.0.0.1", port_), request, seconds(5),
                                  later(system_clock().now(), std::chrono::minutes(1)));
    if (!answer) throw std::runtime_error(answer.error().message);
    return std::move(*answer);
  }
  HttpResponse post(const std::string& path, std::string body = "{}") {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.body = std::move(body);
    return send(std::move(request));
  }
  HttpResponse get(const std::string& path) {
    HttpRequest request;
    request.path = path;
    return send(std::move(request));
  }

 private:
  bool has(const std::string& key) const {
    const auto nodes = directory_->members("ROME").nodes;
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const Registration& node) { return node.peer.key == key; });
  }

  Observer observer_;
  std::unique_ptr<KeyValueStore> store_ = std::move(*open_embedded_store(":memory:", system_clock()));
  std::unique_ptr<FunctionRegistry> functions_ = make_stored_registry(*store_, system_clock(), observer_);
  std::unique_ptr<NodeDirectory> directory_ =
      make_stored_directory({.areas = {"ROME"}, .lease = seconds(120)}, *store_, observer_);
  std::unique_ptr<LoadBalancer> balancer_;
  HttpServer server_{{}, system_clock()};
  HttpClient client_{{}, system_clock()};
  int port_ = 0;
};

/// A function that `target` is the first for.
template <typename Targets>
std::string function_of(Rig& rig, const Targets& key) {
  for (int i = 0; i < 200; ++i) {
    const std::string name = "f" + std::to_string(i);
    if (rig.post("/invoke/" + name).body == key) return name;
  }
  throw std::runtime_error("no function belongs to that target");
}

TEST_CASE("A call travels unchanged, and the answer comes with the headers of the contract", "[balance]") {
  Rig rig;
  Target one("one");
  rig.add(one);
  one.answer = [](HttpRequest&) {
    HttpResponse answer = HttpResponse::json(200, "{\"Success\":true}\n");
    answer.headers.add("Serverledge-Node-Name", "one");
    answer.headers.add("Serverledge-Free-Mem", "512");
    answer.headers.add("Serverledge-Free-CPU", "2.000000");
    answer.headers.add("Serverledge-Timestamp", "1795421143");
    answer.headers.add("Serverledge-Node-Arch", "amd64");
    answer.headers.add("Serverledge-MAB-Request-ID", "17");
    answer.headers.add("X-Of-Function", "kept");
    return answer;
  };
  HttpRequest request;
  request.method = "POST";
  request.path = "/invoke/f";
  request.query = "a=%20b";
  request.body = R"({"Params":{"n":1},"Async":false})";
  request.headers.add("Content-Type", "application/json");
  request.headers.add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  request.headers.add("X-Forwarded-For", "192.0.2.9");
  const HttpResponse answer = rig.send(request);
  CHECK(answer.status == 200);
  CHECK(answer.body == "{\"Success\":true}\n");
  CHECK(answer.content_type.starts_with("application/json"));
  CHECK(header(answer, "Serverledge-Node-Arch") == "amd64");
  CHECK(header(answer, "Serverledge-Timestamp") == "1795421143");
  CHECK(header(answer, "X-Of-Function") == "kept");
  for (const char* name : {"Serverledge-Node-Name", "Serverledge-Free-Mem", "Serverledge-Free-CPU",
                           "Serverledge-MAB-Request-ID"}) {
    CHECK(header(answer, name) == "absent");
  }
  const HttpRequest received = one.last();
  CHECK(received.path == "/invoke/f");
  CHECK(received.query == request.query);
  CHECK(received.body == request.body);
  CHECK(*received.headers.find("traceparent") == *request.headers.find("traceparent"));
  CHECK(*received.headers.find("Content-Type") == "application/json");
  CHECK(*received.headers.find("X-Forwarded-For") == "192.0.2.9, 127.0.0.1");
}

TEST_CASE("Calls of a function go to one node, and other functions to others", "[balance]") {
  Rig rig;
  Target one("one");
  Target two("two");
  Target three("three");
  for (const Target* target : {&one, &two, &three}) rig.add(*target);
  std::set<std::string> used;
  for (int i = 0; i < 30; ++i) {
    const std::string path = "/invoke/f" + std::to_string(i);
    const std::string node = rig.post(path).body;
    used.insert(node);
    for (int again = 0; again < 5; ++again) CHECK(rig.post(path).body == node);
  }
  CHECK(used.size() == 3);
  // Prewarming warms the node that the calls will go to.
  for (int i = 0; i < 10; ++i) {
    const std::string name = "f" + std::to_string(i);
    CHECK(rig.post("/prewarm", R"({"Function":")" + name + R"(","Instances":1})").body ==
          rig.post("/invoke/" + name).body);
  }
}

TEST_CASE("A hot function spills over to the other nodes", "[balance]") {
  LoadBalancerOptions options;
  options.balancing = {.bound = 1.25, .spare = 2};
  Rig rig(options);
  Gate gate;
  Target one("one");
  Target two("two");
  for (Target* target : {&one, &two}) {
    rig.add(*target);
    target->answer = [&, target](HttpRequest&) {
      gate.wait();
      return HttpResponse::text(200, target->key);
    };
  }
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 10; ++i) callers.push_back(std::make_unique<Caller>(rig, "hot", "{}"));
  REQUIRE(gate.wait_for_arrivals(10));
  // Of ten calls none has more than 1.25 x 5 at a time, rounded up.
  CHECK(one.requests <= 7);
  CHECK(two.requests <= 7);
  CHECK(one.requests + two.requests == 10);
  gate.open();
  for (const auto& caller : callers) CHECK(caller->answer().status == 200);
}

TEST_CASE("A node that refuses connections costs no call, and is used again when it is back", "[balance]") {
  Rig rig;
  Target one("one");
  auto two = std::make_unique<Target>("two");
  const int port = two->port;
  rig.add(one);
  rig.add(*two);
  const std::string of_two = function_of(rig, std::string("two"));
  two->stop();
  for (int i = 0; i < 50; ++i) {
    const HttpResponse answer = rig.post("/invoke/f" + std::to_string(i));
    CHECK(answer.status == 200);
    CHECK(answer.body == "one");
  }
  // What listens there now is the same node for the directory.
  HttpServerOptions there;
  there.port = port;
  HttpServer back(there, system_clock());
  back.route("POST", "/invoke/:fun", [](HttpRequest&) { return HttpResponse::text(200, "two again"); });
  REQUIRE(back.start().has_value());
  CHECK(eventually([&] { return rig.post("/invoke/" + of_two).body == "two again"; }));
}

TEST_CASE("A node that takes connections and is silent is left out without a call lost", "[balance]") {
  Rig rig;
  Target one("one");
  rig.add(one);
  SilentPeer silent;
  rig.add("silent", silent.port());
  // Nobody had to lose a call for it: it is asked, and asked again after it has not answered.
  REQUIRE(eventually([&] { return silent.connections() >= 2; }));
  for (int i = 0; i < 20; ++i) CHECK(rig.get("/status").body == "one");
  for (int i = 0; i < 20; ++i) CHECK(rig.post("/invoke/f" + std::to_string(i)).body == "one");
}

TEST_CASE("A POST that a node broke off is not sent twice: the caller is told", "[balance]") {
  Rig rig;
  SilentPeer broken(SilentPeer::Then::kHangsUp);
  rig.add("broken", broken.port());
  const HttpResponse answer = rig.post("/invoke/f");
  CHECK(answer.status == 502);
  CHECK(member(answer, "Error").find("broken") != std::string::npos);
  Target one("one");
  rig.add(one);
  // Again, with another node there that could be tried.
  int unknown = 0;
  for (int i = 0; i < 40; ++i) unknown += rig.post("/invoke/f" + std::to_string(i)).status == 502 ? 1 : 0;
  CHECK(one.requests + unknown == 40);
}

TEST_CASE("A GET that a node broke off is asked of another one", "[balance]") {
  Rig rig;
  SilentPeer broken(SilentPeer::Then::kHangsUp);
  rig.add("broken", broken.port());
  Target one("one");
  rig.add(one);
  for (int i = 0; i < 20; ++i) CHECK(rig.get("/function").status == 200);
}

TEST_CASE("What a node has no room for is offered to two others, and then refused as the node did",
          "[balance]") {
  Rig rig;
  std::vector<std::unique_ptr<Target>> targets;
  for (const char* key : {"one", "two", "three", "four"}) {
    targets.push_back(std::make_unique<Target>(key));
    rig.add(*targets.back());
  }
  const std::string home = rig.post("/invoke/f").body;
  const auto full = [](HttpRequest&) {
    HttpResponse answer = HttpResponse::json(429, "{\"Error\":\"full\"}\n");
    answer.headers.add("Retry-After", "1");
    return answer;
  };
  for (const auto& target : targets) {
    if (target->key == home) target->answer = full;
  }
  const HttpResponse elsewhere = rig.post("/invoke/f");
  CHECK(elsewhere.status == 200);
  CHECK(elsewhere.body != home);
  int before = 0;
  for (const auto& target : targets) {
    target->answer = full;
    before += target->requests;
  }
  const HttpResponse refused = rig.post("/invoke/f");
  CHECK(refused.status == 429);
  CHECK(refused.body == "{\"Error\":\"full\"}\n");
  CHECK(header(refused, "Retry-After") == "1");
  int after = 0;
  for (const auto& target : targets) after += target->requests;
  CHECK(after - before == 3);
}

TEST_CASE("What became of each request is told, and why one went to a further node", "[balance]") {
  std::mutex mutex;
  std::vector<std::string> told;
  Duration took = Duration::max();
  std::string obstacle;
  LoadBalancerOptions options;
  options.on_answer = [&](const BalancedRequest& request) {
    const std::scoped_lock lock(mutex);
    took = std::min(took, request.took);
    told.push_back(std::string(request.route) + " " + std::string(request.outcome) + " " +
                   std::to_string(request.status));
  };
  options.on_retry = [&](std::string_view reason) {
    const std::scoped_lock lock(mutex);
    told.emplace_back(reason);
  };
  options.metrics = [] { return "figures"; };
  options.obstacle = [&] {
    const std::scoped_lock lock(mutex);
    return obstacle;
  };
  Rig rig(options);
  using Told = std::vector<std::string>;
  const auto of = [&](const std::function<void()>& action) {
    action();
    const std::scoped_lock lock(mutex);
    return std::exchange(told, {});
  };
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"invoke unreachable 503"});
  Target one("one");
  rig.add(one);
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"invoke answered 200"});
  CHECK(of([&] { rig.post("/prewarm"); }) == Told{"prewarm answered 200"});
  CHECK(of([&] { rig.post("/create"); }) == Told{"change answered 200"});
  CHECK(of([&] { rig.get("/status"); }) == Told{"question answered 200"});
  CHECK(of([&] { rig.get("/poll/f-1"); }) == Told{"poll answered 200"});
  const auto full = [](HttpRequest&) { return HttpResponse::text(429, "full"); };
  one.answer = full;
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"invoke refused 429"});
  Target two("two");
  two.answer = full;
  rig.add(two);
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"refused", "invoke refused 429"});
  const auto states = rig.balancer().targets();
  REQUIRE(states.size() == 2);
  CHECK(states[0].peer.key == "one");
  CHECK(states[0].up);
  CHECK(states[0].calls == 0);
  one.stop();
  two.stop();
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"unreachable", "invoke unreachable 503"});
  CHECK_FALSE(rig.balancer().targets()[0].up);
  rig.remove("one");
  rig.remove("two");
  SilentPeer broken(SilentPeer::Then::kHangsUp);
  rig.add("broken", broken.port());
  CHECK(of([&] { rig.post("/invoke/f"); }) == Told{"invoke unknown 502"});
  SilentPeer also_broken(SilentPeer::Then::kHangsUp);
  rig.add("also-broken", also_broken.port());
  CHECK(of([&] { rig.get("/function"); }) == Told{"no_answer", "question unreachable 503"});
  Target three("three");
  rig.add(three);
  REQUIRE(eventually([&] { return rig.get("/readyz").status == 200; }));
  // Its own business is not counted.
  CHECK(of([&] { CHECK(rig.get("/metrics").body == "figures"); }).empty());
  CHECK(rig.get("/readyz").status == 200);
  {
    const std::scoped_lock lock(mutex);
    obstacle = "somebody has to do something";
    CHECK(took > Duration::zero());
  }
  CHECK(rig.get("/readyz").status == 503);
  CHECK(rig.get("/readyz").body == "somebody has to do something");
}

TEST_CASE("An error of the function, or of the caller, is relayed and not tried elsewhere", "[balance]") {
  Rig rig;
  Target one("one");
  Target two("two");
  rig.add(one);
  rig.add(two);
  const int status = GENERATE(400, 404, 500, 504);
  for (Target* target : {&one, &two}) {
    target->answer = [=](HttpRequest&) { return HttpResponse::json(status, "{\"Success\":false}\n"); };
  }
  const HttpResponse answer = rig.post("/invoke/f");
  CHECK(answer.status == status);
  CHECK(answer.body == "{\"Success\":false}\n");
  CHECK(one.requests + two.requests == 1);
}

TEST_CASE("A poll goes to the node that accepted the call, and to any other when that is gone", "[balance]") {
  Rig rig;
  std::vector<std::unique_ptr<Target>> targets;
  for (const char* key : {"edge-one", "edge-two", "edge-six"}) {
    targets.push_back(std::make_unique<Target>(key));
    rig.add(*targets.back());
  }
  const std::string id = "f-" + request_tag("ROME", "edge-two") + "0123456789abcdef0123456789abcdef";
  for (const auto& target : targets) {
    const bool accepted = target->key == "edge-two";
    target->answer = [=](HttpRequest&) {
      return HttpResponse::text(404, accepted ? "pending" : "unknown request");
    };
  }
  for (int i = 0; i < 10; ++i) CHECK(rig.get("/poll/" + id).body == "pending");
  for (const auto& target : targets) {
    if (target->key == "edge-two") {
      target->stop();
    } else {
      target->answer = [](HttpRequest&) { return HttpResponse::json(200, "{\"Success\":true}"); };
    }
  }
  for (int i = 0; i < 10; ++i) CHECK(rig.get("/poll/" + id).body == "{\"Success\":true}");
  // An id that tells nothing may be asked of any.
  CHECK(rig.get("/poll/another").body == "{\"Success\":true}");
}

TEST_CASE("Without a node the answer is 503 and not a crash, for every route (known defect 3.2 lb/types.go)",
          "[balance]") {
  Rig rig;
  for (const char* path : {"/invoke/f", "/create", "/update", "/delete", "/prewarm"}) {
    const HttpResponse answer = rig.post(path);
    CHECK(answer.status == 503);
    CHECK(header(answer, "Retry-After") == "1");
    CHECK(member(answer, "Error").find("ROME") != std::string::npos);
  }
  for (const char* path : {"/poll/x", "/status", "/function"}) CHECK(rig.get(path).status == 503);
  CHECK(rig.get("/healthz").status == 200);
  CHECK(rig.get("/readyz").status == 503);
  Target one("one");
  rig.add(one);
  CHECK(rig.get("/readyz").status == 200);
  CHECK(rig.get("/nowhere").status == 404);
  rig.balancer().leave();
  CHECK(rig.get("/readyz").body == "draining");
}

TEST_CASE("Nodes may come and go while calls are made (known defect 3.2 lb/types.go)", "[balance]") {
  Rig rig;
  Target steady("steady");
  rig.add(steady);
  std::vector<std::unique_ptr<Target>> others;
  for (const char* key : {"one", "two", "three"}) others.push_back(std::make_unique<Target>(key));
  std::atomic<bool> over{false};
  std::atomic<int> good{0};
  std::atomic<int> bad{0};
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; !over; ++i) {
        const bool fine = rig.post("/invoke/f" + std::to_string((i * 7 + caller) % 20)).status == 200;
        ++(fine ? good : bad);
      }
    });
  }
  for (int round = 0; round < 15; ++round) {
    for (const auto& target : others) rig.add(*target);
    const int now = good;
    CHECK(eventually([&] { return good > now + 10; }));
    for (const auto& target : others) rig.remove(target->key);
  }
  over = true;
  callers.clear();
  CHECK(bad == 0);
}

TEST_CASE("A body over the limit is refused before any node is asked", "[balance]") {
  LoadBalancerOptions options;
  options.body_max = 1000;
  Rig rig(options);
  Target one("one");
  rig.add(one);
  CHECK(rig.post("/invoke/f", std::string(1001, ' ')).status == 413);
  CHECK(one.requests == 0);
  CHECK(rig.post("/invoke/f", std::string(1000, ' ')).status == 200);
  CHECK(rig.post("/create", std::string(50'000, ' ')).status == 200);  // code may be larger
}

TEST_CASE("A function goes to nodes of its architectures only", "[balance]") {
  Rig rig;
  Target intel("intel");
  Target arm("arm");
  rig.add("intel", intel.port, "amd64");
  rig.add("arm", arm.port, "arm64");
  for (int i = 0; i < 20; ++i) {
    Function function;
    function.name = "f" + std::to_string(i);
    function.runtime = "custom";
    function.custom_image = "image";
    function.memory_mb = 128;
    function.supported_archs = {"arm64"};
    REQUIRE(rig.functions().create(function, {}).has_value());
    CHECK(rig.post("/invoke/" + function.name).body == "arm");
  }
}

TEST_CASE("A caller that hangs up is let go, and its node told", "[balance]") {
  Rig rig;
  Target one("one");
  rig.add(one);
  Gate gone;
  one.answer = [&](HttpRequest& request) {
    const std::stop_callback told(request.peer_gone, [&] { gone.open(); });
    return HttpResponse::text(200, gone.wait() ? "after it has gone" : "never gone");
  };
  HttpClient client({}, system_clock());
  std::stop_source hang_up;
  HttpRequest request;
  request.method = "POST";
  request.path = "/invoke/f";
  request.peer_gone = hang_up.get_token();
  std::jthread hanging([&] {
    gone.wait_for_arrivals(1);
    hang_up.request_stop();
  });
  const auto answer = client.request(HttpTarget::tcp("127.0.0.1", rig.port()), request, seconds(5),
                                     later(system_clock().now(), seconds(60)));
  CHECK(answer.error().code == ErrorCode::kCancelled);
  CHECK(gone.wait());
  CHECK(rig.post("/invoke/f").body == "after it has gone");
}

}  // namespace
}  // namespace serverledge::test
