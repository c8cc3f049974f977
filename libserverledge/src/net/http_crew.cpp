#include "net/http_crew.hpp"

#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "net/socket.hpp"

namespace serverledge {

namespace {

constexpr std::size_t kBatch = 8;  // events that a worker takes per system call

}  // namespace

HttpCrew::HttpCrew(const HttpServerOptions& options, const RouteTable& routes, FileDescriptor listener,
                   Clock& clock)
    : options_(options),
      clock_(clock),
      budget_(options.body_budget),
      limits_{options.head_max, options.path_max},
      table_(options.max_connections + kTurnedAwayMax, limits_, budget_),
      service_(options, routes, table_, clock),
      listener_(std::move(listener)),
      keeper_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!keeper_fd_.valid()) throw std::system_error(errno, std::generic_category(), "eventfd");
}

HttpCrew::~HttpCrew() { stop(); }

void HttpCrew::start() {
  for (std::size_t i = 0; i < options_.min_threads; ++i) {
    if (!start_worker() && i == 0) throw std::system_error(EAGAIN, std::generic_category(), "thread");
  }
  keeper_ = std::thread([this] { keep(); });
}

std::size_t HttpCrew::drain(Duration grace) {
  const TimePoint until = later(system_clock().now(), grace);
  service_.close_after_answers();
  draining_ = true;
  wake_keeper();
  while (true) {
    table_.for_each([this](Connection& connection) {
      if (table_.claim(connection) && !service_.close_if_idle(connection)) give_up(connection);
    });
    std::unique_lock lock(mutex_);
    const bool over = (table_.size() == 0 && !accepting_) || stopping_ || system_clock().now() >= until;
    if (over) return table_.size();
    // Connections end on their own threads, which have better things to do than to tell.
    changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
}

void HttpCrew::stop() {
  stopping_ = true;
  table_.wake_all();
  wake_keeper();
  table_.hang_up_all();
  if (keeper_.joinable()) keeper_.join();
  close_listener();
  std::list<Worker> workers;
  {
    const std::lock_guard lock(mutex_);
    workers.splice(workers.end(), workers_);
    workers.splice(workers.end(), leavers_);
  }
  for (auto& worker : workers) worker.thread.join();
}

HttpServerLoad HttpCrew::load() const {
  const std::lock_guard lock(mutex_);
  const auto running = std::count_if(workers_.begin(), workers_.end(),
                                     [](const Worker& worker) { return worker.gauge.since.load() != 0; });
  return {table_.size(), workers_.size(), static_cast<std::size_t>(running)};
}

bool HttpCrew::start_worker() {
  const std::lock_guard lock(mutex_);
  Worker& worker = workers_.emplace_back();
  worker.gauge.before_long = [this, &worker] { offer_lead(worker); };
  arriving_.fetch_add(1);
  try {
    worker.thread = std::thread([this, &worker] { work(worker); });
    return true;
  } catch (const std::system_error& error) {
    workers_.pop_back();
    arriving_.fetch_sub(1);
    note("no further thread", error.what());
    return false;
  }
}

void HttpCrew::work(Worker& worker) {
  arriving_.fetch_sub(1);
  pthread_setname_np(pthread_self(), "http-worker");
  std::array<Connection*, kBatch> claimed{};
  while (!stopping_) {
    Connection* connection = take_waiting();
    if (connection == nullptr) {
      const TimePoint since = system_clock().now();
      const std::size_t count = wait_for_events(worker, claimed);
      if (stopping_) return;
      if (count == 0) {
        const bool long_idle = system_clock().now() - since >= options_.thread_idle_timeout;
        if (!long_idle || !may_leave(worker)) continue;
        offer_lead(worker);
        return;
      }
      connection = claimed[0];
      // The rest is for anyone: this thread may be in a handler for long. So is what waited before, whose
      // wake-up may have come with these events.
      if (count > 1) {
        push_waiting(std::span(claimed).subspan(1, count - 1));
      } else {
        wake_for_waiting();
      }
    }
    if (idle_.load() <= 0 && !keeper_watches_.load()) wake_keeper();
    serve(*connection, HttpService::Effort::kAll, worker.gauge);
  }
}

std::size_t HttpCrew::wait_for_events(Worker& worker, std::span<Connection*> claimed) {
  const int limit = poll_milliseconds(TimePoint(options_.thread_idle_timeout), TimePoint{});
  std::size_t count = 0;
  idle_.fetch_add(1);
  worker.leads = worker.leads || table_.lead();
  if (!worker.leads) {
    worker.leads = table_.follow(limit) && table_.lead();
  } else if (waiting_count_.load() == 0) {
    // Whoever queues a connection looks at idle_ afterwards; we look at the queue after saying that we are
    // idle.
    count = table_.wait(claimed, limit);
  }
  idle_.fetch_sub(1);
  return count;
}

void HttpCrew::offer_lead(Worker& worker) {
  if (std::exchange(worker.leads, false)) table_.offer_lead();
}

Connection* HttpCrew::take_waiting() {
  if (waiting_count_.load() == 0) return nullptr;
  Connection* connection = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return nullptr;
    connection = waiting_.front().connection;
    waiting_.pop_front();
    waiting_count_.store(waiting_.size());
  }
  wake_for_waiting();
  return connection;
}

void HttpCrew::push_waiting(std::span<Connection* const> connections) {
  if (connections.empty()) return;
  const TimePoint now = system_clock().now();
  {
    const std::lock_guard lock(mutex_);
    for (Connection* connection : connections) waiting_.push_back({connection, now});
    waiting_count_.store(waiting_.size());
  }
  wake_for_waiting();
}

void HttpCrew::wake_for_waiting() {
  if (waiting_count_.load() > 0 && idle_.load() > 0) table_.wake_one();
}

void HttpCrew::give_up(Connection& connection) {
  Connection* owned = &connection;
  if (!table_.release(connection)) push_waiting({&owned, 1});
}

void HttpCrew::serve(Connection& connection, HttpService::Effort effort, HandlerGauge& gauge) {
  try {
    service_.serve(connection, effort, gauge);
  } catch (const std::exception& error) {
    note("connection given up", error.what());
    table_.close(connection);
  }
}

bool HttpCrew::may_leave(Worker& worker) {
  const std::lock_guard lock(mutex_);
  if (workers_.size() <= options_.min_threads || stopping_) return false;
  const auto self =
      std::find_if(workers_.begin(), workers_.end(), [&](const Worker& w) { return &w == &worker; });
  leavers_.splice(leavers_.end(), workers_, self);
  return true;
}

void HttpCrew::wake_keeper() const { eventfd_write(keeper_fd_.get(), 1); }

void HttpCrew::note(std::string_view event, std::string_view detail) const {
  if (options_.log) options_.log(event, detail);
}

}  // namespace serverledge
