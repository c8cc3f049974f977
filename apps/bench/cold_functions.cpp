#include "cold_functions.hpp"

#include <fmt/format.h>

#include "http_request.hpp"

namespace serverledge::bench {
namespace {

// One request and its answer.
Result<void> exchange(Connection& connection, const std::string& request, Duration timeout) {
  const TimePoint deadline = later(system_clock().now(), timeout);
  connection.start(request);
  while (connection.under_way()) {
    connection.advance();
    if (connection.under_way() && system_clock().now() > deadline) connection.give_up("timeout");
  }
  if (connection.state() == Connection::State::kFailed) {
    return Unexpected(ErrorCode::kUnavailable, connection.error());
  }
  const auto& answer = connection.answer();
  if (answer.status() >= 200 && answer.status() < 300) return {};
  return Unexpected(ErrorCode::kInvalid, fmt::format("{} {}", answer.status(), answer.body().substr(0, 500)));
}

}  // namespace

std::string ColdFunctions::name() {
  return fmt::format("{}-{}", definition_.prefix, next_.fetch_add(1, std::memory_order_relaxed));
}

std::string ColdFunctions::register_request(const std::string& name) const {
  return http_request(host_, port_, "POST", "/create",
                      fmt::format(R"({{"Name":"{}",{}}})", name, definition_.fields));
}

std::string ColdFunctions::call_request(const std::string& name) const {
  return http_request(host_, port_, "POST", "/invoke/" + name, invocation_body(definition_.params));
}

std::string ColdFunctions::remove_request(const std::string& name) const {
  return http_request(host_, port_, "POST", "/delete", fmt::format(R"({{"Name":"{}"}})", name));
}

void ColdFunctions::registered(const std::string& name) {
  const std::lock_guard lock(mutex_);
  present_.insert(name);
}

void ColdFunctions::removed(const std::string& name) {
  const std::lock_guard lock(mutex_);
  present_.erase(name);
}

Result<void> ColdFunctions::prepare(std::uint64_t count, const Address& address, Duration timeout,
                                    const std::atomic<bool>* stop) {
  Connection connection(address, true);
  for (std::uint64_t i = 0; i < count && (stop == nullptr || !stop->load()); ++i) {
    const std::string next = name();
    if (auto done = exchange(connection, register_request(next), timeout); !done) return done;
    registered(next);
    const std::lock_guard lock(mutex_);
    ready_.push_back(next);
  }
  return {};
}

std::string ColdFunctions::take() {
  const std::lock_guard lock(mutex_);
  if (ready_.empty()) return {};
  std::string name = std::move(ready_.back());
  ready_.pop_back();
  return name;
}

std::uint64_t ColdFunctions::clear(const Address& address, Duration timeout) {
  std::set<std::string> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(present_);
    ready_.clear();
  }
  Connection connection(address, true);
  std::uint64_t kept = 0;
  for (const auto& name : left) {
    const auto done = exchange(connection, remove_request(name), timeout);
    if (done) continue;
    ++kept;
    if (done.error().code == ErrorCode::kUnavailable)
      return kept + std::distance(left.find(name), left.end()) - 1;
  }
  return kept;
}

}  // namespace serverledge::bench
