#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>

#include "serverledge/core/peer_link.hpp"

namespace serverledge {

/// Run here now, in a warm container or a new one.
struct RunHere {};
/// Wait here until that is possible.
struct WaitHere {};
/// Hand the invocation to that node.
struct OffloadTo {
  Peer peer;
};
/// Refuse, for that reason.
struct Refuse {
  std::string reason;
};

using Choice = std::variant<RunHere, WaitHere, OffloadTo, Refuse>;

/// An ordered list of at most four choices: the first that is possible is taken. When none is left, the
/// invocation is refused. A value.
class Decision {
 public:
  static constexpr std::size_t kMaxChoices = 4;

  Decision() = default;
  template <typename... Choices>
  requires(sizeof...(Choices) <= kMaxChoices &&
           sizeof...(Choices) > 0) explicit Decision(Choices&&... choices)
      : choices_{Choice(std::forward<Choices>(choices))...}, size_(sizeof...(Choices)) {}

  /// Adds a choice at the end; ignored when the list is full.
  void add(Choice choice) {
    if (size_ < kMaxChoices) choices_[size_++] = std::move(choice);
  }
  std::size_t size() const { return size_; }
  const Choice& operator[](std::size_t index) const { return choices_[index]; }

 private:
  std::array<Choice, kMaxChoices> choices_;
  std::size_t size_ = 0;
};

}  // namespace serverledge
