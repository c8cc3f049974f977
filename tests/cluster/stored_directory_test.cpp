#include "serverledge/cluster/stored_directory.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>
#include <fstream>
#include <mutex>

#include "cluster/faulty_store.hpp"
#include "cluster/open_embedded.hpp"
#include "cluster/recording_observer.hpp"
#include "support/answers.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kKey = "registry/ROME/amd64/node-one";

Enlistment enlistment(const std::string& key = "node-one", const std::string& address = "192.0.2.1") {
  return {.key = key,
          .area = "ROME",
          .arch = "amd64",
          .port = 21323,
          .udp_port = 29876,
          .address = [address]() -> Result<std::string> { return address; }};
}

struct DirectoriesOnStore {
  DirectoriesOnStore() : store(open_embedded()), faulty(*store) {}

  std::unique_ptr<NodeDirectory> directory(Duration lease = seconds(120),
                                           std::vector<std::string> areas = {"ROME"}) {
    return make_stored_directory({.areas = std::move(areas), .lease = lease}, faulty, observer);
  }
  std::string value(const std::string& key = kKey) const {
    const auto entry = store->get(key).value();
    return entry ? entry->value : "none";
  }
  bool becomes(const std::string& expected, const std::string& key = kKey) const {
    return eventually([&] { return value(key) == expected; });
  }

  RecordingObserver observer;
  std::unique_ptr<KeyValueStore> store;
  FaultyStore faulty;
};

using Keys = std::vector<std::string>;

std::vector<std::string> keys(const std::vector<Registration>& members) {
  std::vector<std::string> found;
  for (const Registration& member : members) found.push_back(member.peer.key);
  return found;
}

TEST_CASE("Keys and values of registrations are those of the contract", "[directory]") {
  CHECK(registration_key("ROME", "amd64", "node-one", false) == "registry/ROME/amd64/node-one");
  CHECK(registration_key("ROME", "amd64", "PCUt", true) == "registry/ROME/__lb/amd64/PCUt");
  CHECK(registration_value("127.0.0.1", 21323, 29876, "amd64") == "127.0.0.1;21323;29876;amd64");
  const auto node = read_registration("ROME", "registry/ROME/amd64/node-one", "127.0.0.1;21323;29876;amd64");
  REQUIRE(node);
  CHECK_FALSE(node->balancer);
  CHECK(node->registration == Registration{{"node-one", "ROME", "127.0.0.1", 21323, "amd64"}, 29876});
  const auto balancer =
      read_registration("ROME", "registry/ROME/__lb/amd64/PCUtwfZV", "127.0.0.1;21330;29930;amd64");
  REQUIRE(balancer);
  CHECK(balancer->balancer);
  CHECK(balancer->registration.peer.key == "PCUtwfZV");
}

TEST_CASE("The architecture that a Go node was told counts, not the one it was compiled for", "[directory]") {
  const auto node = read_registration("ROME", "registry/ROME/arm64/n", "192.0.2.1;1;2;amd64");
  REQUIRE(node);
  CHECK(node->registration.peer.arch == "arm64");
}

TEST_CASE("Hostile registrations are none", "[directory]") {
  for (const char* key :
       {"registry/ROME/n", "registry/ROME/riscv/n", "registry/ROME/amd64/", "registry/ROME/amd64/a/b",
        "registry/ROMA/amd64/n", "registry/ROME/amd64/a b", "x/ROME/amd64/n", ""}) {
    CAPTURE(key);
    CHECK_FALSE(read_registration("ROME", key, "192.0.2.1;1;2;amd64"));
  }
  for (const char* value :
       {"", ";;;", "192.0.2.1;1;2", "192.0.2.1;1;2;amd64;x", "192.0.2.1;0;2;amd64", "192.0.2.1;65536;2;amd64",
        "192.0.2.1;-1;2;amd64", "192.0.2.1;1x;2;amd64", "192.0.2.1;1; 2;amd64", "ho st;1;2;amd64",
        "a/b;1;2;amd64", "h\r\nX: y;1;2;amd64"}) {
    CAPTURE(value);
    CHECK_FALSE(read_registration("ROME", "registry/ROME/amd64/n", value));
  }
}

TEST_CASE("A node registers, is found, and goes when it withdraws", "[directory]") {
  DirectoriesOnStore rig;
  const auto one = rig.directory();
  const auto two = rig.directory();
  one->enlist(enlistment());
  REQUIRE(rig.becomes("192.0.2.1;21323;29876;amd64"));
  REQUIRE(
      eventually([&] { return keys(two->members("ROME").nodes) == std::vector<std::string>{"node-one"}; }));
  one->withdraw();
  CHECK(rig.value() == "none");
  CHECK(eventually([&] { return two->members("ROME").nodes.empty(); }));
}

