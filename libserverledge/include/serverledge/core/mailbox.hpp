#pragma once

#include <memory>
#include <stop_token>

#include "serverledge/core/clock.hpp"

namespace serverledge {

/// Where a waiting call is told that something has happened to its ticket. Thread-safe. `post` only wakes: it
/// runs nothing of the woken call, and may be called more than once.
class Mailbox {
 public:
  virtual ~Mailbox() = default;
  virtual void post() = 0;
};

/// A thread's wait for a post.
class ThreadMailbox : public Mailbox {
 public:
  enum class Woken { kPosted, kDeadline, kStopped };
  /// Sleeps until the next post (also one that came before), `deadline`, or a stop request.
  virtual Woken wait(TimePoint deadline, std::stop_token stop) = 0;
};

/// One that sleeps on a condition variable.
std::shared_ptr<ThreadMailbox> make_thread_mailbox();

}  // namespace serverledge
