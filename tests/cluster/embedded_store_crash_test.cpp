// What the embedded store keeps when things go wrong: kill -9, a second opener, damage, a full disk.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cluster/open_embedded.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using test::open_embedded;
using test::TemporaryFolder;

std::string bytes_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

std::string value_for(unsigned int number) {
  return std::to_string(number) + std::string(number % 7 == 0 ? 30000 : 10, 'v');
}

/// In a child: writes entries from several threads for ever, and after each acknowledgement its number into
/// the pipe.
[[noreturn]] void write_until_killed(const std::string& path, int pipe) {
  auto store = open_embedded_store(path, system_clock());
  if (!store) ::_exit(1);
  std::atomic<unsigned int> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (true) {
        const unsigned int number = next++;
        if (!(*store)->put("n/" + std::to_string(number), value_for(number))) ::_exit(2);
        if (::write(pipe, &number, sizeof number) != sizeof number) ::_exit(3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ::_exit(4);
}

TEST_CASE("Every acknowledged write survives kill -9", "[crash]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("store");
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) write_until_killed(path, ends[1]);
    ::close(ends[1]);
    std::vector<unsigned int> acknowledged;
    unsigned int number = 0;
    while (acknowledged.size() < 100 + 40U * round &&
           ::read(ends[0], &number, sizeof number) == sizeof number) {
      acknowledged.push_back(number);
    }
    ::kill(child, SIGKILL);
    while (::read(ends[0], &number, sizeof number) == sizeof number) acknowledged.push_back(number);
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(acknowledged.size() >= 100);

    const auto store = open_embedded(path);
    for (const unsigned int known : acknowledged) {
      const auto entry = store->get("n/" + std::to_string(known));
      REQUIRE(entry);
      INFO("entry " << known << " of round " << round);
      REQUIRE(entry->has_value());
      REQUIRE((*entry)->value == value_for(known));
    }
    const auto revision = store->put("after", "1");
    REQUIRE(revision);
    const auto listed = store->list("n/");
    REQUIRE(listed);
    for (const StoredEntry& entry : *listed) REQUIRE(entry.revision < *revision);
  }
}

void check_refusal(const std::string& message, const std::string& path) {
  CHECK_THAT(message,
             Catch::Contains(path + "/store.db") && Catch::Contains("in use: is another node running"));
}

TEST_CASE("A second opener is refused with a sentence that names file and cause, and harms nothing",
          "[crash]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("store");
  auto first = open_embedded(path);
  REQUIRE(first->put("a", "1"));
  for (int i = 0; i < 2; ++i) {
    const auto second = open_embedded_store(path, system_clock());
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kUnavailable);
    check_refusal(second.error().message, path);
  }
  REQUIRE(first->put("b", "2"));
  first.reset();
  const auto third = open_embedded(path);
  CHECK(third->keys("")->size() == 2);
}

/// In a child: opens the store when told to, and sends what came of it.
[[noreturn]] void open_when_told(const std::string& path, int told, int answer) {
  char go = 0;
  if (::read(told, &go, 1) != 1) ::_exit(1);
  const auto second = open_embedded_store(path, system_clock());
  const std::string message = second ? "opened" : second.error().message;
  ::_exit(::write(answer, message.data(), message.size()) > 0 ? 0 : 1);
}

TEST_CASE("A second process is refused, too", "[crash]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("store");
  int tell[2];
  int hear[2];
  REQUIRE(::pipe2(tell, O_CLOEXEC) == 0);
  REQUIRE(::pipe2(hear, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) open_when_told(path, tell[0], hear[1]);
  const auto first = open_embedded(path);
  REQUIRE(first->put("a", "1"));
  std::string message(4096, '\0');
  REQUIRE(::write(tell[1], "g", 1) == 1);
  const ssize_t size = ::read(hear[0], message.data(), message.size());
  message.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  check_refusal(message, path);
  ::waitpid(child, nullptr, 0);
  for (const int end : {tell[0], tell[1], hear[0], hear[1]}) ::close(end);
  REQUIRE(first->put("b", "2"));
}

TEST_CASE("A damaged file is refused when it is opened, says so, and stays as it is", "[crash]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("store");
  const std::string file = path + "/store.db";
  {
    StoreTransaction entries;
    for (int i = 0; i < 2000; ++i)
      entries.puts.push_back({"key " + std::to_string(i), std::string(100, 'x')});
    REQUIRE(open_embedded(path)->commit(entries));
  }
  std::string bytes = bytes_of(file);
  REQUIRE(bytes.size() > 100000);
  std::string message = "is damaged";
  SECTION("its beginning overwritten") { bytes.replace(0, 100, std::string(100, 'z')); }
  SECTION("a page in its middle overwritten") { bytes.replace(10 * 4096, 4096, std::string(4096, 'z')); }
  SECTION("its second half missing") { bytes.resize(bytes.size() / 2); }
  SECTION("another kind of file") { bytes = "this is a text\n"; }
  write_bytes(file, bytes);
  const auto opened = open_embedded_store(path, system_clock());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kUnavailable);
  CHECK_THAT(opened.error().message, Catch::Contains(file) && Catch::Contains(message));
  CHECK((bytes_of(file) == bytes));
}

