#include "serverledge/runtime/code_archive.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "support/skip.hpp"
#include "support/temporary_folder.hpp"
#include "tar_builder.hpp"

using namespace serverledge;
using namespace std::chrono_literals;
using Catch::Contains;
using Catch::StartsWith;
using test::tar_of;
using test::TarBuilder;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

class HandClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override { return {}; }
  void advance(Duration by) { now_ += by; }

 private:
  TimePoint now_ = TimePoint(1000s);
};

Function python(const std::string& handler = "hello.handler") {
  Function function;
  function.runtime = "python314";
  function.handler = handler;
  return function;
}

Function with_digest(const std::string& digest, Function function = python()) {
  function.code_digest = digest;
  return function;
}

Function nodejs(const std::string& handler) {
  Function function;
  function.runtime = "nodejs17ng";
  function.handler = handler;
  return function;
}

struct Fixture {
  explicit Fixture(CodeArchiveOptions options = {}) {
    if (options.folder.empty()) options.folder = temporary.file("code");
    base = options.folder;
    auto made = make_code_archive(options, clock);
    REQUIRE(made);
    archive = std::move(*made);
  }
  // Where the code was unpacked to.
  std::string unpacked(const std::string& bytes, const Function& function = python()) {
    const auto folder = archive->unpack(function, bytes);
    INFO((folder ? "" : folder.error().message));
    REQUIRE(folder);
    return *folder;
  }
  // The same error by checking as by unpacking, and nothing left behind by either.
  Error refused(const std::string& bytes, const Function& function = python()) {
    const auto checked = archive->check(function, bytes);
    const auto folder = archive->unpack(function, bytes);
    REQUIRE_FALSE(checked);
    REQUIRE_FALSE(folder);
    CHECK(checked.error() == folder.error());
    CHECK(fs::is_empty(base));
    return checked.error();
  }

  TemporaryFolder temporary;
  HandClock clock;
  std::string base;
  std::unique_ptr<CodeArchive> archive;
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

unsigned mode(const std::string& path) {
  struct stat status {};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

std::set<std::string> names(const std::string& folder) {
  std::set<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    found.insert(entry.path().lexically_relative(folder).string());
  }
  return found;
}

}  // namespace

TEST_CASE("a tar, plain or gzip, is unpacked under its digest with names, bits and times as they are",
          "[archive]") {
  for (const bool gzip : {false, true}) {
    Fixture f;
    const std::string bytes = TarBuilder(gzip)
                                  .folder("./")
                                  .folder("lib/")
                                  .file("./hello.py", "print(1)\n", 0600, 1234567890)
                                  .file("lib/run.sh", "#!/bin/sh\n", 0711)
                                  .file("lib/deep/er/x.so", std::string("\0\1\2", 3), 06755)
                                  .file("dämlich 漢字 \\ 'x'\n.txt", "é")
                                  .file("empty", "")
                                  .symlink("link.py", "lib/../hello.py")
                                  .symlink("lib/up", "..")
                                  .hard_link("hard", "lib/run.sh")
                                  .bytes();
    const auto checked = f.archive->check(python(), bytes);
    REQUIRE(checked);
    CHECK(checked->packed_bytes == bytes.size());
    CHECK(checked->unpacked_bytes > 20);
    CHECK(fs::is_empty(f.base));
    const std::string folder = f.unpacked(bytes);
    CHECK(folder == f.base + '/' + checked->digest);
    CHECK(names(folder) == std::set<std::string>{"hello.py", "lib", "lib/run.sh", "lib/deep", "lib/deep/er",
                                                 "lib/deep/er/x.so", "dämlich 漢字 \\ 'x'\n.txt", "empty",
                                                 "link.py", "lib/up", "hard"});
    CHECK(content(folder + "/hello.py") == "print(1)\n");
    CHECK(content(folder + "/lib/deep/er/x.so") == std::string("\0\1\2", 3));
    CHECK(mode(folder) == 0755);
    CHECK(mode(folder + "/lib/deep") == 0755);
    CHECK(mode(folder + "/hello.py") == 0644);
    CHECK(mode(folder + "/lib/run.sh") == 0755);
    CHECK(mode(folder + "/lib/deep/er/x.so") == 0755);
    CHECK(fs::read_symlink(folder + "/link.py") == "lib/../hello.py");
    CHECK(fs::hard_link_count(folder + "/hard") == 2);
    struct stat status {};
    REQUIRE(::stat((folder + "/hello.py").c_str(), &status) == 0);
    CHECK(status.st_mtime == 1234567890);
  }
}

