#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/temporary_folder.hpp"

namespace serverledge::test {

/// Docker credential helpers as shell scripts, on the PATH as long as this lives.
class HelperPrograms {
 public:
  HelperPrograms() : path_(::getenv("PATH")) {
    ::setenv("PATH", (folder_.path().string() + ":" + path_).c_str(), 1);
  }
  ~HelperPrograms() { ::setenv("PATH", path_.c_str(), 1); }
  HelperPrograms(const HelperPrograms&) = delete;
  HelperPrograms& operator=(const HelperPrograms&) = delete;

  void add(const std::string& name, std::string_view script) const {
    const std::string program = file("docker-credential-" + name);
    std::ofstream(program) << "#!/bin/sh\n" << script << '\n';
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }
  /// Where they are; Docker's config.json may be there, too.
  std::string folder() const { return folder_.path().string(); }
  std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  TemporaryFolder folder_;
  const std::string path_;
};

}  // namespace serverledge::test