TEST_CASE("Areas are kept apart, also those whose names begin alike, and balancers from nodes",
          "[directory]") {
  DirectoriesOnStore rig;
  (void)rig.store->put("registry/ROME/amd64/a", "192.0.2.1;1;2;amd64").value();
  (void)rig.store->put("registry/ROMEO/amd64/b", "192.0.2.2;1;2;amd64").value();
  (void)rig.store->put("registry/CLOUD/amd64/c", "192.0.2.3;1;2;amd64").value();
  (void)rig.store->put("registry/CLOUD/__lb/amd64/d", "192.0.2.4;1;2;amd64").value();
  (void)rig.store->put("registry/CLOUD/amd64/e", "not a registration").value();
  const auto directory = rig.directory(seconds(120), {"ROME", "CLOUD"});
  REQUIRE(eventually([&] { return directory->members("CLOUD").nodes.size() == 1; }));
  REQUIRE(eventually([&] { return directory->members("ROME").nodes.size() == 1; }));
  CHECK(keys(directory->members("ROME").nodes) == std::vector<std::string>{"a"});
  CHECK(keys(directory->members("CLOUD").nodes) == std::vector<std::string>{"c"});
  CHECK(keys(directory->members("CLOUD").balancers) == std::vector<std::string>{"d"});
  CHECK(rig.observer.lines().size() == 1);  // what makes no sense is logged, once
  (void)rig.store->put("registry/CLOUD/amd64/f", "192.0.2.5;1;2;amd64").value();
  CHECK(eventually([&] { return directory->members("CLOUD").nodes.size() == 2; }));
  CHECK(rig.observer.lines().size() == 1);
}

TEST_CASE("Whoever wants to know is told of changes", "[directory]") {
  DirectoriesOnStore rig;
  const auto directory = rig.directory();
  std::atomic<bool> seen{false};
  directory->on_change([&] { seen = seen || !directory->members("ROME").nodes.empty(); });
  (void)rig.store->put("registry/ROME/amd64/a", "192.0.2.1;1;2;amd64").value();
  CHECK(eventually([&] { return seen.load(); }));
  directory->on_change({});
}

TEST_CASE("A registration is renewed before it ends", "[directory]") {
  DirectoriesOnStore rig;
  const auto directory = rig.directory(seconds(2));
  directory->enlist(enlistment());
  REQUIRE(rig.becomes("192.0.2.1;21323;29876;amd64"));
  const std::uint64_t revision = rig.store->get(kKey).value()->revision;
  const TimePoint end = system_clock().now() + seconds(5);
  bool always = true;
  while (system_clock().now() < end) always = always && rig.value() != "none";
  CHECK(always);
  CHECK(rig.store->get(kKey).value()->revision == revision);  // and nobody is told anything new
}

TEST_CASE("A node whose registration is gone registers again at once (known defect 10)", "[directory]") {
  DirectoriesOnStore rig;
  const auto directory = rig.directory(std::chrono::hours(10));  // a renewal comes never in this test
  directory->enlist(enlistment());
  REQUIRE(rig.becomes("192.0.2.1;21323;29876;amd64"));
  (void)rig.store->remove(kKey).value();
  CHECK(rig.becomes("192.0.2.1;21323;29876;amd64"));
}

TEST_CASE("A node registers when its store is there again, and says so once (known defect 10)",
          "[directory]") {
  DirectoriesOnStore rig;
  rig.faulty.fail_with(Error{ErrorCode::kUnavailable, "the store is away", ""});
  const auto directory = rig.directory();
  directory->enlist(enlistment());
  REQUIRE(eventually([&] { return rig.faulty.calls() >= 3; }));
  CHECK(rig.observer.lines().size() == 1);
  rig.faulty.fail_with(std::nullopt);
  CHECK(rig.becomes("192.0.2.1;21323;29876;amd64"));
}

TEST_CASE("A node whose address becomes another registers that", "[directory]") {
  DirectoriesOnStore rig;
  std::mutex mutex;
  std::optional<std::string> address;
  Enlistment self = enlistment();
  self.address = [&]() -> Result<std::string> {
    const std::scoped_lock lock(mutex);
    if (address) return *address;
    return Unexpected(ErrorCode::kUnavailable, "no route");
  };
  const auto set = [&](const std::string& text) {
    const std::scoped_lock lock(mutex);
    address = text;
  };
  const auto directory = rig.directory(seconds(2));
  directory->enlist(std::move(self));
  REQUIRE(eventually([&] { return !rig.observer.lines().empty(); }));  // it cannot register yet
  CHECK(rig.value() == "none");
  set("192.0.2.8");
  CHECK(rig.becomes("192.0.2.8;21323;29876;amd64"));
  set("192.0.2.9");
  CHECK(rig.becomes("192.0.2.9;21323;29876;amd64"));
}

