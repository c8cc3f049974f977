#include "cluster/function_copy.hpp"

#include <utility>

namespace serverledge {
namespace {

FunctionPtr find_in(const FunctionCopy::Functions& functions, std::string_view name) {
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : found->second;
}

}  // namespace

FunctionPtr FunctionCopy::find(std::string_view name) const { return find_in(*all(), name); }

std::shared_ptr<const FunctionCopy::Functions> FunctionCopy::all() const {
  const std::scoped_lock lock(published_);
  return functions_;
}

void FunctionCopy::publish(Functions functions) {
  auto published = std::make_shared<const Functions>(std::move(functions));
  const std::scoped_lock lock(published_);
  functions_.swap(published);
}

void FunctionCopy::on_change(FunctionRegistry::Listener listener) {
  const std::scoped_lock lock(changes_);
  listener_ = std::move(listener);
  if (!listener_) return;
  const auto known = all();
  for (const auto& [name, function] : *known) listener_(name, function);
}

void FunctionCopy::ahead(const std::string& name, const FunctionPtr& function, std::uint64_t revision) {
  const std::scoped_lock lock(changes_);
  if (revision <= told_) return;  // the watch has told this already, and perhaps what came after it
  std::uint64_t& known = ahead_[name];
  if (revision < known) return;
  known = revision;
  change(name, function);
}

void FunctionCopy::told(const std::string& name, const FunctionPtr& function, std::uint64_t revision) {
  const std::scoped_lock lock(changes_);
  told_ = revision;
  if (const auto known = ahead_.find(name); known != ahead_.end()) {
    if (known->second > revision) return;
    ahead_.erase(known);
  }
  change(name, function);
}

void FunctionCopy::begin_anew() {
  const std::scoped_lock lock(changes_);
  told_ = 0;
  ahead_.clear();
}

void FunctionCopy::drop(const std::string& name) {
  const std::scoped_lock lock(changes_);
  ahead_.erase(name);
  change(name, nullptr);
}

void FunctionCopy::told_all(Functions functions, std::uint64_t revision) {
  const std::scoped_lock lock(changes_);
  told_ = revision;
  std::erase_if(ahead_, [&](const auto& known) { return known.second <= revision; });
  const std::shared_ptr<const Functions> before = all();
  for (const auto& [name, unused] : ahead_) {
    functions.erase(name);
    if (FunctionPtr own = find_in(*before, name)) functions.emplace(name, std::move(own));
  }
  for (const auto& [name, function] : *before) {
    if (!functions.contains(name)) tell(name, function, nullptr);
  }
  for (const auto& [name, function] : functions) tell(name, find_in(*before, name), function);
  publish(std::move(functions));
}

void FunctionCopy::change(const std::string& name, const FunctionPtr& function) {
  const std::shared_ptr<const Functions> before = all();
  if (!tell(name, find_in(*before, name), function)) return;
  Functions functions = *before;  // readers keep what they have
  if (function) {
    functions.insert_or_assign(name, function);
  } else {
    functions.erase(name);
  }
  publish(std::move(functions));
}

/// Tells of a change, if it is one: whether it is.
bool FunctionCopy::tell(const std::string& name, const FunctionPtr& before, const FunctionPtr& now) const {
  const bool same = before && now ? *before == *now : before == now;
  if (!same && listener_) listener_(name, now);
  return !same;
}

}  // namespace serverledge
