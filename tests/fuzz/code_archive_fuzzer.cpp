// Whatever bytes are unpacked: nothing is written or linked outside their folder, and checking says what
// unpacking does.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "net/file_descriptor.hpp"
#include "require.hpp"
#include "runtime/code_reader.hpp"
#include "runtime/folder_writer.hpp"

namespace {

using namespace serverledge;
namespace fs = std::filesystem;

constexpr CodeLimits kLimits{.packed = 1 << 20, .unpacked = 1 << 20, .entries = 100};

// A folder of this process with one entry, the folder to unpack into.
struct Parent {
  Parent() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Parent() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;
  std::string path = (fs::temp_directory_path() / "serverledge-fuzz-XXXXXX").string();
};

// Follows a name as an instance would, and sees whether that leads out.
bool leads_out(const FileDescriptor& folder, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  const FileDescriptor there(
      static_cast<int>(::syscall(SYS_openat2, folder.get(), path.c_str(), &how, sizeof(how))));
  return !there.valid() && errno == EXDEV;
}

void check_folder(const std::string& folder) {
  const FileDescriptor root(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat status {};
    REQUIRE(::lstat(entry.path().c_str(), &status) == 0);
    REQUIRE(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode));
    REQUIRE(S_ISLNK(status.st_mode) || (status.st_mode & 07777U & ~0755U) == 0);
    REQUIRE(!leads_out(root, entry.path().lexically_relative(folder).string()));
    if (S_ISREG(status.st_mode) && status.st_nlink == 1) bytes += static_cast<std::uintmax_t>(status.st_size);
  }
  REQUIRE(bytes <= kLimits.unpacked);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Function function;
  function.runtime = "python314";
  function.handler = "f.f";
  const auto code = CodeReader::open(function, bytes, kLimits);
  if (!code) return 0;
  const auto checked = code->read(function, nullptr);
  static const Parent parent;
  const std::string folder = parent.path + "/code";
  REQUIRE(::mkdir(folder.c_str(), 0755) == 0);
  auto writer = FolderWriter::open(folder);
  REQUIRE(writer);
  const auto unpacked = code->read(function, &*writer);
  if (unpacked) {
    REQUIRE(checked && *checked == *unpacked);
    check_folder(folder);
  } else if (checked) {
    REQUIRE(unpacked.error().code == ErrorCode::kInvalid);  // a name that this file system does not take
  }
  REQUIRE(std::distance(fs::directory_iterator(parent.path), {}) == 1);
  fs::remove_all(folder);
  return 0;
}
