// The archives that `create --src` sends, read back by libarchive.
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "recording_node.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {
namespace {

namespace fs = std::filesystem;

struct Entry {
  mode_t mode = 0;
  std::string content;  // of a link: its target
  bool operator==(const Entry&) const = default;
};
using Entries = std::map<std::string, Entry>;

// The decoded code that `create` with this source sends.
std::string sent_code(const std::string& source) {
  const RecordingNode node;
  const auto run = node.cli({"create", "-f", "func", "--src", source});
  INFO(run.err);
  REQUIRE(run.exit_code == 0);
  const std::string body = node.exchange().body;
  const auto record = JsonDocument::parse(body);
  REQUIRE(record);
  return base64_decode(*record->root().find("TarFunctionCode")->as_string()).value();
}

Entries entries_of(const std::string& tar) {
  const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  const locale_t before = uselocale(utf8);
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  REQUIRE(archive_read_open_memory(reader.get(), tar.data(), tar.size()) == ARCHIVE_OK);
  Entries entries;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
    Entry& found = entries[archive_entry_pathname(entry)];
    found.mode = archive_entry_mode(entry);
    if (S_ISLNK(found.mode)) found.content = archive_entry_symlink(entry);
    found.content.resize(S_ISREG(found.mode) ? static_cast<std::size_t>(archive_entry_size(entry))
                                             : found.content.size());
    if (S_ISREG(found.mode)) archive_read_data(reader.get(), found.content.data(), found.content.size());
  }
  uselocale(before);
  freelocale(utf8);
  return entries;
}

void write_file(const fs::path& path, std::string_view text, fs::perms mode = fs::perms(0644)) {
  std::ofstream(path, std::ios::binary) << text;
  fs::permissions(path, mode);
}

constexpr mode_t kFile = S_IFREG | 0644;

}  // namespace

TEST_CASE("a file becomes a ustar archive with one entry of its name", "[cli]") {
  const TemporaryFolder folder;
  write_file(folder.path() / "hello.py", "print(1)\n");
  const std::string tar = sent_code(folder.file("hello.py"));
  CHECK(entries_of(tar) == Entries{{"hello.py", {kFile, "print(1)\n"}}});
  CHECK(tar.size() == 4 * 512);  // header, content, end: no extended header, no padding
  fs::create_symlink("hello.py", folder.path() / "link.py");
  CHECK(entries_of(sent_code(folder.file("link.py"))) == Entries{{"link.py", {kFile, "print(1)\n"}}});
}

TEST_CASE("a directory's contents stand at the root, however it is named", "[cli]") {
  const TemporaryFolder folder;
  const fs::path package = folder.path() / "pkg";
  fs::create_directories(package / "sub" / "none");
  write_file(package / "main.py", "import sub\n");
  write_file(package / "run.sh", "#!/bin/sh\n", fs::perms(0755));
  write_file(package / ".hidden", "h");
  write_file(package / "sub" / "data.txt", "data");
  fs::create_symlink("../main.py", package / "sub" / "link.py");
  fs::create_symlink("sub", package / "folder");
  fs::permissions(package / "sub", fs::perms(0755));
  fs::permissions(package / "sub" / "none", fs::perms(0700));
  const Entries expected = {
      {"main.py", {kFile, "import sub\n"}},
      {"run.sh", {S_IFREG | 0755, "#!/bin/sh\n"}},
      {".hidden", {kFile, "h"}},
      {"sub/", {S_IFDIR | 0755, ""}},
      {"sub/none/", {S_IFDIR | 0700, ""}},
      {"sub/data.txt", {kFile, "data"}},
      {"sub/link.py", {S_IFLNK | 0777, "../main.py"}},
      {"folder", {S_IFLNK | 0777, "sub"}},
  };
  const std::string tar = sent_code(package.string());
  CHECK(entries_of(tar) == expected);
  CHECK(sent_code(package.string() + "/") == tar);
  CHECK(sent_code(package.string() + "/.") == tar);
  CHECK(sent_code((package / "sub" / "..").string()) == tar);
  const auto before = fs::current_path();
  fs::current_path(package);
  CHECK(sent_code(".") == tar);
  fs::current_path(folder.path());
  CHECK(sent_code("pkg") == tar);
  CHECK(sent_code("./pkg") == tar);
  fs::current_path(before);
}

TEST_CASE("names that ustar cannot hold are kept", "[cli]") {
  const TemporaryFolder folder;
  const std::string long_name(200, 'n');
  fs::create_directory(folder.path() / "pkg");
  write_file(folder.path() / "pkg" / "größe 日本.py", "u");
  write_file(folder.path() / "pkg" / long_name, "l");
  CHECK(entries_of(sent_code(folder.file("pkg"))) ==
        Entries{{"größe 日本.py", {kFile, "u"}}, {long_name, {kFile, "l"}}});
}

TEST_CASE("archives are sent as they are", "[cli]") {
  const TemporaryFolder folder;
  for (const char* name : {"code.tar", "code.tar.gz", "code.tgz"}) {
    const std::string bytes = std::string("any bytes\0\xff of ", 16) + name;
    write_file(folder.path() / name, bytes);
    CHECK(sent_code(folder.file(name)) == bytes);
  }
}

TEST_CASE("a large file is packed whole", "[cli]") {
  const TemporaryFolder folder;
  std::string content;
  for (unsigned i = 0; i < 300000; ++i) content += static_cast<char>(i * 7919U % 251U);
  write_file(folder.path() / "data.bin", content);
  CHECK(entries_of(sent_code(folder.file("data.bin")))["data.bin"].content == content);
}

TEST_CASE("what an archive cannot hold is named", "[cli]") {
  const TemporaryFolder folder;
  const RecordingNode node;
  fs::create_directory(folder.path() / "pkg");
  REQUIRE(mkfifo((folder.path() / "pkg" / "pipe").c_str(), 0600) == 0);
  const auto pipe = node.cli({"create", "-f", "func", "--src", folder.file("pkg")});
  CHECK(pipe.exit_code == 3);
  CHECK_THAT(pipe.err, Catch::Contains("pkg/pipe: neither a file nor a directory nor a symbolic link"));
  fs::remove(folder.path() / "pkg" / "pipe");
  write_file(folder.path() / "pkg" / "bad\xff", "x");
  const auto name = node.cli({"create", "-f", "func", "--src", folder.file("pkg")});
  CHECK(name.exit_code == 3);
  CHECK_THAT(name.err, Catch::Contains("its name is not UTF-8"));
  CHECK(node.exchanges().empty());
}

}  // namespace serverledge::test
