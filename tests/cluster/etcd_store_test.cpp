#include "serverledge/cluster/etcd_store.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "cluster/recording_listener.hpp"
#include "serverledge/net/http_client.hpp"
#include "support/etcd_process.hpp"
#include "support/eventually.hpp"
#include "support/silent_listener.hpp"

namespace serverledge {
namespace {

using namespace std::chrono_literals;
using Catch::Contains;
using test::EtcdProcess;
using test::eventually;
using test::RecordingListener;
using test::wanted_etcd;
using Lines = std::vector<std::string>;

std::unique_ptr<KeyValueStore> open(const EtcdOptions& options) {
  auto store = open_etcd_store(options, system_clock());
  if (!store) FAIL(store.error().message);
  return std::move(*store);
}

std::unique_ptr<KeyValueStore> open(const EtcdProcess& etcd) { return open({.endpoints = {etcd.address()}}); }

/// Waits until the store answers again.
bool answers(KeyValueStore& store) {
  return eventually([&] { return store.get("is it there").has_value(); });
}

/// Copies what a watch tells, and counts how often it began.
class Follower final : public StoreListener {
 public:
  void connected(const std::string& incarnation) override {
    const std::scoped_lock lock(mutex_);
    incarnations_.push_back(incarnation);
  }
  void reset(const std::vector<StoredEntry>& all, std::uint64_t /*revision*/) override {
    const std::scoped_lock lock(mutex_);
    ++resets_;
    entries_.clear();
    for (const StoredEntry& entry : all) entries_[entry.key] = entry.value;
    changed_.notify_all();
  }
  void put(const StoredEntry& entry) override {
    const std::scoped_lock lock(mutex_);
    entries_[entry.key] = entry.value;
    changed_.notify_all();
  }
  void removed(const std::string& key, std::uint64_t /*revision*/) override {
    const std::scoped_lock lock(mutex_);
    entries_.erase(key);
    changed_.notify_all();
  }