TEST_CASE("names of old tars keep their bytes, whatever the locale of the process", "[archive]") {
  Fixture f;
  const std::string name = "na\xc3\xafve-" + std::string(150, 'n') + ".txt";
  const std::string folder =
      f.unpacked(TarBuilder(false, false).file("hello.py", "").file(name, "x").bytes());
  CHECK(content(folder + '/' + name) == "x");
}

TEST_CASE("the umask of the process does not reach the unpacked code", "[archive]") {
  Fixture f;
  const ::mode_t before = ::umask(0777);
  const auto folder = f.archive->unpack(python("pkg.hello.handler"), tar_of("pkg/hello.py", ""));
  ::umask(before);
  REQUIRE(folder);
  CHECK(mode(*folder) == 0755);
  CHECK(mode(*folder + "/pkg") == 0755);
  CHECK(mode(*folder + "/pkg/hello.py") == 0644);
}

TEST_CASE("a single file becomes the module that the handler names", "[archive]") {
  Fixture f;
  const std::string source = "def handler(p, c):\n    return 'é'\n";
  const std::string folder = f.unpacked(source);
  CHECK(names(folder) == std::set<std::string>{"hello.py"});
  CHECK(content(folder + "/hello.py") == source);
  CHECK(mode(folder + "/hello.py") == 0644);
  CHECK(names(f.unpacked(source, python("pkg.mod.f"))) == std::set<std::string>{"pkg", "pkg/mod.py"});
  CHECK(names(f.unpacked(source, nodejs("hello"))) == std::set<std::string>{"hello.js"});
  CHECK(names(f.unpacked(source, nodejs("lib/hello.mjs"))) == std::set<std::string>{"lib", "lib/hello.mjs"});
  const auto checked = f.archive->check(python(), source);
  REQUIRE(checked);
  const std::string digest = checked->digest.substr(0, 64);
  CHECK(f.archive->folder(checked->digest) == folder);
  CHECK(unpacked_code(*f.archive, with_digest(digest)) == folder);
  CHECK_FALSE(unpacked_code(*f.archive, with_digest(digest, python("other.handler"))));
  CHECK(checked->unpacked_bytes == source.size());
}

