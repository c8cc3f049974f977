#include "serverledge/cluster/status_exchange.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "net/file_descriptor.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kLargestDatagram = 65536;
/// Questions without an answer so far: their answers fit into the buffer.
constexpr std::size_t kMostOpen = 64;
constexpr int kReceiveBuffer = 1 << 20;
constexpr int kBatch = 64;  // datagrams of one socket before the other one's turn
constexpr Duration kOwnNewsFor = std::chrono::milliseconds(100);
constexpr Duration kLongestWait = std::chrono::seconds(1);

/// Address and port as one number, in network order.
using Place = std::uint64_t;

Place place_of(const sockaddr_in& address) {
  return std::uint64_t{address.sin_addr.s_addr} << 16U | address.sin_port;
}

std::optional<sockaddr_in> to_address(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return std::nullopt;
  return address;
}

Result<FileDescriptor> open_socket(const sockaddr_in& address) {
  FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  if (fd.valid()) {
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(kReceiveBuffer));
    setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
  }
  if (!fd.valid() || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Unexpected(ErrorCode::kUnavailable, std::generic_category().message(errno));
  }
  return fd;
}

/// Says that an answer is to come from the address that was asked: a host may have several.
void answer_from_same(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_PKTINFO) continue;
    in_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(part), sizeof(info));
    info.ipi_spec_dst = info.ipi_addr;
    info.ipi_ifindex = 0;
    std::memcpy(CMSG_DATA(part), &info, sizeof(info));
    return;
  }
  message.msg_controllen = 0;
}

}  // namespace

class StatusExchange::Machine {
 public:
  Machine(Options options, PeerTable& table, std::function<StatusReport()> own, Clock& clock,
          Observer& observer)
      : options_(std::move(options)),
        table_(table),
        own_(std::move(own)),
        clock_(clock),
        observer_(observer),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Machine() { stop(); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Result<int> start();
  void wake() { eventfd_write(wake_.get(), 1); }
  void stop();

 private:
  struct Ready {
    bool answers = false;
    bool questions = false;
  };

  void run();
  Ready wait(TimePoint now);
  void serve();
  void ask(TimePoint now);
  void receive();
  const std::string& own_news(TimePoint now);

  const Options options_;
  PeerTable& table_;
  const std::function<StatusReport()> own_;
  Clock& clock_;
  Observer& observer_;
  FileDescriptor wake_;
  FileDescriptor served_;  // where others ask
  FileDescriptor asking_;  // from where this node asks: answers never mix with questions
  std::atomic<bool> stopping_{false};
  std::map<Place, std::uint64_t> asked_;  // whom the last question to an address was for
  std::string news_;
  TimePoint news_of_{};
  std::vector<char> buffer_ = std::vector<char>(kLargestDatagram);
  std::thread thread_;
};

Result<int> StatusExchange::Machine::start() {
  const auto address = to_address(options_.address, options_.port);
  if (!address) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{} is no IPv4 address", options_.address));
  }
  Result<FileDescriptor> served = open_socket(*address);
  if (!served) {
    return Unexpected(served.error().code,
                      fmt::format("cannot have UDP port {}: {}", options_.port, served.error().message));
  }
  Result<FileDescriptor> asking = open_socket(*to_address("0.0.0.0", 0));
  if (!asking) return Unexpected(std::move(asking).error());
  served_ = std::move(*served);
  asking_ = std::move(*asking);
  sockaddr_in bound{};
  socklen_t size = sizeof(bound);
  getsockname(served_.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  stopping_ = false;
  thread_ = std::thread([this] { run(); });
  return ntohs(bound.sin_port);
}

void StatusExchange::Machine::stop() {
  stopping_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
}

void StatusExchange::Machine::run() {
  while (!stopping_) {
    ask(clock_.now());
    const Ready ready = wait(clock_.now());
    if (ready.answers) receive();
    if (ready.questions) serve();
  }
}

StatusExchange::Machine::Ready StatusExchange::Machine::wait(TimePoint now) {
  const TimePoint until = std::min(table_.next_due(), later(now, kLongestWait));
  const Duration left = std::max(until - now, Duration::zero());
  std::array<pollfd, 3> waits{pollfd{wake_.get(), POLLIN, 0}, pollfd{served_.get(), POLLIN, 0},
                              pollfd{asking_.get(), POLLIN, 0}};
  poll(waits.data(), waits.size(),
       static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
  eventfd_t woken = 0;
  if (waits[0].revents != 0) eventfd_read(wake_.get(), &woken);
  return {.answers = waits[2].revents != 0, .questions = waits[1].revents != 0};
}

void StatusExchange::Machine::ask(TimePoint now) {
  if (table_.next_due() > now) return;
  for (const PeerTable::Question& question : table_.due(now, kMostOpen)) {
    const auto address = to_address(question.host, question.udp_port);
    if (!address) continue;  // a name: counts as not answering
    asked_[place_of(*address)] = question.peer;
    const char request = 'A';
    // What cannot be sent is like what was lost.
    (void)sendto(asking_.get(), &request, 1, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&*address),
                 sizeof(*address));
  }
}

void StatusExchange::Machine::receive() {
  for (int count = 0; count < kBatch; ++count) {
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const ssize_t got =
        recvfrom(asking_.get(), buffer_.data(), buffer_.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) continue;  // e.g. what an earlier question was refused with
    const TimePoint now = clock_.now();
    const auto asked = asked_.find(place_of(from));
    if (asked == asked_.end()) continue;  // nobody was asked there
    const std::uint64_t peer = asked->second;
    asked_.erase(asked);  // one answer to a question
    Result<StatusReport> report = status_from_json({buffer_.data(), static_cast<std::size_t>(got)});
    if (report) {
      table_.answered(peer, std::move(*report), now);
    } else {
      observer_.log(LogLevel::kDebug, "the answer of a node makes no sense",
                    {{"reason", report.error().message}});
    }
  }
}

void StatusExchange::Machine::serve() {
  for (int count = 0; count < kBatch; ++count) {
    sockaddr_in from{};
    std::array<char, 64> request{};  // its contents do not matter
    alignas(cmsghdr) std::array<char, 128> control{};
    iovec part{request.data(), request.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof(from);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(served_.get(), &message, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) continue;
    const std::string& news = own_news(clock_.now());
    part = {const_cast<char*>(news.data()), news.size()};
    answer_from_same(message);
    (void)sendmsg(served_.get(), &message, MSG_NOSIGNAL);  // who did not get it asks again
  }
}

/// Made anew several times a second at most, however often others ask.
const std::string& StatusExchange::Machine::own_news(TimePoint now) {
  if (news_.empty() || now - news_of_ >= kOwnNewsFor) {
    news_ = to_datagram(own_());
    news_of_ = now;
  }
  return news_;
}

StatusExchange::StatusExchange(Options options, PeerTable& table, std::function<StatusReport()> own,
                               Clock& clock, Observer& observer)
    : machine_(std::make_unique<Machine>(std::move(options), table, std::move(own), clock, observer)) {}

StatusExchange::~StatusExchange() = default;
Result<int> StatusExchange::start() { return machine_->start(); }
void StatusExchange::wake() { machine_->wake(); }
void StatusExchange::stop() { machine_->stop(); }

}  // namespace serverledge
