#include "serverledge/runtime/node_lock.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

namespace fs = std::filesystem;

/// A lock that was taken by a process that is dead by now; its id.
std::string leave_dead(const std::string& store, const std::string& run_root) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const Result<NodeLock> lock = NodeLock::acquire(store, run_root);
    std::ofstream(lock->folder() + "/left") << "left";
    ::_exit(0);
  }
  ::waitpid(pid, nullptr, 0);
  for (const auto& entry : fs::directory_iterator(run_root)) {
    if (entry.is_directory()) return entry.path().filename().string();
  }
  return {};
}

TEST_CASE("a node keeps its id with its store", "[node_lock]") {
  const TemporaryFolder folder;
  std::string id;
  {
    const auto lock = NodeLock::acquire(folder.file("store"), folder.file("run"));
    REQUIRE(lock);
    id = lock->id();
    CHECK(id.size() == 16);
    CHECK(lock->folder() == folder.file("run/" + id));
    CHECK(fs::status(lock->folder()).permissions() == fs::perms::owner_all);
  }
  CHECK(fs::is_empty(folder.file("run")));
  const auto again = NodeLock::acquire(folder.file("store"), folder.file("run"));
  REQUIRE(again);
  CHECK(again->id() == id);
}

TEST_CASE("nodes without a store have ids of their own", "[node_lock]") {
  const TemporaryFolder folder;
  const auto first = NodeLock::acquire("", folder.file("run"));
  const auto second = NodeLock::acquire("", folder.file("run"));
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->id() != second->id());
}

TEST_CASE("a store serves one node at a time", "[node_lock]") {
  const TemporaryFolder folder;
  auto first = NodeLock::acquire(folder.file("store"), folder.file("run"));
  REQUIRE(first);
  const auto second = NodeLock::acquire(folder.file("store"), folder.file("run"));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kExists);
  CHECK(second.error().message.find(folder.file("store")) != std::string::npos);
}

TEST_CASE("a node waits for what its earlier life left to die", "[node_lock]") {
  const TemporaryFolder folder;
  auto first = std::make_optional(NodeLock::acquire(folder.file("store"), folder.file("run")));
  std::thread end([&] { first.reset(); });
  CHECK(NodeLock::acquire(folder.file("store"), folder.file("run")));
  end.join();
}

TEST_CASE("of many nodes that begin a store at once one gets it, and all read the same id", "[node_lock]") {
  const TemporaryFolder folder;
  std::vector<std::thread> threads;
  std::vector<std::string> ids(8);
  for (std::size_t n = 0; n < ids.size(); ++n) {
    threads.emplace_back([&, n] {
      // Each with locks of its own: it is the store that they share here.
      auto lock = NodeLock::acquire(folder.file("store"), folder.file("run" + std::to_string(n)));
      if (lock) ids[n] = lock->id();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(ids[0].size() == 16);
  for (const std::string& id : ids) CHECK(id == ids[0]);
}

TEST_CASE("a broken id is replaced", "[node_lock]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("store"));
  std::ofstream(folder.file("store/node-id")) << "../../etc";
  const auto lock = NodeLock::acquire(folder.file("store"), folder.file("run"));
  REQUIRE(lock);
  CHECK(lock->id().find_first_not_of("0123456789abcdef") == std::string::npos);
}

TEST_CASE("the dead are claimed once, the living never", "[node_lock]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("run"));
  const std::string id = leave_dead(folder.file("store"), folder.file("run"));
  REQUIRE(id.size() == 16);
  const auto living = NodeLock::acquire("", folder.file("run"));
  const auto other = NodeLock::acquire("", folder.file("run"));
  REQUIRE(living);
  REQUIRE(other);
  {
    const std::vector<NodeLock> dead = living->claim_dead();
    REQUIRE(dead.size() == 1);
    CHECK(dead[0].id() == id);
    CHECK(fs::exists(dead[0].folder() + "/left"));
    CHECK(other->claim_dead().empty());
  }
  CHECK_FALSE(fs::exists(folder.file("run/" + id)));
  CHECK_FALSE(fs::exists(folder.file("run/" + id + ".lock")));
  CHECK(living->claim_dead().empty());
}

TEST_CASE("a folder that others can write to is refused", "[node_lock]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("run"));
  fs::permissions(folder.file("run"), fs::perms::all);
  const auto lock = NodeLock::acquire("", folder.file("run"));
  REQUIRE_FALSE(lock);
  CHECK(lock.error().code == ErrorCode::kUnavailable);
  CHECK(lock.error().message.find(folder.file("run")) != std::string::npos);
}

}  // namespace
}  // namespace serverledge::test