TEST_CASE("no entry of an archive leaves the folder", "[archive]") {
  Fixture f;
  std::ofstream(f.temporary.file("victim")) << "untouched";
  const std::string victim = f.temporary.file("victim");
  const auto hostile = [](auto&& add) {
    TarBuilder tar;
    tar.file("hello.py", "");
    add(tar);
    return tar.bytes();
  };
  struct Case {
    std::string bytes;
    std::string message;
  };
  const std::vector<Case> cases = {
      {hostile([&](TarBuilder& t) { t.file(victim, "x"); }), "has an absolute name"},
      {hostile([](TarBuilder& t) { t.file("../victim", "x"); }), "leaves the folder by \"..\""},
      {hostile([](TarBuilder& t) { t.file("a/../../victim", "x"); }), "leaves the folder by \"..\""},
      {hostile([](TarBuilder& t) { t.folder(".."); }), "leaves the folder by \"..\""},
      {hostile([](TarBuilder& t) { t.symlink("x", "../.."); }), "link out of the folder"},
      {hostile([&](TarBuilder& t) { t.symlink("x", victim); }), "link out of the folder"},
      {hostile([](TarBuilder& t) { t.symlink("a/b/x", "../../../y"); }), "link out of the folder"},
      {hostile([](TarBuilder& t) { t.symlink("p/q/x", "../..").symlink("y", "p/q/x/../etc"); }),
       "link out of the folder"},
      {hostile([](TarBuilder& t) { t.symlink("x", "..").file("x/victim", "x"); }), "is no folder"},
      {hostile([](TarBuilder& t) { t.folder("d").symlink("x", "d").file("x/f", "x"); }), "is no folder"},
      {hostile([](TarBuilder& t) { t.hard_link("x", "../../victim"); }), "leaves the folder by \"..\""},
      {hostile([&](TarBuilder& t) { t.hard_link("x", victim); }), "has an absolute name"},
      {hostile([](TarBuilder& t) { t.symlink("x", "hello.py").hard_link("y", "x"); }),
       "is a hard link to what is no file"},
      {hostile([](TarBuilder& t) { t.hard_link("x", "later").file("later", ""); }),
       "is a hard link to nothing"},
      {hostile([](TarBuilder& t) { t.special("dev", S_IFCHR); }), "is a device"},
      {hostile([](TarBuilder& t) { t.special("dev", S_IFBLK); }), "is a device"},
      {hostile([](TarBuilder& t) { t.special("pipe", S_IFIFO); }), "is a device, socket or fifo"},
      {hostile([](TarBuilder& t) { t.folder("d").file("d", "x"); }), "takes the place of a folder"},
      {hostile([](TarBuilder& t) { t.file("d", "x").folder("d"); }),
       "is a folder in the place of something else"},
      {hostile([](TarBuilder& t) { t.file("d", "x").file("d/e", "x"); }), "is no folder"},
      {hostile([](TarBuilder& t) { t.file(".", "x"); }), "takes the place of the folder itself"},
      {hostile([](TarBuilder& t) { t.file(std::string(300, 'x'), "x"); }), "has too long a name"},
      {hostile([](TarBuilder& t) {
         for (std::string p = "a"; p.size() < 5000; p += "/a")
           if (p.size() == 301) t.file(p, "x");
       }),
       "lies too deep"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.message);
    const Error error = f.refused(one.bytes);
    CHECK(error.code == ErrorCode::kInvalid);
    CHECK_THAT(error.message, StartsWith("TarFunctionCode: ") && Contains(one.message));
  }
  CHECK(content(victim) == "untouched");
  CHECK(names(f.temporary.path()) == std::set<std::string>{"code", "victim"});
}

TEST_CASE("links that stay inside, dangle or turn in circles are kept as they are", "[archive]") {
  Fixture f;
  const std::string folder = f.unpacked(TarBuilder()
                                            .file("lib/hello.py", "1")
                                            .symlink("hello.py", "lib/hello.py")
                                            .symlink("current", "lib")
                                            .symlink("lib/sub/up", "../../current/hello.py")
                                            .symlink("dangling", "no/../../where")
                                            .symlink("a", "b")
                                            .symlink("b", "a")
                                            .bytes());
  CHECK(content(folder + "/hello.py") == "1");
  CHECK(content(folder + "/lib/sub/up") == "1");
  CHECK(fs::read_symlink(folder + "/dangling") == "no/../../where");
  CHECK(fs::is_symlink(folder + "/a"));
}

TEST_CASE("of an entry that comes twice the last one counts, without writing through a link", "[archive]") {
  Fixture f;
  const std::string folder = f.unpacked(TarBuilder()
                                            .file("target", "target")
                                            .file("hello.py", "a longer first one", 0755)
                                            .file("hello.py", "second")
                                            .symlink("x", "target")
                                            .file("x", "not through the link")
                                            .file("y", "file")
                                            .symlink("y", "target")
                                            .folder("d")
                                            .folder("d/")
                                            .bytes());
  CHECK(content(folder + "/hello.py") == "second");
  CHECK(mode(folder + "/hello.py") == 0644);
  CHECK(content(folder + "/target") == "target");
  CHECK(content(folder + "/x") == "not through the link");
  CHECK(fs::read_symlink(folder + "/y") == "target");
}

