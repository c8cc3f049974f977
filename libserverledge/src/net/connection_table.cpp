#include "net/connection_table.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace serverledge {

namespace {

constexpr std::uint64_t kWakeOne = ~std::uint64_t{0};
constexpr std::uint64_t kWakeAll = ~std::uint64_t{1};
constexpr std::uint64_t kIndexMask = 0xffffffffU;
constexpr std::size_t kBatchMax = 64;
constexpr std::uint32_t kOffered = EPOLLIN | EPOLLONESHOT;

constexpr std::uint64_t generation_of(std::uint64_t state) { return state >> 32U; }

FileDescriptor checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return FileDescriptor(fd);
}

int control(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(epoll, operation, fd, &event);
}

void register_fd(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
  if (control(epoll, EPOLL_CTL_ADD, fd, events, data) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

}  // namespace

ConnectionTable::ConnectionTable(std::size_t connections_max, const RequestReader::Limits& limits,
                                 BodyBudget& budget)
    : epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      offer_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      one_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      all_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      limits_(limits),
      budget_(budget),
      slots_(connections_max) {
  register_fd(epoll_.get(), one_.get(), EPOLLIN | EPOLLET, kWakeOne);
  register_fd(epoll_.get(), all_.get(), EPOLLIN, kWakeAll);
  register_fd(offer_.get(), all_.get(), EPOLLIN, kWakeAll);
  register_fd(offer_.get(), epoll_.get(), kOffered, 0);
}

ConnectionTable::~ConnectionTable() {
  for_each([this](Connection& connection) {
    if (claim(connection)) close(connection);
  });
}

std::uint64_t ConnectionTable::event_data(const Connection& connection) const noexcept {
  return generation_of(connection.state_.load()) << 32U | connection.index_;
}

Connection* ConnectionTable::free_slot() {
  const std::lock_guard lock(mutex_);
  if (!free_.empty()) {
    Connection* connection = free_.back();
    free_.pop_back();
    return connection;
  }
  if (owned_.size() == slots_.size()) return nullptr;
  const auto index = static_cast<std::uint32_t>(owned_.size());
  owned_.push_back(std::make_unique<Connection>(index, limits_, budget_));
  slots_[index].store(owned_.back().get(), std::memory_order_release);
  return owned_.back().get();
}

Connection* ConnectionTable::add(FileDescriptor fd, std::string address, TimePoint deadline) {
  Connection* connection = free_slot();
  if (connection == nullptr) return nullptr;
  const int number = fd.get();
  {
    const std::lock_guard lock(connection->identity_);
    connection->fd_ = std::move(fd);
    connection->gone_source_ = std::stop_source();
  }
  connection->address_ = std::move(address);
  connection->set_deadline(deadline);
  connection->idle.store(true, std::memory_order_relaxed);
  open_.fetch_add(1);
  // Owned before it is registered: from then on any thread may take an event of it.
  connection->state_.fetch_or(Connection::kOpen | Connection::kOwned);
  const std::uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  if (control(epoll_.get(), EPOLL_CTL_ADD, number, events, event_data(*connection)) == 0) return connection;
  close(*connection);
  return nullptr;
}

std::size_t ConnectionTable::wait(std::span<Connection*> claimed, int milliseconds) {
  std::array<epoll_event, kBatchMax> events;
  const auto batch = static_cast<int>(std::min(claimed.size(), kBatchMax));
  const int count = epoll_wait(epoll_.get(), events.data(), batch, milliseconds);
  std::size_t taken = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kWakeOne || event.data.u64 == kWakeAll) continue;
    if (Connection* connection = take_event(event.data.u64, event.events)) claimed[taken++] = connection;
  }
  return taken;
}

bool ConnectionTable::follow(int milliseconds) {
  epoll_event event{};
  return epoll_wait(offer_.get(), &event, 1, milliseconds) > 0;
}

