#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/peer_link.hpp"
#include "serverledge/core/resources.hpp"

namespace serverledge {

struct BalancerOptions {
  double bound = 1.25;    ///< calls that a target may have at a time, in averages over all; at least 1
  std::size_t spare = 4;  ///< calls that it may always have
  /// A target that has said nothing for so long is asked whether it is there.
  Duration silence = std::chrono::milliseconds(400);
};

/// What a call asks of a target.
struct BalancedCall {
  std::string_view function;
  std::span<const std::string> archs;  ///< any of these; empty: any
  Resources demand;                    ///< of one call; 0: not known
};

/// How a call at a target ended.
struct BalancedOutcome {
  enum class Kind {
    kAnswered,
    kRefused,    ///< the target has not run it and has no room for the function
    kFailed,     ///< the target cannot be reached, or broke off
    kAbandoned,  ///< given up by us: says nothing of the target
  };
  Kind kind = Kind::kAnswered;
  std::optional<Resources> available;  ///< what the target said is free there
};

/// Which of several nodes a call goes to: rendezvous hashing by the function's name, with bounded load. Each
/// function has an order of the targets of its own, and goes to the first that may take it, where its warm
/// containers are; when targets come and go, only the functions that they are first for move. No target gets
/// more calls at a time than `bound` times the average of those that come into question (or `spare`): what a
/// hot function has beyond that spills over to the next of its order.
///
/// Targets that failed are left out until they are heard of again, unless there is no other. Decides only:
/// does no I/O, and is given the time. Not thread-safe.
class Balancer {
 public:
  using TargetId = std::uint64_t;
  struct Choice {
    TargetId target = 0;
    Peer peer;
  };

  explicit Balancer(BalancerOptions options) : options_(options) {}

  /// The nodes that there are. What is known of one that stays at its address stays too.
  void set_targets(const std::vector<Peer>& peers);
  std::size_t size() const { return targets_.size(); }
  struct State {
    Peer peer;
    bool up = false;        ///< not left out
    std::size_t calls = 0;  ///< that it has
  };
  /// How all targets are, in the order in which they were set.
  std::vector<State> states() const;
  /// Whether there is a target that is not left out.
  bool any_up() const;

  /// The target of a call, none of those tried before; nullopt if no other can run it. It counts as having
  /// the call from then on, until `ended`.
  std::optional<Choice> choose(const BalancedCall& call, std::span<const TargetId> tried, TimePoint now);
  /// The next target in turn, of any architecture, for what every node can answer. Counts likewise.
  std::optional<Choice> next(std::span<const TargetId> tried);
  /// The targets that are up and for which `is_wanted` holds.
  template <typename Predicate>
  std::vector<Choice> those(Predicate is_wanted) const {
    std::vector<Choice> found;
    for (const Target& target : targets_) {
      if (!target.down && is_wanted(target.peer)) found.push_back({target.id, target.peer});
    }
    return found;
  }
  /// Counts a call of a target that was not chosen here, until `ended`.
  void begin(TargetId target, const BalancedCall& call);
  /// Whether this has changed that the target is left out.
  bool ended(TargetId target, const BalancedCall& call, const BalancedOutcome& outcome, TimePoint now);

  /// Targets to be asked whether they are there: those that have said nothing for a while, and those that
  /// are left out. They count as asked until `probed`.
  std::optional<Choice> due_probe(TimePoint now);
  /// When `due_probe` will next have one.
  TimePoint next_probe() const;
  /// Whether this has changed that the target is left out.
  bool probed(TargetId target, bool answered, TimePoint now);

 private:
  struct Refusal {
    std::uint64_t function = 0;
    TimePoint until{};
  };
  struct Target {
    TargetId id = 0;
    Peer peer;
    std::uint64_t hash = 0;
    std::size_t calls = 0;
    std::optional<Resources> available;  // less what was sent since
    TimePoint available_at{};
    std::vector<Refusal> refusals;
    TimePoint heard{};
    TimePoint asked{};
    bool asking = false;
    bool down = false;
  };
  Target* find(TargetId id);
  std::size_t bound(std::size_t calls, std::size_t targets) const;
  bool fits(const Target& target, const BalancedCall& call, TimePoint now) const;
  static bool refuses(const Target& target, std::uint64_t function, TimePoint now);
  static bool heard(Target& target, TimePoint now);

  const BalancerOptions options_;
  std::vector<Target> targets_;  // in the order of the directory
  TargetId next_id_ = 1;
  std::size_t turn_ = 0;
};

}  // namespace serverledge
