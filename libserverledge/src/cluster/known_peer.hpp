#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/cluster/vivaldi.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/core/status_report.hpp"

namespace serverledge {

/// What is known of one other node: its questions and answers, its load, its failures. Not thread-safe.
class KnownPeer {
 public:
  /// Questions in a row without an answer after which a node counts as silent.
  static constexpr int kSilentAfter = 5;

  KnownPeer(std::uint64_t id, Registration registration, TimePoint now)
      : id_(id), registration_(std::move(registration)), next_question_(now) {}

  std::uint64_t id() const { return id_; }
  const Registration& registration() const { return registration_; }

  // The status exchange.
  bool asked() const { return asked_; }
  TimePoint next_question() const { return next_question_; }
  TimePoint answer_due(Duration answer_time) const { return later(asked_at_, answer_time); }
  void ask(TimePoint now, Duration until_next);
  void give_up(TimePoint now, Duration answer_time, Duration interval);
  /// Takes the news. The round trip, filtered, if it could be measured; else 0.
  Duration answer(StatusReport report, TimePoint now);
  bool heard() const { return heard_ != TimePoint{}; }
  bool silent() const { return misses_ >= kSilentAfter; }
  const Coordinates& coordinates() const { return coordinates_; }

  // Forwarded calls.
  void send(std::uint64_t call, const Resources& demand, TimePoint now);
  void end(std::uint64_t call) { calls_.erase(call); }
  void load(const Resources& available, TimePoint now);
  void succeeded(std::string_view function, TimePoint now);
  void failed(std::string_view function, const Error& error, TimePoint now);

  /// To be used only if nothing else is left.
  bool avoided(TimePoint now) const { return now < avoid_until_ || swallows_calls(now); }
  /// Calls have failed there, and none has succeeded since.
  bool failing() const { return avoid_pause_ > Duration::zero(); }
  PeerView view(TimePoint now) const;
  const Resources& available() const { return available_; }

  bool published = false;

 private:
  struct Refusal {
    PeerRefusal refusal;
    Duration pause{0};
  };
  bool swallows_calls(TimePoint now) const;

  const std::uint64_t id_;
  const Registration registration_;
  bool asked_ = false;
  bool doubtful_ = false;  // an earlier question may still be answered
  int misses_ = 0;
  TimePoint asked_at_{};
  TimePoint next_question_{};

  Coordinates coordinates_;
  LatencyFilter filter_;
  Resources total_;
  Resources available_;
  std::shared_ptr<const WarmContainers> idle_;
  TimePoint heard_{};

  std::map<std::uint64_t, TimePoint> calls_;  // under way, in the order in which they were sent
  TimePoint last_success_{};
  TimePoint avoid_until_{};
  Duration avoid_pause_{0};
  std::vector<Refusal> refusals_;
};

}  // namespace serverledge