TEST_CASE("A node that comes back with another address, or under another architecture, is where it was last",
          "[directory]") {
  DirectoriesOnStore rig;
  const auto directory = rig.directory();
  (void)rig.store->put("registry/ROME/amd64/a", "192.0.2.1;1;2;amd64").value();
  REQUIRE(eventually([&] { return directory->members("ROME").nodes.size() == 1; }));
  (void)rig.store->put("registry/ROME/amd64/a", "192.0.2.2;1;2;amd64").value();
  CHECK(eventually([&] { return directory->members("ROME").nodes.at(0).peer.host == "192.0.2.2"; }));
  (void)rig.store->put("registry/ROME/arm64/a", "192.0.2.3;1;2;arm64").value();
  CHECK(eventually([&] { return directory->members("ROME").nodes.at(0).peer.arch == "arm64"; }));
  CHECK(directory->members("ROME").nodes.size() == 1);
}

TEST_CASE("What another node wrote under this one's key is not removed by it", "[directory]") {
  DirectoriesOnStore rig;
  auto directory = rig.directory();
  directory->enlist(enlistment());
  REQUIRE(rig.becomes("192.0.2.1;21323;29876;amd64"));
  (void)rig.store->put(kKey, "192.0.2.99;1;2;amd64").value();
  directory.reset();
  CHECK(rig.value() == "192.0.2.99;1;2;amd64");
}

TEST_CASE("Who starts while the store is away begins with the members that it knew last", "[directory]") {
  const TemporaryFolder folder;
  const std::string kept = folder.file("made/members");
  RecordingObserver observer;
  const auto open = [&](KeyValueStore& store) {
    return make_stored_directory({.areas = {"ROME", "CLOUD"}, .kept_in = kept}, store, observer);
  };
  DirectoriesOnStore elsewhere;
  KeyValueStore* const away = &elsewhere.faulty;
  elsewhere.faulty.fail_with(Error{ErrorCode::kUnavailable, "away", {}});
  CHECK(open(*away)->members("ROME") == AreaMembers());  // nothing was kept yet

  AreaMembers rome;
  {
    DirectoriesOnStore rig;
    REQUIRE(rig.store->put("registry/ROME/amd64/a", "192.0.2.1;1323;9876;amd64"));
    REQUIRE(rig.store->put("registry/ROME/arm64/b", "host-b;1324;9877;arm64"));
    REQUIRE(rig.store->put("registry/ROME/__lb/amd64/front", "192.0.2.3;1323;9876;amd64"));
    REQUIRE(rig.store->put("registry/ROME/amd64/odd", "192.0.2.4;1323;9876;amd64\nregistry/ROME/amd64/x y"));
    const auto directory = open(*rig.store);
    REQUIRE(eventually([&] { return directory->members("ROME").nodes.size() == 3; }));
    rome = directory->members("ROME");
  }
  {
    const auto directory = open(*away);
    CHECK(directory->members("ROME") == rome);
    CHECK(directory->members("CLOUD") == AreaMembers());
  }
  CHECK(open(*away)->members("ROME") == rome);  // what was only remembered is not forgotten

  SECTION("what the store tells takes its place, also on disk") {
    DirectoriesOnStore rig;
    const auto directory = open(*rig.store);
    REQUIRE(eventually([&] { return directory->members("ROME") == AreaMembers(); }));
    REQUIRE(rig.store->put("registry/ROME/amd64/c", "192.0.2.9;1323;9876;amd64"));
    REQUIRE(eventually([&] { return keys(directory->members("ROME").nodes) == Keys{"c"}; }));
    CHECK(eventually([&] { return keys(open(*away)->members("ROME").nodes) == Keys{"c"}; }));
  }
  SECTION("a file that is damaged counts as far as it makes sense") {
    std::ofstream(kept + "/area-ROME", std::ios::app)
        << "nonsense\n registry/ROME/amd64/y\nregistry/ROME/amd64/z "
           "192.0.2.7;0;1;amd64\nregistry/CLOUD/amd64/c 192.0.2.8;1;1;amd64";
    CHECK(open(*away)->members("ROME") == rome);
  }
  SECTION("a folder that cannot be written is told, and costs nothing else") {
    DirectoriesOnStore rig;
    REQUIRE(rig.store->put("registry/ROME/amd64/c", "192.0.2.9;1323;9876;amd64"));
    const auto directory =
        make_stored_directory({.areas = {"ROME"}, .kept_in = "/proc/none"}, *rig.store, observer);
    CHECK(eventually([&] { return directory->members("ROME").nodes.size() == 1; }));
    const auto lines = observer.lines();
    CHECK(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
      return line.find("not kept on disk") != std::string::npos;
    }));
  }
}

}  // namespace
}  // namespace serverledge::test