  using Entries = std::map<std::string, std::string>;
  /// What it knows, once that is as expected; what there is after a minute.
  Entries become(const Entries& expected) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 60s, [&] { return resets_ > 0 && entries_ == expected; });
    return entries_;
  }
  int resets() const {
    const std::scoped_lock lock(mutex_);
    return resets_;
  }
  std::set<std::string> incarnations() const {
    const std::scoped_lock lock(mutex_);
    return {incarnations_.begin(), incarnations_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Entries entries_;
  std::vector<std::string> incarnations_;
  int resets_ = 0;
};
using Entries = Follower::Entries;

}  // namespace

TEST_CASE("Addresses that are none and files that cannot be read are refused by name", "[etcd]") {
  for (const char* wrong : {"", "localhost", "localhost:", ":2379", "localhost:http", "http://", "a b:1",
                            "x:123456", "localhost:2379/v3"}) {
    INFO(wrong);
    const auto store = open_etcd_store({.endpoints = {"127.0.0.1:1", wrong}}, system_clock());
    REQUIRE_FALSE(store);
    CHECK(store.error().code == ErrorCode::kInvalid);
    CHECK_THAT(store.error().message, Contains("etcd.address") && Contains(std::string("'") + wrong + "'"));
  }
  CHECK_FALSE(open_etcd_store({}, system_clock()));
  const auto missing =
      open_etcd_store({.endpoints = {"127.0.0.1:1"}, .ca = "/nowhere/ca.pem"}, system_clock());
  REQUIRE_FALSE(missing);
  CHECK_THAT(missing.error().message, Contains("etcd.ca") && Contains("/nowhere/ca.pem"));
  const auto half = open_etcd_store({.endpoints = {"h:1"}, .certificate = "/etc/hostname"}, system_clock());
  REQUIRE_FALSE(half);
  CHECK_THAT(half.error().message, Contains("etcd.cert and etcd.key"));
}

TEST_CASE("An etcd that is not there fails every call at once, and the store says so", "[etcd]") {
  const auto store = open(EtcdOptions{.endpoints = {"127.0.0.1:1", "127.0.0.1:2"}});
  CHECK(store->healthy());
  CHECK(store->get("a").error().code == ErrorCode::kUnavailable);
  CHECK_FALSE(store->healthy());
  CHECK(store->put("a", "1", 10s).error().code == ErrorCode::kUnavailable);
  CHECK(store->create("a", "1").error().code == ErrorCode::kUnavailable);
  CHECK(store->remove("a").error().code == ErrorCode::kUnavailable);
  CHECK(store->list("a").error().code == ErrorCode::kUnavailable);
  CHECK(store->refresh("a").error().code == ErrorCode::kUnavailable);
  RecordingListener listener;
  const auto watch = store->watch("a", listener);  // ends while it tries
}

TEST_CASE("Of several members one that refuses and one that never answers are passed over", "[etcd]") {
  const EtcdProcess etcd(wanted_etcd());
  const test::SilentListener silent;
  const auto store = open(EtcdOptions{.endpoints = {"127.0.0.1:1", silent.address(), etcd.address()}});
  CHECK(store->put("a", "1"));
  CHECK(store->create("b", "1"));
  CHECK(store->list("")->size() == 2);
  Follower follower;
  const auto watch = store->watch("", follower);
  CHECK(eventually([&] { return follower.resets() == 1; }));
}

TEST_CASE("With user and password calls and watches work, also after etcd forgot the tokens", "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  etcd.ctl({"user", "add", "root:secret"});
  etcd.ctl({"user", "grant-role", "root", "root"});
  etcd.ctl({"user", "add", "node:pass"});
  etcd.ctl({"role", "add", "functions"});
  etcd.ctl({"role", "grant-permission", "--prefix=true", "functions", "readwrite", "/"});
  etcd.ctl({"user", "grant-role", "node", "functions"});

  const EtcdOptions options{.endpoints = {etcd.address()}, .user = "node", .password = "pass"};
  const auto store = open(options);
  CHECK(store->put("/a", "before there is authentication"));
  etcd.ctl({"auth", "enable"});
  CHECK(store->put("/a", "1"));
  Follower follower;
  const auto watch = store->watch("/a", follower);
  CHECK(follower.become({{"/a", "1"}}) == Entries{{"/a", "1"}});

  etcd.kill();
  etcd.start();
  // Of a key that the user may read.
  REQUIRE(eventually([&] { return store->get("/a").has_value(); }));
  CHECK(store->put("/a", "2"));
  CHECK(follower.become({{"/a", "2"}}) == Entries{{"/a", "2"}});

  for (const auto& [user, password] : {std::pair{"node", "wrong"}, {"", ""}}) {
    const auto stranger =
        open(EtcdOptions{.endpoints = {etcd.address()}, .user = user, .password = password});
    const auto refused = stranger->get("/a");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kUnavailable);
    CHECK_THAT(refused.error().message, Contains("etcd.user"));
    CHECK(stranger->refusal() == refused.error().message);
  }
  // Who was let in once is not wrong altogether.
  CHECK_THAT(store->put("elsewhere", "1").error().message, Contains("permission denied"));
  CHECK(store->refusal().empty());
}

TEST_CASE("Over TLS with a client certificate, not without one, nor from another authority", "[etcd]") {
  const EtcdProcess etcd(wanted_etcd({}, true));
  const EtcdOptions good{
      .endpoints = {etcd.address()}, .ca = etcd.ca(), .certificate = etcd.certificate(), .key = etcd.key()};
  const auto store = open(good);
  CHECK(store->put("a", "1"));
  Follower follower;
  const auto watch = store->watch("a", follower);
  CHECK(follower.become({{"a", "1"}}) == Entries{{"a", "1"}});

  EtcdOptions anonymous = good;
  anonymous.certificate.clear();
  anonymous.key.clear();
  CHECK_FALSE(open(anonymous)->get("a"));
  EtcdOptions wary = good;
  wary.ca = etcd.certificate();
  CHECK_FALSE(open(wary)->get("a"));
  CHECK_FALSE(open(EtcdOptions{.endpoints = {"http://" + etcd.address()}})->get("a"));
}

