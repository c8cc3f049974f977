// The other side of two_hundred_nodes.py, and its floor.
//
// status_peers answer COUNT: answers as that many nodes, at 127.1.0.1 and on, and prints their port.
// status_peers ask PORT COUNT RATE: the bare loop. Asks these nodes in turn, so many times a second (0: as
// soon as it has an answer), and parses what they answer.
//
// For each line that it reads it prints the number of answers so far, and nanoseconds of processor time.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serverledge/core/status_report.hpp"

namespace {

using serverledge::StatusReport;

/// Written by the thread that works, read by the one that reports.
struct Progress {
  std::atomic<std::int64_t> answers{0};
  std::atomic<std::int64_t> nanoseconds{0};
};

sockaddr_in place(int node, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0x7f010000U + static_cast<unsigned>(node) + 1);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// Of a node that has containers of many functions: its answer is nearly as large as one may be.
StatusReport some_status() {
  StatusReport report;
  for (int i = 0; i < 20; ++i)
    report.warm_containers.emplace_back("function_number_" + std::to_string(i + 10), 1);
  report.total = {4096, 8000};
  report.available = {2048, 4000};
  report.coordinates.vec = {0.0013, -0.0002, 0.0104};
  return report;
}

int datagram_socket() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::runtime_error("no socket");
  return fd;
}

std::vector<int> sockets_of_nodes(int count) {
  std::vector<int> sockets;
  int port = 0;
  for (int node = 0; node < count; ++node) {
    sockets.push_back(datagram_socket());
    sockaddr_in address = place(node, port);
    if (bind(sockets.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
      throw std::runtime_error("a port is taken; try again");
    socklen_t size = sizeof(address);
    getsockname(sockets.back(), reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
  }
  std::cout << port << std::endl;
  return sockets;
}

void answer(int count, Progress& progress) {
  const std::string answer = to_datagram(some_status());
  const int ready = epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : sockets_of_nodes(count)) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(ready, EPOLL_CTL_ADD, fd, &event);
  }
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int some = epoll_wait(ready, events.data(), events.size(), -1);
    for (int i = 0; i < some; ++i) {
      char byte = 0;
      sockaddr_in from{};
      socklen_t size = sizeof(from);
      const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
      if (recvfrom(fd, &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size) < 0) continue;
      sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      ++progress.answers;
    }
  }
}

std::int64_t own_time() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return std::int64_t{spent.tv_sec} * 1'000'000'000 + spent.tv_nsec;
}

void ask(int port, int count, int rate, Progress& progress) {
  const int fd = datagram_socket();
  std::vector<char> buffer(65536);
  timespec due{};
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (std::int64_t number = 0;; ++number) {
    if (rate > 0) {
      due.tv_nsec += 1'000'000'000 / rate;
      due.tv_sec += due.tv_nsec / 1'000'000'000;
      due.tv_nsec %= 1'000'000'000;
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);
    }
    const sockaddr_in to = place(static_cast<int>(number % count), port);
    sendto(fd, "A", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (!serverledge::status_from_json({buffer.data(), static_cast<std::size_t>(got)}))
      throw std::runtime_error("no status");
    progress.nanoseconds = own_time();
    progress.answers = number + 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  Progress progress;
  const auto number = [&](std::size_t word) { return std::atoi(argv[word]); };
  std::thread worker;
  if (words.size() == 3 && words[1] == "answer") {
    worker = std::thread([&] { answer(number(2), progress); });
  } else if (words.size() == 5 && words[1] == "ask") {
    worker = std::thread([&] { ask(number(2), number(3), number(4), progress); });
  } else {
    std::cerr << "usage: status_peers answer COUNT | ask PORT COUNT RATE\n";
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);)
    std::cout << progress.answers << ' ' << progress.nanoseconds << std::endl;
  std::_Exit(0);  // the worker never ends
}
