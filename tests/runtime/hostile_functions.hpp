#pragma once

#include <string>
#include <vector>

#include "net/file_descriptor.hpp"
#include "runtime/runtime_under_test.hpp"

namespace serverledge::test {

/// The source of a file of tests/support/hostile.
std::string hostile_source(const char* name);

/// What a node has around a function: an API on all addresses, an abstract socket, secrets in its
/// environment.
class Surroundings {
 public:
  Surroundings();

  /// What a test knows of the node that hostile functions are to find nothing of.
  struct Node {
    std::string store;
    std::string run_root;
    std::string id;
  };
  /// The params of an attempt; `other` is the digest of another function's code.
  std::string params(const std::string& attempt, const Node& node, const std::string& other) const;

 private:
  FileDescriptor tcp_;
  FileDescriptor abstract_;
  int port_ = 0;
  std::string abstract_name_;
};

/// The names of what a hostile function can try.
std::vector<std::string> attempts_of(RuntimeUnderTest& under_test, const Function& function);

}  // namespace serverledge::test
