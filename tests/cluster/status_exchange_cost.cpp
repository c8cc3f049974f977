// What the status exchange with 200 nodes costs, beside a bare loop that sends and parses the same datagrams.
// A benchmark: run it by its tag, `cluster_test [benchmark]`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "net/file_descriptor.hpp"
#include "serverledge/cluster/status_exchange.hpp"
#include "support/answers.hpp"

namespace serverledge::test {
namespace {

constexpr int kNodes = 200;
constexpr int kExchanges = 20'000;

sockaddr_in place(int node, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0x7f010000U + static_cast<unsigned>(node) + 1);  // 127.1.0.1 and on
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

StatusReport some_status() {
  StatusReport report;
  for (int i = 0; i < 20; ++i)
    report.warm_containers.emplace_back("function_number_" + std::to_string(i + 10), 1);
  report.total = {4096, 8000};
  report.available = {2048, 4000};
  report.coordinates.vec = {0.0013, -0.0002, 0.0104};
  return report;
}

/// Nodes that answer, by one thread.
class Answering {
 public:
  Answering() {
    for (int node = 0; node < kNodes; ++node) {
      FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      sockaddr_in address = place(node, port);
      if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        throw std::runtime_error("bind");
      socklen_t size = sizeof(address);
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
      port = ntohs(address.sin_port);
      sockets_.push_back(std::move(fd));
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  int port = 0;
  std::atomic<int> answers{0};

 private:
  void run(const std::stop_token& stop) {
    const std::string answer = to_datagram(some_status());
    std::vector<pollfd> waits;
    for (const FileDescriptor& fd : sockets_) waits.push_back({fd.get(), POLLIN, 0});
    while (!stop.stop_requested()) {
      if (poll(waits.data(), waits.size(), 50) <= 0) continue;
      for (const pollfd& wait : waits) {
        if ((wait.revents & POLLIN) == 0) continue;
        char byte = 0;
        sockaddr_in from{};
        socklen_t size = sizeof(from);
        if (recvfrom(wait.fd, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) < 0) continue;
        sendto(wait.fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        ++answers;
      }
    }
  }
  std::vector<FileDescriptor> sockets_;
  std::jthread thread_;
};

std::set<std::string> tasks() {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    found.insert(entry.path().filename());
  return found;
}

/// Nanoseconds that a thread was running.
double cpu_of(const std::string& task) {
  double time = 0;
  std::ifstream("/proc/self/task/" + task + "/schedstat") >> time;
  return time;
}

/// By the thread itself, of one exchange after the other.
double bare_loop(int port) {
  double spent = 0;
  std::thread([&] {
    const auto mine = std::filesystem::read_symlink("/proc/thread-self").filename().string();
    const FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::vector<char> buffer(65536);
    const double begin = cpu_of(mine);
    for (int i = 0; i < kExchanges; ++i) {
      const sockaddr_in to = place(i % kNodes, port);
      sendto(fd.get(), "A", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
      const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (!status_from_json({buffer.data(), static_cast<std::size_t>(got)}))
        throw std::runtime_error("no status");
    }
    spent = cpu_of(mine) - begin;
  }).join();
  return spent / kExchanges;
}

double exchange(Answering& nodes) {
  Observer observer;
  PeerTable table({.key = "self", .area = "ROME", .interval = std::chrono::milliseconds(50)}, system_clock(),
                  1);
  AreaMembers members;
  for (int node = 0; node < kNodes; ++node) {
    members.nodes.push_back(
        {{"n" + std::to_string(node), "ROME", "127.1.0." + std::to_string(node + 1), 1323, "amd64"},
         nodes.port});
  }
  table.set_members(members, {});
  StatusExchange exchange({.address = "127.0.0.1", .port = 0}, table, some_status, system_clock(), observer);
  const auto before = tasks();
  exchange.start().value();
  std::string mine;
  for (const std::string& task : tasks()) {
    if (!before.contains(task)) mine = task;
  }
  const int begin = nodes.answers;
  eventually([&] { return nodes.answers >= begin + kExchanges; });
  const double spent = cpu_of(mine);
  return spent / (nodes.answers - begin);
}

TEST_CASE("The exchange with 200 nodes costs at most twice a bare loop", "[.][benchmark]") {
  Answering nodes;
  std::vector<double> ratios;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double bare = bare_loop(nodes.port);
    const double ours = exchange(nodes);
    ratios.push_back(ours / bare);
    std::cout << "processor time of one exchange: bare " << bare / 1000 << " us, ours " << ours / 1000
              << " us, ratio " << ours / bare << '\n';
  }
  std::sort(ratios.begin(), ratios.end());
  CHECK(ratios[2] <= 2);
}

}  // namespace
}  // namespace serverledge::test
