#include "node/call_crew.hpp"

#include <algorithm>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

namespace serverledge {
namespace {

Error cancelled_call() { return {ErrorCode::kCancelled, "the call was cancelled", "caller_gone"}; }

}  // namespace

/// An admitted call, and the mailbox of its ticket.
class CallCrew::Job final : public Mailbox, public SubmittedCall, public std::enable_shared_from_this<Job> {
 public:
  Job(CallCrew& home, Invocation call, Ended ended)
      : invocation(std::move(call)), home_(home), id_(invocation.id), ended_(std::move(ended)) {
    invocation.caller_gone = gone_.get_token();
  }

  void post() override {
    {
      const std::scoped_lock lock(mutex_);
      posted_ = true;
      if (!std::exchange(parked_, false)) return;
    }
    // It may hold a container already: before calls that hold none.
    home_.push(shared_from_this(), true);
  }

  const std::string& id() const override { return id_; }

  bool cancel() override {
    gone_.request_stop();
    bool parked = false;
    {
      const std::scoped_lock lock(mutex_);
      if (settled_) return false;
      settled_ = true;
      parked = std::exchange(parked_, false);
    }
    tell(Unexpected(cancelled_call()));
    // Unfinished until a worker has taken it out of the queue, so that the crew is still there.
    if (parked) home_.push(shared_from_this(), true);
    return true;
  }

  /// Says what became of it, unless it was cancelled.
  void settle(Result<ExecutionReport> outcome) {
    {
      const std::scoped_lock lock(mutex_);
      if (std::exchange(settled_, true)) return;
    }
    tell(std::move(outcome));
  }

  /// Leaves the thread until a post; false if that, or a cancellation, has come already.
  bool park(const Ticket& held) {
    const std::scoped_lock lock(mutex_);
    ticket = held;
    if (std::exchange(posted_, false) || settled_) return false;
    parked_ = true;
    return true;
  }

  /// Forgets the post that brought it back.
  void unparked() {
    const std::scoped_lock lock(mutex_);
    posted_ = false;
  }

  bool cancelled() const { return gone_.stop_requested(); }

  Invocation invocation;
  std::optional<Ticket> ticket;

 private:
  /// Called by whoever has set settled_.
  void tell(Result<ExecutionReport> outcome) { std::exchange(ended_, {})(std::move(outcome)); }

  CallCrew& home_;
  const std::string id_;
  Ended ended_;
  std::stop_source gone_;
  std::mutex mutex_;
  bool parked_ = false;
  bool posted_ = false;
  bool settled_ = false;
};

CallCrew::CallCrew(Invoker& invoker, Observer& observer, const Limits& limits)
    : invoker_(invoker),
      observer_(observer),
      capacity_(limits.capacity),
      max_workers_(static_cast<std::size_t>(std::max(limits.workers, 1))),
      key_(limits.key) {}

CallCrew::~CallCrew() { join(); }

Result<void> CallCrew::admit(const Invocation& invocation) {
  Error error;
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_ && unfinished_ < capacity_) {
      ++unfinished_;
      return {};
    }
    if (closed_) {
      error = {ErrorCode::kCancelled, "the node is stopping", "closed"};
    } else {
      error = {ErrorCode::kNoResources, std::string("too many calls are waiting (") + key_ + ")", "async"};
    }
  }
  observer_.rejected(invocation, error);
  return Unexpected(std::move(error));
}

std::shared_ptr<SubmittedCall> CallCrew::start(Invocation invocation, Ended ended) {
  auto job = std::make_shared<Job>(*this, std::move(invocation), std::move(ended));
  push(job, false);
  return job;
}

void CallCrew::push(std::shared_ptr<Job> job, bool first) {
  const std::scoped_lock lock(mutex_);
  if (first) {
    ready_.push_front(std::move(job));
  } else {
    ready_.push_back(std::move(job));
  }
  if (ready_.size() > idle_workers_ && workers_.size() < max_workers_)
    workers_.emplace_back([this] { work(); });
  changed_.notify_one();
}

void CallCrew::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_workers_;
    changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
    --idle_workers_;
    if (ready_.empty()) return;
    const std::shared_ptr<Job> job = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    run(job);
    lock.lock();
  }
}

void CallCrew::run(const std::shared_ptr<Job>& job) {
  if (!job->ticket && job->cancelled()) {
    observer_.rejected(job->invocation, cancelled_call());
    return finish();
  }
  if (job->ticket) job->unparked();
  Invoker::Progress progress = job->ticket ? invoker_.resume(job->invocation, *job->ticket, job)
                                           : invoker_.begin(job->invocation, job);
  while (const auto* ticket = std::get_if<Ticket>(&progress)) {
    if (job->park(*ticket)) return;
    progress = invoker_.resume(job->invocation, *job->ticket, job);
  }
  job->settle(std::get<Result<ExecutionReport>>(std::move(progress)));
  finish();
}

void CallCrew::finish() {
  const std::scoped_lock lock(mutex_);
  if (--unfinished_ == 0) changed_.notify_all();
}

void CallCrew::close() {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
}

void CallCrew::join() {
  std::vector<std::jthread> workers;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    changed_.wait(lock, [this] { return unfinished_ == 0; });
    ended_ = true;
    changed_.notify_all();
    workers.swap(workers_);
  }
}

}  // namespace serverledge
