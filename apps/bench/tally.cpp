#include "tally.hpp"

#include <algorithm>
#include <string_view>

namespace serverledge::bench {

void Tally::add(std::size_t target, const Connection& connection, TimePoint started, TimePoint now) {
  if (connection.state() == Connection::State::kFailed) {
    add_error(target, connection.error(), started, now);
    return;
  }
  first_ = std::min(first_, started);
  last_ = std::max(last_, now);
  const auto& answer = connection.answer();
  auto& of_target = outcome_.targets[target];
  ++outcome_.statuses[answer.status()];
  outcome_.bytes += answer.body().size();
  if (answer.status() < 200 || answer.status() >= 300) {
    ++of_target.failures;
    return;
  }
  const auto took = static_cast<std::uint64_t>(std::max<Duration::rep>((now - started).count(), 0));
  outcome_.latency.record(took);
  ++of_target.successes;
  of_target.total += static_cast<double>(took);
  of_target.worst = std::max(of_target.worst, took);
  // Inside a string of the answer the quotes would be escaped.
  if (answer.body().find("\"IsWarmStart\":true") != std::string_view::npos) {
    ++outcome_.warm;
    ++of_target.warm;
  } else if (answer.body().find("\"IsWarmStart\":false") != std::string_view::npos) {
    ++outcome_.cold;
    ++of_target.cold;
    outcome_.cold_latency.record(took);
  }
}

void Tally::add_error(std::size_t target, const char* error, TimePoint started, TimePoint now) {
  first_ = std::min(first_, started);
  last_ = std::max(last_, now);
  ++outcome_.errors[error];
  ++outcome_.targets[target].failures;
}

void Tally::count_end(bool failed, Duration took) {
  raise(counters_.ended, 1);
  if (failed) {
    raise(counters_.failed, 1);
  } else {
    raise(counters_.nanoseconds, static_cast<std::uint64_t>(std::max<Duration::rep>(took.count(), 0)));
  }
}

void Tally::merge_into(Outcome& all, TimePoint& first, TimePoint& last) const {
  first = std::min(first, first_);
  last = std::max(last, last_);
  all.latency.merge(outcome_.latency);
  all.cold_latency.merge(outcome_.cold_latency);
  all.lag.merge(outcome_.lag);
  for (const auto& [status, count] : outcome_.statuses) all.statuses[status] += count;
  for (const auto& [error, count] : outcome_.errors) all.errors[error] += count;
  all.targets.resize(outcome_.targets.size());
  for (std::size_t i = 0; i < outcome_.targets.size(); ++i) {
    const auto& mine = outcome_.targets[i];
    auto& sum = all.targets[i];
    sum.successes += mine.successes;
    sum.failures += mine.failures;
    sum.warm += mine.warm;
    sum.cold += mine.cold;
    sum.total += mine.total;
    sum.worst = std::max(sum.worst, mine.worst);
  }
  all.warm += outcome_.warm;
  all.cold += outcome_.cold;
  all.bytes += outcome_.bytes;
  all.abandoned += outcome_.abandoned;
  all.waited += outcome_.waited;
  all.opened += outcome_.opened;
}

}  // namespace serverledge::bench