TEST_CASE("an archive over a limit is refused while it is read, and nothing of it is kept", "[archive]") {
  Fixture f({.packed_max = 1 << 20, .unpacked_max = 10 << 20, .entries_max = 50});
  SECTION("packed") {
    const Error error = f.refused(std::string((1 << 20) + 1, '#'));
    CHECK(error.code == ErrorCode::kTooLarge);
    CHECK_THAT(error.message, Contains("limit of 1 MB"));
  }
  SECTION("a gzip bomb") {
    const std::string bomb =
        TarBuilder(true).file("hello.py", "").zeros("zeros", std::uint64_t{100} << 20U).bytes();
    REQUIRE(bomb.size() < 1 << 20);
    const Error error = f.refused(bomb);
    CHECK(error.code == ErrorCode::kTooLarge);
    CHECK_THAT(error.message, Contains("limit of 10 MB"));
  }
  SECTION("many files that are large together") {
    TarBuilder tar(true);
    tar.file("hello.py", "");
    for (int i = 0; i < 11; ++i) tar.zeros("zeros" + std::to_string(i), 1 << 20);
    CHECK(f.refused(tar.bytes()).code == ErrorCode::kTooLarge);
  }
  SECTION("one file again and again") {
    TarBuilder tar(true);
    for (int i = 0; i < 11; ++i) tar.zeros("hello.py", 1 << 20);
    CHECK(f.refused(tar.bytes()).code == ErrorCode::kTooLarge);
  }
  SECTION("entries") {
    TarBuilder tar;
    for (int i = 0; i < 51; ++i) tar.folder("d" + std::to_string(i));
    const Error error = f.refused(tar.bytes());
    CHECK(error.code == ErrorCode::kTooLarge);
    CHECK_THAT(error.message, Contains("more than 50 entries"));
  }
  SECTION("just within") {
    f.unpacked(TarBuilder(true).file("hello.py", "").zeros("zeros", (10 << 20) - 100).bytes());
  }
}

TEST_CASE("links made to be followed for hours are refused at once", "[archive]") {
  Fixture f;
  TarBuilder tar(true);
  tar.file("hello.py", "").folder("d");
  std::string way = "d";
  while (way.size() < 3900) way += "/../d";
  tar.symlink("l0", way);
  for (int i = 1; i < 36; ++i) {
    std::string through = "l" + std::to_string(i - 1);
    while (through.size() < 3900) through += "/../l" + std::to_string(i - 1);
    tar.symlink("l" + std::to_string(i), through);
  }
  for (int i = 0; i < 3000; ++i)
    tar.symlink("m" + std::to_string(i), "d/../l3/../l3/../l3/../l3/../l3/../l3");
  const auto checked = f.archive->check(python(), tar.bytes());
  if (!checked) CHECK(checked.error().code == ErrorCode::kInvalid);
}

TEST_CASE("what is no archive and no source file is refused by name", "[archive]") {
  Fixture f;
  const std::string tar = TarBuilder().file("hello.py", std::string(3000, '#')).bytes();
  const std::string gzip = TarBuilder(true).file("hello.py", std::string(3000, '#')).bytes();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "it is empty"},
      {std::string("PK\x03\x04rest", 8), "it is a zip archive"},
      {"\xfd"
       "7zXZ",
       "it is xz data"},
      {"BZh91AY", "it is bzip2 data"},
      {"\x28\xb5\x2f\xfd....", "it is zstd data"},
      {"7z\xbc\xaf'\x1c", "it is a 7z archive"},
      {std::string("\x7f"
                   "ELF\0\0",
                   6),
       "it is neither a tar nor text"},
      {std::string("\x1f\x8b\x08\x00garbage", 11), "gzip data that is damaged or holds no tar"},
      {tar.substr(0, 1000), "damaged"},
      {gzip.substr(0, gzip.size() / 2), "damaged"},
  };
  for (const auto& [bytes, message] : cases) {
    CAPTURE(message);
    const Error error = f.refused(bytes);
    CHECK(error.code == ErrorCode::kInvalid);
    CHECK_THAT(error.message, StartsWith("TarFunctionCode: ") && Contains(message));
  }
}

