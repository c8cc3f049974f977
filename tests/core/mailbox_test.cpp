#include "serverledge/core/mailbox.hpp"

#include <catch2/catch.hpp>
#include <thread>

namespace serverledge {

using Woken = ThreadMailbox::Woken;

TEST_CASE("a post that came before the wait is not lost", "[mailbox]") {
  const auto mailbox = make_thread_mailbox();
  mailbox->post();
  mailbox->post();
  CHECK(mailbox->wait(TimePoint::max(), {}) == Woken::kPosted);
  CHECK(mailbox->wait(system_clock().now(), {}) == Woken::kDeadline);
}

TEST_CASE("a wait ends at its deadline, also at one that has passed", "[mailbox]") {
  const auto mailbox = make_thread_mailbox();
  CHECK(mailbox->wait(TimePoint::min(), {}) == Woken::kDeadline);
  const TimePoint deadline = later(system_clock().now(), std::chrono::milliseconds(5));
  CHECK(mailbox->wait(deadline, {}) == Woken::kDeadline);
  CHECK(system_clock().now() >= deadline);
}

TEST_CASE("a post wins over a deadline and a stop that came with it", "[mailbox]") {
  const auto mailbox = make_thread_mailbox();
  std::stop_source stop;
  stop.request_stop();
  mailbox->post();
  CHECK(mailbox->wait(TimePoint::min(), stop.get_token()) == Woken::kPosted);
  CHECK(mailbox->wait(TimePoint::max(), stop.get_token()) == Woken::kStopped);
}

TEST_CASE("a post from another thread wakes a wait without a deadline", "[mailbox]") {
  const auto mailbox = make_thread_mailbox();
  std::jthread poster([&] { mailbox->post(); });
  CHECK(mailbox->wait(TimePoint::max(), {}) == Woken::kPosted);
}

TEST_CASE("a stop from another thread ends a wait without a deadline", "[mailbox]") {
  const auto mailbox = make_thread_mailbox();
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  CHECK(mailbox->wait(TimePoint::max(), stop.get_token()) == Woken::kStopped);
}

TEST_CASE("two threads that answer each other lose no post", "[mailbox]") {
  const auto ping = make_thread_mailbox();
  const auto pong = make_thread_mailbox();
  constexpr int kRounds = 2000;
  std::jthread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      ping->wait(TimePoint::max(), {});
      pong->post();
    }
  });
  int answered = 0;
  for (int i = 0; i < kRounds; ++i) {
    ping->post();
    if (pong->wait(TimePoint::max(), {}) == Woken::kPosted) ++answered;
  }
  CHECK(answered == kRounds);
}

}  // namespace serverledge
