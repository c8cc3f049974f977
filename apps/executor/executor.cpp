#include "executor.hpp"

#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "call_reply.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kMaxPeers = 256;
constexpr std::size_t kBodiesAtOnce = 4;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

Unexpected failed(const std::string& what) {
  return Unexpected(ErrorCode::kUnavailable, "cannot " + what + ": " + ::strerrordesc_np(errno));
}

}  // namespace

Executor::Executor(ExecutorSettings settings, Clock& clock)
    : settings_(std::move(settings)), clock_(clock), budget_(kBodiesAtOnce * settings_.body_max) {}

Result<std::unique_ptr<Executor>> Executor::open(ExecutorSettings settings, Clock& clock) {
  std::unique_ptr<Executor> executor(new Executor(std::move(settings), clock));
  executor->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!executor->epoll_.valid()) return failed("wait for events");
  if (const Result<void> watched = executor->watch_signals(); !watched) return Unexpected(watched.error());
  if (const Result<void> listening = executor->listen(); !listening) return Unexpected(listening.error());
  return executor;
}

Result<void> Executor::watch_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return failed("wait for signals");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  watch(signals_.get(), EPOLLIN);
  return {};
}

Result<void> Executor::listen() {
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(settings_.port));
  socklen_t size = sizeof(address);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), raw, size) != 0 || ::listen(listener_.get(), 512) != 0 ||
      ::getsockname(listener_.get(), raw, &size) != 0) {
    return failed("listen on port " + std::to_string(settings_.port));
  }
  port_ = ntohs(address.sin_port);
  watch(listener_.get(), EPOLLIN);
  return {};
}

void Executor::watch(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0)
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void Executor::unwatch(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Executor::run() {
  std::array<epoll_event, 64> events{};
  while (true) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), events.size(), milliseconds_to_wait(clock_.now()));
    const TimePoint now = clock_.now();
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener_.get()) {
        accept_all(now);
      } else if (fd == signals_.get()) {
        if (!take_signals(now)) return;
      } else if (const auto peer = peers_.find(fd); peer != peers_.end()) {
        // The event may be an older one, of another descriptor that had this number.
        if (!peer->second->in_call()) serve(*peer->second, peer->second->go(now), now);
      } else {
        take_output(fd);
      }
    }
    time_out(now);
  }
}

void Executor::accept_all(TimePoint now) {
  while (true) {
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        unwatch(listener_.get());
        accept_again_ = now + kAcceptPause;
      } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        continue;  // it is about that one connection
      }
      return;
    }
    const int fd = socket.get();
    auto peer = std::make_unique<Peer>(std::move(socket), limits_, budget_, settings_.body_max);
    if (peers_.size() >= kMaxPeers) peer->turn_away(503, "there are too many connections");
    Peer& added = *(peers_[fd] = std::move(peer));
    serve(added, added.go(now), now);
  }
}

void Executor::serve(Peer& peer, Peer::Next next, TimePoint now) {
  while (next == Peer::Next::kCall && answer_now(peer, now)) next = peer.go(now);
  switch (next) {
    case Peer::Next::kWait:
      watch(peer.fd(), peer.events());
      break;
    case Peer::Next::kCall:
      unwatch(peer.fd());  // also its hanging up: a call that runs is not cancelled by it
      break;
    case Peer::Next::kEnd:
      peers_.erase(peer.fd());
      break;
  }
}

/// Answers a request, or starts the program that it asks for and returns false.
bool Executor::answer_now(Peer& peer, TimePoint now) {
  HttpRequest& request = peer.request();
  const auto refuse = [&peer](int status, std::string message) {
    peer.answer(status, failure_reply({"protocol", std::move(message), ""}));
    return true;
  };
  if (request.path != "/invoke" && request.path != "/load")
    return refuse(404, "there is only /invoke and /load");
  if (request.method != "POST") return refuse(405, request.path + " takes POST");
  Result<CallRequest> call = parse_call(request.body);
  if (!call) return refuse(400, call.error().message);
  std::string().swap(request.body);
  if (call->command.empty() && settings_.command.empty()) {
    peer.answer(
        200, failure_reply(
                 {"start", "there is no command: CUSTOM_CMD is not set, and the call has no Command", ""}));
    return true;
  }
  if (request.path == "/load") {
    peer.answer(200, R"({"Success":true})");
    return true;
  }
  Result<std::unique_ptr<Program>> program = Program::start(*call, settings_, now);
  if (!program) {
    peer.answer(200, failure_reply({"start", program.error().message, ""}));
    return true;
  }
  watch((*program)->output_fd(), EPOLLIN);
  const pid_t pid = (*program)->pid();
  runs_[pid] = {std::move(*program), &peer};
  return false;
}

void Executor::take_output(int fd) {
  const auto run = std::find_if(runs_.begin(), runs_.end(),
                                [fd](const auto& one) { return one.second.program->output_fd() == fd; });
  if (run == runs_.end()) return unwatch(fd);
  run->second.program->read_output();
}

/// False: it is time to end.
bool Executor::take_signals(TimePoint now) {
  signalfd_siginfo signal{};
  while (::read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) {
    if (signal.ssi_signo != SIGCHLD) return false;
  }
  reap(now);
  return true;
}

void Executor::reap(TimePoint now) {
  while (true) {
    siginfo_t child{};
    if (::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) return;
    const auto run = runs_.find(child.si_pid);
    if (run != runs_.end()) run->second.program->kill_group();
    int status = 0;
    if (::waitpid(child.si_pid, &status, 0) != child.si_pid) return;
    if (run != runs_.end()) finish(run, status, now);
  }
}

void Executor::finish(std::map<pid_t, Run>::iterator run, int wait_status, TimePoint now) {
  Peer& peer = *run->second.peer;
  peer.answer(200, run->second.program->reply(wait_status));
  runs_.erase(run);
  serve(peer, peer.go(now), now);
}

int Executor::milliseconds_to_wait(TimePoint now) const {
  TimePoint first = accept_again_;
  for (const auto& [fd, peer] : peers_) first = std::min(first, peer->deadline());
  for (const auto& [pid, run] : runs_) first = std::min(first, run.program->deadline());
  if (first == TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(first - now, Duration(0)));
  return static_cast<int>(std::min<std::chrono::milliseconds::rep>(left.count(), 60'000));
}

void Executor::time_out(TimePoint now) {
  if (accept_again_ <= now) {
    accept_again_ = TimePoint::max();
    watch(listener_.get(), EPOLLIN);
  }
  for (auto& [pid, run] : runs_) {
    if (run.program->deadline() <= now) run.program->time_out();
  }
  std::vector<Peer*> late;
  for (const auto& [fd, peer] : peers_) {
    if (peer->deadline() <= now) late.push_back(peer.get());
  }
  for (Peer* peer : late) serve(*peer, peer->time_out(now), now);
}

}  // namespace serverledge
