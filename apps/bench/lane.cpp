#include "lane.hpp"

#include <string_view>

namespace serverledge::bench {

bool Lane::begin(std::size_t target, std::optional<TimePoint> due, bool counts) {
  target_ = target;
  due_ = due;
  counts_ = counts;
  phase_ = Phase::kCall;
  if (cold_ != nullptr) {
    // The functions of an open loop are there already: a call that is due cannot wait for its registration.
    function_ = cold_->take();
    if (function_.empty()) {
      function_ = cold_->name();
      phase_ = Phase::kRegister;
    }
  }
  under_way_ = true;
  tally_.count_begin();
  start();
  connection_.advance();
  return go_on();
}

bool Lane::advance() {
  connection_.advance();
  return go_on();
}

void Lane::start() {
  const TimePoint now = system_clock().now();
  started_ = phase_ == Phase::kCall && due_ ? *due_ : now;
  if (phase_ == Phase::kCall && due_ && counts_) {
    tally_.outcome().lag.record(static_cast<std::uint64_t>((now - *due_).count()));
  }
  if (cold_ == nullptr) {
    connection_.start(load_.targets[target_].request);
    return;
  }
  request_ = phase_ == Phase::kRegister ? cold_->register_request(function_)
             : phase_ == Phase::kCall   ? cold_->call_request(function_)
                                        : cold_->remove_request(function_);
  connection_.start(request_);
}

// Starts one phase after the other as long as each has ended.
bool Lane::go_on() {
  while (!connection_.under_way()) {
    if (!next_phase()) {
      under_way_ = false;
      return false;
    }
    start();
    connection_.advance();
  }
  return true;
}

// The phase has ended: whether there is another one.
bool Lane::next_phase() {
  const bool good = connection_.state() == Connection::State::kDone && connection_.answer().status() >= 200 &&
                    connection_.answer().status() < 300;
  switch (phase_) {
    case Phase::kRegister:
      if (good) {
        cold_->registered(function_);
        phase_ = Phase::kCall;
        return true;
      }
      if (counts_) tally_.add_error(target_, "registration", started_, system_clock().now());
      tally_.count_end(true, Duration(0));
      return false;
    case Phase::kCall:
      end_call();
      phase_ = Phase::kRemove;
      return cold_ != nullptr;
    case Phase::kRemove:
      if (good) cold_->removed(function_);
      break;
  }
  return false;
}

void Lane::end_call() {
  const TimePoint now = system_clock().now();
  if (counts_) tally_.add(target_, connection_, started_, now);
  const bool failed = connection_.state() == Connection::State::kFailed ||
                      connection_.answer().status() < 200 || connection_.answer().status() >= 300;
  tally_.count_end(failed, now - started_);
}

bool Lane::look_at_time(TimePoint now) {
  if (now - started_ < load_.timeout) return true;
  connection_.give_up("timeout");
  return go_on();
}

void Lane::abandon() {
  if (counts_ && phase_ != Phase::kRemove) ++tally_.outcome().abandoned;
  if (phase_ != Phase::kRemove) tally_.count_end(true, Duration(0));
  connection_.retire();
  under_way_ = false;
}

bool Lane::refused() const {
  return connection_.state() == Connection::State::kFailed &&
         std::string_view(connection_.error()) == "connect";
}

}  // namespace serverledge::bench
