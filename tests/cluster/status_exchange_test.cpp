#include "serverledge/cluster/status_exchange.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <atomic>

#include "net/file_descriptor.hpp"
#include "support/answers.hpp"

namespace serverledge::test {
namespace {

/// A UDP socket of the test on loopback.
class UdpPeer {
 public:
  UdpPeer() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = at(0);
    socklen_t size = sizeof(address);
    bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size);
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  int port() const { return port_; }
  void send(const std::string& bytes, int port) const {
    const sockaddr_in address = at(port);
    sendto(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&address),
           sizeof(address));
  }
  /// The next datagram, within 30 s, and the port it came from; "" if none came.
  std::string receive(int* from = nullptr) const {
    pollfd wait{fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, 30'000) <= 0) return {};
    std::string bytes(65536, '\0');
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    const ssize_t got =
        recvfrom(fd_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address), &size);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (from != nullptr) *from = ntohs(address.sin_port);
    return bytes;
  }

 private:
  static sockaddr_in at(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }
  FileDescriptor fd_;
  int port_ = 0;
};

StatusReport report_of(std::int64_t available) {
  StatusReport report;
  report.total = {1024, 4000};
  report.available = {available, 4000};
  return report;
}

struct ExchangingNode {
  explicit ExchangingNode(const std::string& key, std::int64_t available = 1024)
      : report(report_of(available)),
        table({.key = key,
               .area = "ROME",
               .interval = std::chrono::milliseconds(50),
               .answer_time = std::chrono::milliseconds(500)},
              system_clock(), 1),
        exchange(
            {.address = "127.0.0.1", .port = 0}, table, [this] { return report; }, system_clock(), observer) {
    port = exchange.start().value();
  }
  void knows(const std::vector<std::pair<std::string, int>>& others) {
    AreaMembers members;
    for (const auto& [key, udp_port] : others) {
      members.nodes.push_back({{key, "ROME", "127.0.0.1", 1323, "amd64"}, udp_port});
    }
    table.set_members(members, {});
    exchange.wake();
  }

  const StatusReport report;
  Observer observer;
  PeerTable table;
  StatusExchange exchange;
  int port = 0;
};

TEST_CASE("Whoever asks is told, whatever the question", "[exchange]") {
  ExchangingNode node("one", 700);
  const UdpPeer asker;
  for (const char* question : {"A", "", "some other question"}) {
    asker.send(question, node.port);
    int from = 0;
    const std::string answer = asker.receive(&from);
    CHECK(from == node.port);
    CHECK(answer.size() <= 1024);
    const auto report = status_from_json(answer);
    REQUIRE(report);
    CHECK(report->available.memory_mb == 700);
  }
}

TEST_CASE("Nodes learn each other's load and round trip", "[exchange]") {
  ExchangingNode one("one");
  ExchangingNode two("two", 600);
  one.knows({{"two", two.port}});
  REQUIRE(eventually([&] { return one.table.peers()->neighbours.size() == 1; }));
  const PeerView view = one.table.peers()->neighbours[0];
  CHECK(view.peer.key == "two");
  CHECK(view.available == Resources{600, 4000});
  CHECK(view.round_trip > Duration::zero());
  CHECK_FALSE(one.table.coordinates() == Coordinates());
}

TEST_CASE("The question is one byte, and the largest datagram is taken for an answer (known defect 6)",
          "[exchange]") {
  ExchangingNode node("one");
  const UdpPeer peer;
  node.knows({{"big", peer.port()}});
  int from = 0;
  CHECK(peer.receive(&from) == "A");
  CHECK(from != node.port);
  StatusReport report = report_of(321);
  for (int i = 0; i < 1500; ++i)
    report.warm_containers.emplace_back("function_number_" + std::to_string(10000 + i), 1);
  const std::string answer = to_json(report);
  REQUIRE(answer.size() > 30'000);
  peer.send(answer, from);
  REQUIRE(eventually([&] { return node.table.peers()->neighbours.size() == 1; }));
  CHECK(node.table.peers()->neighbours[0].warm("function_number_11499") == 1);
}

TEST_CASE("A node that never answers delays no other (known defect 5)", "[exchange]") {
  const UdpPeer silent;
  ExchangingNode one("one");
  ExchangingNode two("two");
  one.knows({{"silent", silent.port()}, {"two", two.port}});
  REQUIRE(eventually([&] { return one.table.peers()->neighbours.size() == 1; }));
  TimePoint first = one.table.peers()->neighbours[0].heard;
  REQUIRE(eventually([&] { return one.table.peers()->neighbours[0].heard > first; }));
  for (int i = 0; i < 3; ++i) CHECK(silent.receive() == "A");  // and it is asked again
}

TEST_CASE("Nonsense, and what nobody asked for, changes nothing", "[exchange]") {
  ExchangingNode node("one");
  const UdpPeer peer;
  const UdpPeer stranger;
  node.knows({{"a", peer.port()}});
  int from = 0;
  REQUIRE(peer.receive(&from) == "A");
  stranger.send(to_datagram(report_of(1)), from);
  peer.send("{\"TotalMemory\":", from);
  REQUIRE(peer.receive(&from) == "A");  // asked again: it had not answered
  CHECK(node.table.peers()->neighbours.empty());
  peer.send(to_datagram(report_of(2)), from);
  REQUIRE(eventually([&] { return node.table.peers()->neighbours.size() == 1; }));
  CHECK(node.table.peers()->neighbours[0].available.memory_mb == 2);
}

TEST_CASE("A port that is taken is a clear error", "[exchange]") {
  const ExchangingNode first("one");
  Observer observer;
  PeerTable table({.key = "x", .area = "ROME"}, system_clock(), 1);
  StatusExchange second(
      {.address = "127.0.0.1", .port = first.port}, table, [] { return StatusReport(); }, system_clock(),
      observer);
  const auto started = second.start();
  REQUIRE_FALSE(started);
  CHECK(started.error().code == ErrorCode::kUnavailable);
  CHECK(started.error().message.find(std::to_string(first.port)) != std::string::npos);
}

}  // namespace
}  // namespace serverledge::test