TEST_CASE("An etcd that hangs is noticed while the first call waits, and works again when it goes on",
          "[etcd]") {
  const EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  REQUIRE(store->put("a", "1"));
  etcd.signal(SIGSTOP);
  {
    auto waits = std::async(std::launch::async, [&] { return store->put("a", "2"); });
    CHECK(eventually([&] { return !store->healthy(); }));
    const auto outcome = waits.get();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::kUnavailable);
  }
  CHECK_FALSE(store->healthy());
  const TimePoint before = system_clock().now();
  CHECK_FALSE(store->get("a", 100ms));
  CHECK(system_clock().now() - before < 4s);
  etcd.signal(SIGCONT);
  CHECK(answers(*store));
  CHECK(store->healthy());
}

TEST_CASE("A watch goes on where it was when etcd comes back, without telling all again", "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  REQUIRE(store->put("w/a", "1"));
  REQUIRE(store->put("w/b", "1"));
  Follower follower;
  const auto watch = store->watch("w/", follower);
  REQUIRE(follower.become({{"w/a", "1"}, {"w/b", "1"}}).size() == 2);
  etcd.hide();
  etcd.ctl({"put", "w/a", "2"});
  etcd.ctl({"del", "w/b"});
  etcd.ctl({"put", "w/c", "3"});
  etcd.come_back();
  const Entries expected{{"w/a", "2"}, {"w/c", "3"}};
  CHECK(follower.become(expected) == expected);
  CHECK(follower.resets() == 1);
  CHECK(follower.incarnations().size() == 1);
}

TEST_CASE("A watch begins anew where etcd has compacted what it missed", "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  REQUIRE(store->put("w/a", "1"));
  REQUIRE(store->put("w/b", "1"));
  Follower follower;
  const auto watch = store->watch("w/", follower);
  REQUIRE(follower.become({{"w/a", "1"}, {"w/b", "1"}}).size() == 2);
  etcd.hide();
  etcd.ctl({"put", "w/a", "2"});
  etcd.ctl({"del", "w/b"});
  etcd.ctl({"put", "w/c", "3"});
  const std::string status = etcd.ctl({"endpoint", "status", "--write-out=json"});
  const std::size_t at = status.find("\"revision\":") + 11;
  etcd.ctl({"compact", status.substr(at, status.find_first_not_of("0123456789", at) - at)});
  etcd.come_back();
  const Entries expected{{"w/a", "2"}, {"w/c", "3"}};
  CHECK(follower.become(expected) == expected);
  CHECK(follower.resets() == 2);
  CHECK(follower.incarnations().size() == 1);
}

TEST_CASE("A watch begins anew, with another name of the data, when etcd lost them", "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  for (int i = 0; i < 10; ++i) REQUIRE(store->put("w/a", std::to_string(i)));
  Follower follower;
  const auto watch = store->watch("w/", follower);
  REQUIRE(follower.become({{"w/a", "9"}}).size() == 1);
  etcd.kill();
  etcd.wipe();
  SECTION("and has fewer revisions than before") {
    etcd.start();
    REQUIRE(answers(*store));
    REQUIRE(store->put("w/b", "1"));
    CHECK(follower.become({{"w/b", "1"}}) == Entries{{"w/b", "1"}});
  }
  SECTION("and has more revisions than before already") {
    etcd.hide();
    for (int i = 0; i < 30; ++i) etcd.ctl({"put", "w/b", std::to_string(i)});
    etcd.come_back();
    CHECK(follower.become({{"w/b", "29"}}) == Entries{{"w/b", "29"}});
  }
  CHECK(follower.incarnations().size() == 2);
}

