#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/node_directory.hpp"
#include "serverledge/core/peer_snapshot.hpp"
#include "serverledge/core/status_report.hpp"

namespace serverledge {

struct PeerTableOptions {
  std::string key;                                 ///< of this node
  std::string area;                                ///< of this node
  std::size_t neighbours = 2;                      ///< nearest ones that are published, of each architecture
  Duration interval = std::chrono::seconds(20);    ///< between two questions to a node
  Duration fresh = std::chrono::seconds(2);        ///< the same for those that are published
  Duration answer_time = std::chrono::seconds(1);  ///< after which a question counts as not answered
};

/// What this node knows of the others: who there is, where they are, how loaded, how well they answer. Learns
/// from the directory (members), the status exchange (load, coordinates, round trips) and forwarded calls
/// (load, failures); publishes the nearest neighbours and the nodes of the cloud. Does no I/O: the owner of
/// the sockets asks whom it should ask. Thread-safe. `clock` must outlive it.
class PeerTable final : public PeerSource {
 public:
  PeerTable(PeerTableOptions options, Clock& clock, std::uint64_t seed);
  ~PeerTable() override;
  PeerTable(const PeerTable&) = delete;
  PeerTable& operator=(const PeerTable&) = delete;

  /// The members of the own area (this node left out) and of the one to offload to; those that are known keep
  /// what is known of them. A node that has another address is followed. The cloud's balancers are used
  /// instead of its nodes if there are any.
  void set_members(const AreaMembers& own, const AreaMembers& cloud);

  /// A node to be asked for its status.
  struct Question {
    std::uint64_t peer = 0;  ///< to be given to `answered`
    std::string host;
    int udp_port = 0;
  };
  /// Whom to ask now; they count as asked, `most` at a time. Questions that were not answered in time are
  /// given up.
  std::vector<Question> due(TimePoint now, std::size_t most);
  /// When `due` will next have something.
  TimePoint next_due() const;
  /// An answer came. One that may belong to an earlier question is news, but no measurement.
  void answered(std::uint64_t peer, StatusReport report, TimePoint now);

  /// A call is sent to that peer: until the next news it counts as loaded with this much. Ends by
  /// `forwarded`.
  std::uint64_t forwarding(const Peer& peer, const Resources& demand);
  /// It has ended. `available`: what the peer said in its answer, if it did.
  struct Forwarded {
    bool answered = false;  ///< the function was executed there
    std::string function;
    bool load_known = false;
    Resources available;
  };
  void forwarded(const Peer& peer, std::uint64_t call, const Forwarded& outcome);

  std::shared_ptr<const PeerSnapshot> peers() const override;
  void failed(const Peer& peer, const Invocation& invocation, const Error& error) override;

  /// Where this node stands in the network.
  Coordinates coordinates() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace serverledge
