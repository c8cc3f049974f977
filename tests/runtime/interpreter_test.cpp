// Files of any Debian stand for interpreters: only where they lie matters.
#include "runtime/sandbox/interpreter.hpp"

#include <catch2/catch.hpp>
#include <filesystem>

#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

using Folders = std::vector<std::string>;

void check_refused(const std::string& program, const Folders& hidden, const std::string& why) {
  CAPTURE(program);
  const Result<Folders> folders = interpreter_folders(program, hidden);
  REQUIRE_FALSE(folders);
  CHECK(folders.error().code == ErrorCode::kInvalid);
  CHECK_THAT(folders.error().message,
             Catch::StartsWith(program + " cannot be shown to sandboxes: ") && Catch::Contains(why));
}

TEST_CASE("an interpreter of the system needs no further folder, nor does one that is not there",
          "[interpreter]") {
  CHECK(interpreter_folders("/usr/bin/env", {"/usr"}).value() == Folders{});
  CHECK(interpreter_folders("/bin/sh", {"/bin"}).value() == Folders{});
  CHECK(interpreter_folders("/no/such/bin/python3", {}).value() == Folders{});
  CHECK(interpreter_folders("", {}).value() == Folders{});
}

TEST_CASE("an interpreter outside the system needs the folder that holds its bin", "[interpreter]") {
  CHECK(interpreter_folders("/var/lib/dpkg/status", {"/var/cache", "/var/library"}).value() ==
        Folders{"/var/lib"});
  CHECK(interpreter_folders("/var/lib/../lib/dpkg/status", {}).value() == Folders{"/var/lib"});
}

TEST_CASE("an interpreter whose folder holds what sandboxes must not see is refused by name",
          "[interpreter]") {
  check_refused("/var/lib/dpkg/status", {"/var/cache", "/var/lib/serverledge/code"},
                "all of /var/lib, with /var/lib/serverledge/code");
  check_refused("/var/lib/dpkg/status", {"/var/lib"}, "all of /var/lib");
}

TEST_CASE("an interpreter where sandboxes see something else is refused by name", "[interpreter]") {
  check_refused("/etc/os-release", {}, "see no such folder");
  check_refused("/etc/dpkg/dpkg.cfg", {}, "an /etc of their own");
  check_refused("/proc/self/exe", {}, "/proc of their own");
  const TemporaryFolder folder;
  if (folder.path().parent_path() != "/tmp") return;
  std::filesystem::create_directory(folder.path() / "bin");
  std::filesystem::create_symlink("/usr/bin/env", folder.path() / "bin/python3");
  check_refused(folder.file("bin/python3"), {}, "/tmp of their own");
}

}  // namespace
}  // namespace serverledge::test
