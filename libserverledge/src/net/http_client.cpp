#include "serverledge/net/http_client.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <vector>

#include "net/file_descriptor.hpp"
#include "net/request_head.hpp"
#include "net/response_reader.hpp"
#include "net/socket.hpp"

namespace serverledge {

namespace {

// A descriptor that becomes readable when a stop is requested; -1 if that cannot happen.
class Cancel {
 public:
  explicit Cancel(const std::stop_token& token) {
    if (!token.stop_possible()) return;
    fd_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    callback_.emplace(token, Write{fd_.get()});
  }
  int fd() const noexcept { return fd_.get(); }

 private:
  struct Write {
    int fd;
    void operator()() const noexcept { eventfd_write(fd, 1); }
  };
  FileDescriptor fd_;
  std::optional<std::stop_callback<Write>> callback_;  // goes before the descriptor
};

constexpr int kRecvSeconds = 1;
constexpr Duration kRecvWait = std::chrono::seconds(kRecvSeconds);

// Lets a recv that may wait do so, no longer than kRecvWait.
void wait_in_recv(int fd) {
  const timeval patience{kRecvSeconds, 0};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0) fcntl(fd, F_SETFL, 0);
}

}  // namespace

std::string HttpTarget::name() const { return unix_path.empty() ? host_and_port(host, port) : unix_path; }

class HttpClient::Pool {
 public:
  Pool(Options options, Clock& clock) : options_(options), clock_(clock) {}

  Result<HttpResponse> request(const HttpTarget& target, const HttpRequest& request, Duration connect_timeout,
                               TimePoint deadline, const HttpBodySink& sink);
  void close_idle(const HttpTarget* target) {
    std::map<HttpTarget, std::vector<Idle>> closed;
    const std::lock_guard lock(mutex_);
    if (target == nullptr) {
      idle_.swap(closed);
    } else {
      idle_.erase(*target);
    }
  }

 private:
  struct Idle {
    FileDescriptor fd;
    TimePoint since;
  };
  // One exchange on one connection.
  struct Exchange {
    int fd;
    std::string_view head;
    std::string_view body;
    bool to_head;
    TimePoint deadline;
    int cancel;
    const HttpBodySink& sink;
    std::size_t sent = 0;  // of head and body
    bool answer_begun = false;
    bool keep_alive = false;
    bool all_sent() const { return sent == head.size() + body.size(); }
  };

  FileDescriptor take(const HttpTarget& target);
  void give_back(const HttpTarget& target, FileDescriptor fd);
  /// Drops what is kept of a target none of whose connections are.
  void forget(const HttpTarget& target);
  Result<FileDescriptor> connect(const HttpTarget& target, Duration timeout, TimePoint deadline, int cancel);
  Result<HttpResponse> exchange(Exchange& exchange);
  Result<void> send(Exchange& exchange);
  Result<HttpResponse> receive(Exchange& exchange);
  /// Waits for bytes; 0: the peer has closed.
  Result<std::size_t> read(const Exchange& exchange, std::span<char> space);
  /// The events that came, of those asked for.
  Result<int> wait(const Exchange& exchange, int events);
  static Error broken(const Exchange& exchange, int error);

  const Options options_;
  Clock& clock_;
  std::mutex mutex_;
  // The last used at the back. Of a target with calls under way it may be empty: they will give back.
  std::map<HttpTarget, std::vector<Idle>> idle_;
};

FileDescriptor HttpClient::Pool::take(const HttpTarget& target) {
  while (true) {
    FileDescriptor fd;
    {
      const std::lock_guard lock(mutex_);
      const auto found = idle_.find(target);
      if (found == idle_.end() || found->second.empty()) return {};
      const bool fresh = clock_.now() - found->second.back().since < options_.idle_timeout;
      if (!fresh) {
        found->second.clear();  // the others have been idle even longer
        return {};
      }
      fd = std::move(found->second.back().fd);
      found->second.pop_back();
    }
    char byte = 0;
    const bool silent = recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
    if (silent) return fd;  // else the peer has closed it, or says what nobody asked for
  }
}