TEST_CASE("A file of another version is refused and stays as it is", "[crash]") {
  const TemporaryFolder folder;
  const std::string file = folder.file("store.db");
  { const auto store = open_embedded(folder.path().string()); }
  std::string bytes = bytes_of(file);
  bytes[63] = 9;  // the last byte of SQLite's user_version
  write_bytes(file, bytes);
  const auto opened = open_embedded_store(folder.path().string(), system_clock());
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message, Catch::Contains(file) && Catch::Contains("format 9"));
  bytes[71] = 1;  // the last byte of its application_id
  write_bytes(file, bytes);
  const auto foreign = open_embedded_store(folder.path().string(), system_clock());
  REQUIRE_FALSE(foreign);
  CHECK_THAT(foreign.error().message, Catch::Contains(file) && Catch::Contains("another program"));
  CHECK((bytes_of(file) == bytes));
}

/// A small disk of its own; ends the test as skipped where it cannot be had.
class SmallDisk {
 public:
  SmallDisk() {
    if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=2m,mode=0700") == 0)
      return;
    std::filesystem::remove(folder_.path());
    test::skip_test("mounting a small tmpfs needs root");
  }
  ~SmallDisk() { ::umount2(folder_.path().c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

TEST_CASE("A full disk is an error that says so, and nothing stored before is lost", "[crash]") {
  const SmallDisk disk;
  const std::string path = disk.folder().file("store");
  auto store = open_embedded(path);
  std::vector<std::string> stored;
  std::optional<Error> failure;
  for (int i = 0; i < 1000 && !failure; ++i) {
    const std::string key = "k/" + std::to_string(i);
    const auto put = store->put(key, std::string(20000, static_cast<char>('a' + i % 26)));
    if (put) stored.push_back(key);
    if (!put) failure = put.error();
  }
  REQUIRE(failure);
  CHECK(failure->code == ErrorCode::kDiskFull);
  CHECK_THAT(failure->message, Catch::Contains(path) && Catch::Contains("no space"));
  CHECK(store->healthy());
  const auto all_there = [&] {
    for (std::size_t i = 0; i < stored.size(); ++i) {
      const auto entry = store->get(stored[i]);
      REQUIRE(entry);
      REQUIRE(entry->has_value());
      REQUIRE((*entry)->value == std::string(20000, static_cast<char>('a' + i % 26)));
    }
    REQUIRE(store->keys("k/")->size() == stored.size());
  };
  all_there();
  store.reset();
  store = open_embedded(path);
  all_there();

  // With space again, writing goes on.
  store.reset();
  REQUIRE(::mount("tmpfs", disk.folder().path().c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0);
  store = open_embedded(path);
  REQUIRE(store->put("k/more", "1"));
  stored.pop_back();
  REQUIRE(store->remove("k/more"));
}

TEST_CASE("On a full disk a large write fails and small ones beside it do not", "[crash]") {
  const SmallDisk disk;
  const auto store = open_embedded(disk.folder().file("store"));
  std::atomic<int> large_refused = 0;
  std::atomic<int> small_failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < 20; ++n) {
          if (i < 2) {
            const auto put = store->put("large", std::string(3 << 20, 'x'));
            if (!put && put.error().code == ErrorCode::kDiskFull) ++large_refused;
          } else if (!store->put("small/" + std::to_string(i), std::to_string(n))) {
            ++small_failed;
          }
        }
      });
    }
  }
  CHECK(large_refused == 40);
  CHECK(small_failed == 0);
  CHECK(store->keys("small/")->size() == 6);
}

TEST_CASE("A disk without space for a new store is an error that says so", "[crash]") {
  const SmallDisk disk;
  std::ofstream filler(disk.folder().file("filler"), std::ios::binary);
  filler << std::string(4 << 20, 'x') << std::flush;
  const auto opened = open_embedded_store(disk.folder().file("store"), system_clock());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kDiskFull);
}

}  // namespace
}  // namespace serverledge