bool ConnectionTable::lead() {
  if (led_.exchange(true)) return false;
  control(offer_.get(), EPOLL_CTL_MOD, epoll_.get(), 0, 0);
  return true;
}

void ConnectionTable::offer_lead() {
  led_.store(false);
  control(offer_.get(), EPOLL_CTL_MOD, epoll_.get(), kOffered, 0);
}

Connection* ConnectionTable::take_event(std::uint64_t data, std::uint32_t events) {
  Connection& connection = *slots_[data & kIndexMask].load(std::memory_order_acquire);
  const bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  std::uint64_t state = connection.state_.load(std::memory_order_acquire);
  std::uint64_t wanted = 0;
  do {
    if (generation_of(state) != generation_of(data)) return nullptr;  // about a connection that is closed
    wanted = state | Connection::kOwned | (gone ? Connection::kGone : 0);
    if ((state & Connection::kOwned) != 0) wanted |= Connection::kNews;
  } while (!connection.state_.compare_exchange_weak(state, wanted, std::memory_order_acq_rel));
  if (gone) fire_gone(connection, generation_of(data));
  return (state & Connection::kOwned) != 0 ? nullptr : &connection;
}

void ConnectionTable::fire_gone(Connection& connection, std::uint64_t generation) {
  std::stop_source source(std::nostopstate);
  {
    const std::lock_guard lock(connection.identity_);
    if (generation_of(connection.state_.load()) != generation) return;
    source = connection.gone_source_;
  }
  source.request_stop();
}

void ConnectionTable::wake_one() { eventfd_write(one_.get(), 1); }

void ConnectionTable::wake_all() { eventfd_write(all_.get(), 1); }

bool ConnectionTable::claim(Connection& connection) noexcept {
  std::uint64_t state = connection.state_.load(std::memory_order_acquire);
  do {
    if ((state & Connection::kOpen) == 0 || (state & Connection::kOwned) != 0) return false;
  } while (
      !connection.state_.compare_exchange_weak(state, state | Connection::kOwned, std::memory_order_acq_rel));
  return true;
}

bool ConnectionTable::release(Connection& connection) noexcept {
  std::uint64_t state = connection.state_.load(std::memory_order_acquire);
  while (true) {
    const bool news = (state & Connection::kNews) != 0;
    const std::uint64_t wanted = state & ~(news ? Connection::kNews : Connection::kOwned);
    if (connection.state_.compare_exchange_weak(state, wanted, std::memory_order_acq_rel)) return !news;
  }
}

void ConnectionTable::watch_writable(Connection& connection, bool writable) {
  if (connection.writable_watched == writable) return;
  connection.writable_watched = writable;
  const std::uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET | (writable ? EPOLLOUT : 0U);
  control(epoll_.get(), EPOLL_CTL_MOD, connection.fd_.get(), events, event_data(connection));
}

void ConnectionTable::close(Connection& connection) {
  {
    const std::lock_guard lock(connection.identity_);
    connection.state_.store((generation_of(connection.state_.load()) + 1) << 32U, std::memory_order_release);
    connection.fd_.reset();
    connection.gone_source_ = std::stop_source(std::nostopstate);
  }
  connection.reader.reset();
  connection.clear();
  open_.fetch_sub(1);
  const std::lock_guard lock(mutex_);
  free_.push_back(&connection);
}

void ConnectionTable::for_each(const std::function<void(Connection&)>& each) {
  for (auto& slot : slots_) {
    Connection* connection = slot.load(std::memory_order_acquire);
    if (connection == nullptr) return;
    each(*connection);
  }
}

void ConnectionTable::hang_up_all() {
  for_each([](Connection& connection) {
    std::stop_source source(std::nostopstate);
    {
      const std::lock_guard lock(connection.identity_);
      if (!connection.fd_.valid()) return;
      shutdown(connection.fd_.get(), SHUT_RDWR);
      source = connection.gone_source_;
    }
    source.request_stop();
  });
}

}  // namespace serverledge