TEST_CASE(
    "the module of the handler must be in the archive, and the error says what was looked for and what is "
    "there",
    "[archive]") {
  Fixture f;
  const std::string tar = TarBuilder().file("main.py", "").file("lib/util.py", "").file("app.js", "").bytes();
  CHECK(f.refused(tar).message ==
        "Handler: the code holds no module \"hello\": looked for hello.py, hello/__init__.py; there is "
        "app.js, lib/, main.py");
  CHECK(f.refused(tar, nodejs("hello")).message ==
        "Handler: the code holds no module \"hello\": looked for hello.js, hello.mjs, hello.cjs, "
        "hello/index.js, "
        "hello/index.mjs, hello/index.cjs, hello/package.json; there is app.js, lib/, main.py");
  CHECK_THAT(f.refused(TarBuilder().bytes()).message, Contains("there is nothing"));
  TarBuilder many;
  for (int i = 0; i < 15; ++i) many.file("f" + std::to_string(i), "");
  CHECK_THAT(f.refused(many.bytes()).message, Contains("f0, f1, f10") && Contains("and 5 more"));
  CHECK_THAT(f.refused(TarBuilder().folder("hello.py").bytes()).message, Contains("holds no module"));
  CHECK_THAT(f.refused(TarBuilder().symlink("hello.py", "nothing").bytes()).message,
             Contains("holds no module"));
}

TEST_CASE("every form of module that a worker can load is found", "[archive]") {
  Fixture f;
  const auto accepted = [&](const std::string& file, const Function& function) {
    return f.archive->check(function, tar_of(file, "")).has_value();
  };
  CHECK(accepted("hello.py", python()));
  CHECK(accepted("hello/__init__.py", python()));
  CHECK(accepted("hello.pyc", python()));
  CHECK(accepted("hello.cpython-311-x86_64-linux-gnu.so", python()));
  CHECK(accepted("a/b/c.py", python("a.b.c.f")));
  CHECK(accepted("a/b/c.abi3.so", python("a.b.c.f")));
  CHECK(accepted("hello.js", nodejs("hello")));
  CHECK(accepted("hello.js", nodejs("./hello.js")));
  CHECK(accepted("hello.mjs", nodejs("hello")));
  CHECK(accepted("hello/index.cjs", nodejs("hello")));
  CHECK(accepted("hello/package.json", nodejs("hello")));
  CHECK(accepted("a/hello.js", nodejs("a/hello")));
  Function other;
  other.runtime = "go125";
  other.handler = "x";
  CHECK(accepted("handler_amd64", other));
}

TEST_CASE("a handler that cannot name a module is refused", "[archive]") {
  Fixture f;
  for (const char* handler :
       {"", "hello", ".handler", "hello.", "..handler", "a..b.c", "../x.handler", "a b.c", "/etc/x.y"}) {
    CAPTURE(handler);
    CHECK_THAT(f.refused("x = 1\n", python(handler)).message,
               StartsWith("Handler: expected module.function"));
  }
  for (const char* handler : {"", "/etc/hello", "../hello", "a/../../b"}) {
    CAPTURE(handler);
    CHECK_THAT(f.refused("x = 1\n", nodejs(handler)).message,
               StartsWith("Handler: expected the path of a module"));
  }
  Function go;
  go.runtime = "go125";
  CHECK_THAT(f.refused("x = 1\n", go).message,
             Contains("expected a tar archive, plain or gzip, for the runtime go125"));
}