void HttpClient::Pool::give_back(const HttpTarget& target, FileDescriptor fd) {
  FileDescriptor oldest;
  const std::lock_guard lock(mutex_);
  auto& idle = idle_[target];
  idle.push_back({std::move(fd), clock_.now()});
  if (idle.size() > options_.idle_per_target) {
    oldest = std::move(idle.front().fd);
    idle.erase(idle.begin());
  }
}

void HttpClient::Pool::forget(const HttpTarget& target) {
  const std::lock_guard lock(mutex_);
  const auto found = idle_.find(target);
  if (found != idle_.end() && found->second.empty()) idle_.erase(found);
}

Result<FileDescriptor> HttpClient::Pool::connect(const HttpTarget& target, Duration timeout,
                                                 TimePoint deadline, int cancel) {
  const TimePoint until = std::min(deadline, later(clock_.now(), timeout));
  auto connected = target.unix_path.empty() ? connect_tcp(target.host, target.port, until, cancel, clock_)
                                            : connect_unix(target.unix_path, until, cancel, clock_);
  if (connected) {
    wait_in_recv(connected->get());
    return connected;
  }
  Error& error = connected.error();
  if (error.code == ErrorCode::kDeadline && clock_.now() < deadline) error.code = ErrorCode::kUnavailable;
  error.message = fmt::format("cannot reach {}: {}", target.name(), error.message);
  return connected;
}

Result<HttpResponse> HttpClient::Pool::request(const HttpTarget& target, const HttpRequest& request,
                                               Duration connect_timeout, TimePoint deadline,
                                               const HttpBodySink& sink) {
  if (Result<void> good = check_request(request); !good) return Unexpected(std::move(good).error());
  const std::string head = request_head(target, request, AfterAnswer::kKept);
  const Cancel cancel(request.peer_gone);
  FileDescriptor fd = take(target);
  struct Leaving {
    Pool& pool;
    const HttpTarget& target;
    bool given_back = false;
    ~Leaving() {
      if (!given_back) pool.forget(target);
    }
  } leaving{*this, target};
  for (bool pooled = fd.valid();; pooled = false) {
    if (!fd.valid()) {
      auto connected = connect(target, connect_timeout, deadline, cancel.fd());
      if (!connected) return Unexpected(std::move(connected).error());
      fd = std::move(*connected);
    }
    Exchange exchange{fd.get(), head, request.body, request.method == "HEAD", deadline, cancel.fd(), sink};
    auto response = this->exchange(exchange);
    if (response) {
      if (exchange.keep_alive) give_back(target, std::move(fd));
      leaving.given_back = exchange.keep_alive;
      return response;
    }
    const ErrorCode code = response.error().code;
    const bool broken = code == ErrorCode::kUnavailable || code == ErrorCode::kUnknownOutcome;
    const bool harmless = !exchange.all_sent() || request.method == "GET";
    if (!pooled || !broken || exchange.answer_begun || !harmless) {
      response.error().message = fmt::format("{}: {}", target.name(), response.error().message);
      return response;
    }
    fd.reset();
  }
}

Result<HttpResponse> HttpClient::Pool::exchange(Exchange& exchange) {
  const auto sent = send(exchange);
  if (!sent && (sent.error().code == ErrorCode::kDeadline || sent.error().code == ErrorCode::kCancelled)) {
    return Unexpected(sent.error());
  }
  // A peer that refuses a request may answer, and close, before it has read all of it: that answer counts.
  auto response = receive(exchange);
  if (!response && !sent && !exchange.answer_begun) return Unexpected(sent.error());
  return response;
}

