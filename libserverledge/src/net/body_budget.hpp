#pragma once

#include <atomic>
#include <cstddef>

namespace serverledge {

/// Bytes that all bodies together may hold. Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(std::size_t bytes) : left_(static_cast<std::ptrdiff_t>(bytes)) {}

  /// Takes that many, or none and returns false.
  bool take(std::size_t bytes) noexcept {
    if (left_.fetch_sub(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed) >=
        static_cast<std::ptrdiff_t>(bytes)) {
      return true;
    }
    give(bytes);
    return false;
  }
  void give(std::size_t bytes) noexcept {
    left_.fetch_add(static_cast<std::ptrdiff_t>(bytes), std::memory_order_relaxed);
  }
  std::ptrdiff_t left() const noexcept { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::ptrdiff_t> left_;
};

}  // namespace serverledge