TEST_CASE("code is unpacked once however many ask for it at once", "[archive]") {
  Fixture f;
  TarBuilder tar;
  tar.file("hello.py", "1");
  for (int i = 0; i < 300; ++i) tar.file("lib/f" + std::to_string(i), std::string(100, 'x'));
  const std::string bytes = tar.bytes();
  std::vector<std::string> got(8);
  std::vector<std::thread> threads;
  for (std::string& one : got) {
    threads.emplace_back([&] {
      const auto folder = f.archive->unpack(python(), bytes);
      if (folder)
        one = *folder + ' ' + std::to_string(std::distance(fs::recursive_directory_iterator(*folder), {}));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& one : got) CHECK(one == got[0]);
  CHECK_THAT(got[0], Catch::EndsWith(" 302"));
  CHECK(std::distance(fs::directory_iterator(f.base), {}) == 1);
}

TEST_CASE("unpacked code is found again after a restart, and what was left half done is gone", "[archive]") {
  const TemporaryFolder temporary;
  const std::string bytes = tar_of("hello.py", "1");
  std::string digest;
  {
    Fixture f({.folder = temporary.file("store/code")});
    digest = fs::path(f.unpacked(bytes)).filename();
    fs::create_directories(f.base + "/.tmp-abcdef/lib");
  }
  Fixture again({.folder = temporary.file("store/code")});
  CHECK(names(again.base) == std::set<std::string>{digest, digest + "/hello.py"});
  CHECK(unpacked_code(*again.archive, with_digest(digest)) == again.base + '/' + digest);
  CHECK_FALSE(unpacked_code(*again.archive, with_digest(std::string(64, '0'))));
  CHECK_FALSE(unpacked_code(*again.archive, with_digest("../" + digest)));
  CHECK_FALSE(unpacked_code(*again.archive, with_digest("")));
  CHECK(mode(again.base) == 0700);
}

TEST_CASE("code that no function has any more is removed once nobody has asked for it for a while",
          "[archive]") {
  Fixture f({.unused_for = 10min});
  const std::string kept = fs::path(f.unpacked(tar_of("hello.py", "kept"))).filename();
  const std::string used = fs::path(f.unpacked(tar_of("hello.py", "used"))).filename();
  const std::string unused = fs::path(f.unpacked(tar_of("hello.py", "unused"))).filename();
  std::ofstream(f.base + "/not-ours") << "x";
  f.clock.advance(9min);
  f.archive->collect({kept});
  CHECK(unpacked_code(*f.archive, with_digest(used)));
  f.clock.advance(2min);
  f.archive->collect({kept});
  CHECK(unpacked_code(*f.archive, with_digest(kept)));
  CHECK(unpacked_code(*f.archive, with_digest(used)));
  CHECK_FALSE(unpacked_code(*f.archive, with_digest(unused)));
  CHECK_FALSE(fs::exists(f.base + '/' + unused));
  CHECK(fs::exists(f.base + "/not-ours"));
  CHECK(names(f.unpacked(tar_of("hello.py", "unused"))) == std::set<std::string>{"hello.py"});
}

TEST_CASE("a single file is found and kept by the digest that its function has", "[archive]") {
  const TemporaryFolder temporary;
  const std::string source = "def handler(p, c):\n    return 1\n";
  const std::string digest = Fixture().archive->check(python(), source)->digest.substr(0, 64);
  {
    Fixture f({.folder = temporary.file("code")});
    f.unpacked(source);
    f.unpacked(source, python("other.handler"));
  }
  Fixture again({.folder = temporary.file("code"), .unused_for = 10min});
  again.clock.advance(11min);
  again.archive->collect({digest});
  const auto found = unpacked_code(*again.archive, with_digest(digest));
  REQUIRE(found);
  CHECK(names(*found) == std::set<std::string>{"hello.py"});
  CHECK(unpacked_code(*again.archive, with_digest(digest, python("other.handler"))));
  again.clock.advance(11min);
  again.archive->collect({});
  CHECK(std::filesystem::is_empty(again.base));
}

TEST_CASE("a full disk is told as such and leaves nothing behind", "[archive]") {
  const TemporaryFolder temporary;
  const std::string mounted = temporary.file("disk");
  fs::create_directory(mounted);
  if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=2m,nr_inodes=64") != 0)
    test::skip_test("no right to mount");
  {
    Fixture f({.folder = mounted + "/code"});
    TarBuilder bytes(true);
    bytes.file("hello.py", "").zeros("zeros", 5 << 20);
    TarBuilder inodes(true);
    inodes.file("hello.py", "");
    for (int i = 0; i < 100; ++i) inodes.file("f" + std::to_string(i), "");
    for (TarBuilder* tar : {&bytes, &inodes}) {
      const std::string code = tar->bytes();
      CHECK(f.archive->check(python(), code));
      const auto folder = f.archive->unpack(python(), code);
      REQUIRE_FALSE(folder);
      CHECK(folder.error().code == ErrorCode::kDiskFull);
      CHECK_THAT(folder.error().message, Contains("no space left"));
      CHECK(fs::is_empty(f.base));
    }
    f.unpacked(tar_of("hello.py", "fits"));
  }
  ::umount2(mounted.c_str(), MNT_DETACH);
}

TEST_CASE("a folder that cannot be made is an error that names it", "[archive]") {
  const TemporaryFolder temporary;
  std::ofstream(temporary.file("file")) << "x";
  HandClock clock;
  const auto made = make_code_archive({.folder = temporary.file("file/code")}, clock);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::kUnavailable);
  CHECK_THAT(made.error().message, Contains("file/code"));
}