Result<void> HttpClient::Pool::send(Exchange& exchange) {
  while (!exchange.all_sent()) {
    const std::size_t of_body =
        exchange.sent > exchange.head.size() ? exchange.sent - exchange.head.size() : 0;
    const std::string_view head = exchange.head.substr(exchange.sent - of_body);
    const std::string_view body = exchange.body.substr(of_body);
    std::array<iovec, 2> parts{iovec{const_cast<char*>(head.data()), head.size()},
                               iovec{const_cast<char*>(body.data()), body.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = sendmsg(exchange.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      exchange.sent += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      const auto ready = wait(exchange, POLLIN | POLLOUT);
      if (!ready) return Unexpected(ready.error());
      if ((*ready & POLLOUT) == 0) return {};  // it answers already, and may never read the rest
    } else if (errno != EINTR) {
      return Unexpected(broken(exchange, errno));
    }
  }
  return {};
}

Result<HttpResponse> HttpClient::Pool::receive(Exchange& exchange) {
  ResponseReader reader(exchange.to_head, options_.response_max);
  auto state = ResponseReader::State::kNeedsMore;
  while (state == ResponseReader::State::kNeedsMore) {
    const Result<std::size_t> got = read(exchange, reader.space());
    if (!got) return Unexpected(got.error());
    state = *got == 0 ? reader.ended() : reader.filled(*got);
    exchange.answer_begun = reader.has_begun();
    std::string& body = reader.response().body;
    if (exchange.sink && !body.empty() && reader.response().status / 100 == 2) {
      exchange.sink(body);
      body.clear();
    }
  }
  if (state == ResponseReader::State::kFailed) return Unexpected(reader.error());
  exchange.keep_alive = reader.keep_alive() && exchange.all_sent();
  return std::move(reader.response());
}

Result<std::size_t> HttpClient::Pool::read(const Exchange& exchange, std::span<char> space) {
  while (true) {
    // Where nothing but the peer and time can end the wait, it is for recv itself: that spares a poll.
    const bool alone = exchange.cancel < 0 && later(clock_.now(), kRecvWait) < exchange.deadline;
    if (!alone) {
      if (const auto ready = wait(exchange, POLLIN); !ready) return Unexpected(ready.error());
    }
    const ssize_t got = recv(exchange.fd, space.data(), space.size(), alone ? 0 : MSG_DONTWAIT);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EAGAIN && errno != EINTR) return Unexpected(broken(exchange, errno));
  }
}

Result<int> HttpClient::Pool::wait(const Exchange& exchange, int events) {
  std::array<pollfd, 2> waits{pollfd{exchange.fd, static_cast<short>(events), 0},
                              pollfd{exchange.cancel, POLLIN, 0}};
  while (true) {
    const TimePoint now = clock_.now();
    if (now >= exchange.deadline) return Unexpected(ErrorCode::kDeadline, "no answer in time");
    const int ready = poll(waits.data(), waits.size(), poll_milliseconds(exchange.deadline, now));
    if (ready < 0 && errno != EINTR) return Unexpected(broken(exchange, errno));
    if (ready <= 0) continue;
    if (waits[1].revents != 0) return Unexpected(ErrorCode::kCancelled, "given up by the caller");
    return waits[0].revents;
  }
}

Error HttpClient::Pool::broken(const Exchange& exchange, int error) {
  const ErrorCode code = exchange.all_sent() ? ErrorCode::kUnknownOutcome : ErrorCode::kUnavailable;
  return {code, fmt::format("the connection broke: {}", std::generic_category().message(error)), {}};
}

HttpClient::HttpClient(Options options, Clock& clock) : pool_(std::make_unique<Pool>(options, clock)) {}

HttpClient::~HttpClient() = default;

Result<HttpResponse> HttpClient::request(const HttpTarget& target, const HttpRequest& request,
                                         Duration connect_timeout, TimePoint deadline,
                                         const HttpBodySink& sink) {
  return pool_->request(target, request, connect_timeout, deadline, sink);
}

void HttpClient::close_idle(const HttpTarget& target) { pool_->close_idle(&target); }

void HttpClient::close_idle() { pool_->close_idle(nullptr); }

}  // namespace serverledge
