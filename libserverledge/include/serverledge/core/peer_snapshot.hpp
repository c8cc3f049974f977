#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/peer_link.hpp"
#include "serverledge/core/resources.hpp"

namespace serverledge {

/// Idle containers by function, in the order of their names; a function that is not there has none.
using WarmContainers = std::vector<std::pair<std::string, int>>;

/// A function that a node has refused lately, and until when it is not to be asked for it again.
struct PeerRefusal {
  std::string function;
  TimePoint until{};
};

/// Another node as it was when it was last heard of, less what was sent there since.
struct PeerView {
  Peer peer;
  Resources available;                         ///< total less busy
  std::shared_ptr<const WarmContainers> idle;  ///< null: nothing is known
  Duration round_trip{0};                      ///< of a datagram; 0: not measured
  TimePoint heard{};        ///< when this news came, by this node's clock; the epoch: never
  TimePoint avoid_until{};  ///< failed lately: until then to be used only if nothing else is left
  std::vector<PeerRefusal> refusals;

  /// Idle containers of that function there.
  int warm(std::string_view function) const {
    if (idle == nullptr) return 0;
    const auto at =
        std::lower_bound(idle->begin(), idle->end(), function,
                         [](const auto& entry, std::string_view name) { return entry.first < name; });
    return at != idle->end() && at->first == function ? at->second : 0;
  }
  /// Whether its load is known.
  bool known() const { return heard != TimePoint{}; }
  bool avoided(TimePoint now) const { return now < avoid_until; }
  /// Whether it has refused that function lately.
  bool refuses(std::string_view function, TimePoint now) const {
    return std::any_of(refusals.begin(), refusals.end(), [&](const PeerRefusal& refusal) {
      return refusal.function == function && now < refusal.until;
    });
  }
};

/// The nodes that could take an invocation: nearest neighbours first, and the cloud. Published as a whole.
struct PeerSnapshot {
  std::vector<PeerView> neighbours;
  std::vector<PeerView> cloud;
};

/// Where fresh news of other nodes is published. Thread-safe.
class PeerSource {
 public:
  virtual ~PeerSource() = default;
  /// The latest snapshot; never null.
  virtual std::shared_ptr<const PeerSnapshot> peers() const = 0;
  /// Forwarding that invocation to that peer ended with this error: it is avoided for a while.
  virtual void failed(const Peer& /*peer*/, const Invocation& /*invocation*/, const Error& /*error*/) {}
};

}  // namespace serverledge
