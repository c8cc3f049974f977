#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "connection.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::bench {

/// What the functions of a cold load have in common.
struct ColdDefinition {
  std::string fields;  ///< members of the body of /create, all but the name
  std::string prefix;  ///< of their names
  std::string params;  ///< of each call
};

/// Functions with a name of their own for each call: a node has no container of a function that it has never
/// seen, so that each call is a cold start on any node. Knows which of them the node still has. Thread-safe.
class ColdFunctions {
 public:
  ColdFunctions(std::string host, int port, ColdDefinition definition)
      : host_(std::move(host)), port_(port), definition_(std::move(definition)) {}

  /// A name that was never given before.
  std::string name();
  std::string register_request(const std::string& name) const;
  std::string call_request(const std::string& name) const;
  std::string remove_request(const std::string& name) const;

  void registered(const std::string& name);
  void removed(const std::string& name);

  /// Registers that many on one connection, to be had from `take`; ends early once `stop` is set. The error
  /// of the first that the node refuses.
  Result<void> prepare(std::uint64_t count, const Address& address, Duration timeout,
                       const std::atomic<bool>* stop);
  /// One that was prepared; empty if there is none left.
  std::string take();
  /// Removes what the node still has: how many it would not.
  std::uint64_t clear(const Address& address, Duration timeout);

 private:
  std::string host_;
  int port_;
  ColdDefinition definition_;
  std::atomic<std::uint64_t> next_{0};
  std::mutex mutex_;
  std::set<std::string> present_;
  std::vector<std::string> ready_;
};

}  // namespace serverledge::bench
