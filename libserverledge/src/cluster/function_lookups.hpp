#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Look-ups of names that the local copy does not know: one at a time for a name, however many ask, and what
/// failed is not asked again for a second, so that unknown names cost the store little; nor is anything while
/// the store is away, so that it costs callers little. Thread-safe.
class FunctionLookups {
 public:
  /// How long a look-up may take.
  static constexpr Duration kLimit = std::chrono::milliseconds(200);
  using Ask = std::function<Result<FunctionPtr>(const std::string& name)>;

  explicit FunctionLookups(Clock& clock) : clock_(clock) {}
  /// What `ask` says, or said a moment ago, or says to another thread right now.
  Result<FunctionPtr> find(std::string_view name, const Ask& ask);

 private:
  struct Lookup {
    bool done = false;
    Result<FunctionPtr> outcome{FunctionPtr{}};
    TimePoint remembered_until{};
  };
  using LookupPtr = std::shared_ptr<Lookup>;
  void make_room();

  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, LookupPtr, std::less<>> lookups_;
  LookupPtr away_;  // the last one, if the store was away
};

}  // namespace serverledge