TEST_CASE(
    "Entries with a short ttl have leases of their own, longer ones share them, lost leases are replaced",
    "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  const auto leases = [&] {
    const std::string list = etcd.ctl({"lease", "list"});
    return std::count(list.begin(), list.end(), '\n') - 1;
  };
  for (int i = 0; i < 20; ++i) REQUIRE(store->put("async/" + std::to_string(i), "1", 1800s));
  CHECK(leases() <= 2);  // a minute may have passed
  REQUIRE(store->put("registry/ROME/amd64/a", "1", 120s));
  REQUIRE(store->put("registry/ROME/amd64/b", "1", 120s));
  CHECK(leases() <= 4);
  CHECK(leases() >= 3);
  etcd.kill();
  etcd.wipe();
  etcd.start();
  REQUIRE(answers(*store));
  CHECK(store->put("async/x", "1", 1800s));
  CHECK(store->create("async/y", "1", 1800s));
  CHECK(store->refresh("async/x"));
  CHECK(store->refresh("registry/ROME/amd64/a").error().code == ErrorCode::kNotFound);
}

TEST_CASE("All leases are renewed over one stream, and over another one when that has broken", "[etcd]") {
  EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  const auto streams = [&] {
    HttpClient client({}, system_clock());
    HttpRequest request;
    request.path = "/metrics";
    const std::size_t colon = etcd.address().rfind(':');
    const auto answer = client.request(
        HttpTarget::tcp(etcd.address().substr(0, colon), std::stoi(etcd.address().substr(colon + 1))),
        request, 5s, later(system_clock().now(), 60s));
    constexpr std::string_view kCount =
        R"(grpc_server_started_total{grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",)"
        R"(grpc_type="bidi_stream"} )";
    const std::size_t at = answer->body.find(kCount);
    return at == std::string::npos ? -1 : std::stoi(answer->body.substr(at + kCount.size()));
  };
  for (const char* key : {"lease/a", "lease/b", "lease/c"}) REQUIRE(store->put(key, "1", 60s));
  CHECK(streams() == 0);
  std::vector<std::jthread> threads;
  std::atomic<int> failed{0};
  for (const char* key : {"lease/a", "lease/b", "lease/c"}) {
    threads.emplace_back([&, key] {
      for (int i = 0; i < 20; ++i) failed += store->refresh(key) ? 0 : 1;
    });
  }
  threads.clear();
  CHECK(failed == 0);
  CHECK(streams() == 1);
  etcd.kill();
  CHECK(store->refresh("lease/a").error().code == ErrorCode::kUnavailable);
  etcd.start();
  REQUIRE(answers(*store));
  CHECK(store->refresh("lease/a"));
  CHECK(store->refresh("lease/b"));
  CHECK(streams() == 1);  // counted since its start
}

TEST_CASE("What is too large for etcd is said to be, nothing is stored", "[etcd]") {
  const EtcdProcess etcd(wanted_etcd());
  const auto store = open(etcd);
  REQUIRE(store->put("a", "1"));
  for (const std::size_t size : {std::size_t{1'600'000}, std::size_t{8'000'000}}) {
    const auto refused = store->put("a", std::string(size, 'x'));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kTooLarge);
  }
  CHECK(store->put("a", std::string(1'450'000, 'x')));
  CHECK(store->healthy());
}

TEST_CASE("A full etcd is a clear error, what was stored before is there, and can be removed", "[etcd]") {
  const EtcdProcess etcd(wanted_etcd({"--quota-backend-bytes", "20000000"}));
  const auto store = open(etcd);
  REQUIRE(store->put("before", "1"));
  const std::string big(1'000'000, 'x');
  std::optional<Error> full;
  for (int i = 0; i < 100 && !full; ++i) {
    const auto put = store->put("big/" + std::to_string(i), big);
    if (!put) full = put.error();
  }
  REQUIRE(full);
  CHECK(full->code == ErrorCode::kDiskFull);
  CHECK_THAT(full->message, Contains("etcd is full"));
  CHECK(store->create("new", "1").error().code == ErrorCode::kDiskFull);
  CHECK(store->get("before").value()->value == "1");
  CHECK(store->list("big/")->size() > 5);
  CHECK(store->remove("before")->has_value());
  CHECK(store->healthy());
}

}  // namespace serverledge
