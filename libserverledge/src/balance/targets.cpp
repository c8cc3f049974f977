#include "balance/targets.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "serverledge/core/request_id.hpp"

namespace serverledge {
namespace {

/// Threads that ask: one that waits for a hung node must not hold up the others.
constexpr int kProbers = 4;
/// What a node may take to answer that it is there.
constexpr Duration kProbeTime = std::chrono::milliseconds(500);
/// A wait without a reason to wake is looked at again.
constexpr Duration kLongestWait = std::chrono::seconds(1);

}  // namespace

Targets::Targets(std::string area, BalancerOptions options, NodeDirectory& directory, Clock& clock,
                 Observer& observer)
    : area_(std::move(area)),
      directory_(directory),
      clock_(clock),
      observer_(observer),
      probes_({.idle_per_target = 1}, clock),
      balancer_(options) {
  directory_.on_change([this] { follow(); });
  follow();
  for (int prober = 0; prober < kProbers; ++prober)
    probers_.emplace_back([this](const std::stop_token& stop) { probe(stop); });
}

Targets::~Targets() {
  directory_.on_change({});
  for (std::jthread& prober : probers_) prober.request_stop();
  probers_.clear();
}

void Targets::follow() {
  std::vector<Peer> peers;
  for (Registration& node : directory_.members(area_).nodes) peers.push_back(std::move(node.peer));
  {
    const std::scoped_lock lock(mutex_);
    balancer_.set_targets(peers);
    ++changes_;
    changed_.notify_all();
  }
  observer_.log(LogLevel::kInfo, "targets", {{"nodes", std::to_string(peers.size())}});
}

std::optional<Balancer::Choice> Targets::choose(const BalancedCall& call, Tried tried) {
  const TimePoint now = clock_.now();
  const std::scoped_lock lock(mutex_);
  return balancer_.choose(call, tried, now);
}

std::optional<Balancer::Choice> Targets::next(Tried tried) {
  const std::scoped_lock lock(mutex_);
  return balancer_.next(tried);
}

std::vector<Balancer::Choice> Targets::accepted(std::string_view request_id) const {
  const std::scoped_lock lock(mutex_);
  return balancer_.those(
      [&](const Peer& peer) { return may_be_from(request_id, request_tag(peer.area, peer.key)); });
}

void Targets::begin(const Balancer::Choice& choice) {
  const std::scoped_lock lock(mutex_);
  balancer_.begin(choice.target, {});
}

void Targets::ended(const Balancer::Choice& choice, const BalancedCall& call, const BalancedOutcome& outcome,
                    std::string_view reason) {
  const TimePoint now = clock_.now();
  bool turned = false;
  {
    const std::scoped_lock lock(mutex_);
    turned = balancer_.ended(choice.target, call, outcome, now);
  }
  if (turned) tell(choice, outcome.kind != BalancedOutcome::Kind::kFailed, reason);
}

bool Targets::any_up() const {
  const std::scoped_lock lock(mutex_);
  return balancer_.any_up();
}

std::vector<Balancer::State> Targets::states() const {
  const std::scoped_lock lock(mutex_);
  return balancer_.states();
}

void Targets::probe(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::optional<Balancer::Choice> due;
    {
      std::unique_lock lock(mutex_);
      const TimePoint now = clock_.now();
      due = balancer_.due_probe(now);
      if (!due) {
        const Duration pause =
            std::clamp<Duration>(std::min(balancer_.next_probe(), later(now, kLongestWait)) - now,
                                 std::chrono::milliseconds(1), kLongestWait);
        changed_.wait_for(lock, stop, pause, [this, seen = changes_] { return changes_ != seen; });
      }
    }
    if (due) ask(*due);
  }
}

void Targets::ask(const Balancer::Choice& choice) {
  HttpRequest question;
  question.path = "/readyz";  // a node of the Go implementation has none, and its 404 is an answer as well
  const auto answer = probes_.request(HttpTarget::tcp(choice.peer.host, choice.peer.port), question,
                                      kProbeTime, later(clock_.now(), kProbeTime));
  const bool good = answer && answer->status != 503;
  const TimePoint now = clock_.now();
  bool turned = false;
  {
    const std::scoped_lock lock(mutex_);
    turned = balancer_.probed(choice.target, good, now);
  }
  if (turned) tell(choice, good, answer ? answer->body : answer.error().message);
}

void Targets::tell(const Balancer::Choice& choice, bool up, std::string_view reason) {
  if (up) {
    observer_.log(LogLevel::kInfo, "target_back", {{"node", choice.peer.key}});
  } else {
    observer_.log(LogLevel::kWarning, "target_left_out", {{"node", choice.peer.key}, {"reason", reason}});
  }
}

}  // namespace serverledge
