#include "load.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "worker.hpp"

namespace serverledge::bench {
namespace {

// The functions of a cold open loop are registered before it begins: no more than a node may be asked to
// keep.
constexpr std::uint64_t kPreparedMax = 10000;

// Runs the workers, each on a thread of its own; `tick` is called about once a second until all have
// returned.
void run_all(const Workers& workers, const std::function<void()>& tick) {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t ended = 0;
  std::vector<std::jthread> threads;
  for (const auto& worker : workers) {
    threads.emplace_back([&, &worker = *worker] {
      worker.run();
      const std::lock_guard lock(mutex);
      ++ended;
      changed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, std::chrono::seconds(1), [&] { return ended == workers.size(); })) {
    lock.unlock();
    tick();
    lock.lock();
  }
}

// Sums the workers' counters up, and says what has changed since the last time.
class ProgressMeter {
 public:
  ProgressMeter(const Workers& workers, const Load& load, TimePoint begin)
      : workers_(workers), warmup_(load.warmup), begin_(begin), before_(begin) {}

  Progress read(TimePoint now) {
    std::uint64_t begun = 0;
    std::uint64_t ended = 0;
    std::uint64_t failed = 0;
    std::uint64_t nanoseconds = 0;
    for (const auto& worker : workers_) {
      const auto& counters = worker->tally().counters();
      ended += counters.ended.load(std::memory_order_relaxed);
      begun += counters.begun.load(std::memory_order_relaxed);
      failed += counters.failed.load(std::memory_order_relaxed);
      nanoseconds += counters.nanoseconds.load(std::memory_order_relaxed);
    }
    Progress progress;
    progress.elapsed = now - begin_;
    progress.warming_up = now - begin_ < warmup_;
    progress.ended = ended - ended_;
    progress.failed = failed - failed_;
    progress.per_second = static_cast<double>(progress.ended) / std::max(seconds(now - before_), 1e-9);
    const auto good = progress.ended - std::min(progress.failed, progress.ended);
    if (good > 0)
      progress.mean_latency =
          static_cast<double>(nanoseconds - nanoseconds_) / 1e9 / static_cast<double>(good);
    progress.under_way = begun - std::min(ended, begun);
    progress.total_ended = ended;
    ended_ = ended;
    failed_ = failed;
    nanoseconds_ = nanoseconds;
    before_ = now;
    return progress;
  }

 private:
  const Workers& workers_;
  Duration warmup_;
  TimePoint begin_;
  TimePoint before_;
  std::uint64_t ended_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t nanoseconds_ = 0;
};

// Has the node know the functions that cannot be registered in time. Of a closed loop just the first, so that
// one which the node refuses is told of, and not counted.
Result<void> prepare(const Load& load, ColdFunctions& cold, const Address& address) {
  const std::uint64_t count = load.open() ? calls_due(load, kPreparedMax + 1) : 1;
  if (count > kPreparedMax) {
    return Unexpected(ErrorCode::kInvalid,
                      "a cold open loop registers its functions before it begins: at most " +
                          std::to_string(kPreparedMax) + " calls, please");
  }
  auto done = cold.prepare(count, address, load.timeout, load.stop);
  if (done) return done;
  return Unexpected(done.error().code, "the node does not register the function: " + done.error().message);
}

Outcome run_workers(const Load& load, const Address& address, ColdFunctions* cold,
                    const std::function<void(const Progress&)>& progress) {
  const TimePoint begin = system_clock().now();
  const Workers workers =
      load.open() ? open_loop(load, address, cold, begin) : closed_loop(load, address, cold, begin);
  ProgressMeter meter(workers, load, begin);
  run_all(workers, [&] {
    if (progress) progress(meter.read(system_clock().now()));
  });
  Outcome all;
  TimePoint first = TimePoint::max();
  TimePoint last{};
  for (const auto& worker : workers) worker->tally().merge_into(all, first, last);
  if (last > first) all.elapsed = last - first;
  return all;
}

}  // namespace

std::uint64_t Outcome::failures() const {
  std::uint64_t count = 0;
  for (const auto& [status, times] : statuses) count += status >= 200 && status < 300 ? 0 : times;
  for (const auto& [error, times] : errors) count += times;
  return count;
}

Result<Outcome> run(const Load& load, const std::function<void(const Progress&)>& progress) {
  const auto address = Address::resolve(load.host, load.port);
  if (!address) return Unexpected(address.error());
  if (!load.cold) return run_workers(load, *address, nullptr, progress);
  ColdFunctions cold(load.host, load.port, *load.cold);
  auto ready = prepare(load, cold, *address);
  Outcome outcome;
  if (ready) outcome = run_workers(load, *address, &cold, progress);
  outcome.left_behind = cold.clear(*address, load.timeout);
  if (!ready) return Unexpected(ready.error());
  return outcome;
}

}  // namespace serverledge::bench
