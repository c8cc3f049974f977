#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "serverledge/core/function_registry.hpp"

namespace serverledge {

/// A local copy of the records of a store, fed from two sides: the watch, which tells everything in order but
/// later, and this node's own writes and look-ups, which must be seen at once. Revisions tell which of two is
/// newer. Thread-safe: readers never wait for a listener.
class FunctionCopy {
 public:
  using Functions = std::map<std::string, FunctionPtr, std::less<>>;

  /// The function of that name; null if there is none.
  FunctionPtr find(std::string_view name) const;
  /// All of them as they are now.
  std::shared_ptr<const Functions> all() const;
  /// See FunctionRegistry::on_change.
  void on_change(FunctionRegistry::Listener listener);

  /// What this node wrote or read itself (null: removed), ahead of the watch.
  void ahead(const std::string& name, const FunctionPtr& function, std::uint64_t revision);
  /// What the watch tells (null: removed).
  void told(const std::string& name, const FunctionPtr& function, std::uint64_t revision);
  /// The store lost its data: the revisions seen so far mean nothing any more.
  void begin_anew();
  /// Removes a function that the store does not have.
  void drop(const std::string& name);
  /// All that there was at that revision, as the watch tells it.
  void told_all(Functions functions, std::uint64_t revision);

 private:
  void change(const std::string& name, const FunctionPtr& function);
  bool tell(const std::string& name, const FunctionPtr& before, const FunctionPtr& now) const;
  void publish(Functions functions);

  std::mutex changes_;                          // held while a change is told and published; guards these:
  std::map<std::string, std::uint64_t> ahead_;  // revisions that the watch has not reached yet
  std::uint64_t told_ = 0;                      // how far the watch is
  FunctionRegistry::Listener listener_;

  mutable std::mutex published_;
  std::shared_ptr<const Functions> functions_ = std::make_shared<const Functions>();
};

}  // namespace serverledge
