#include "node/async_invocations.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace serverledge {

/// An accepted call, and the mailbox of its ticket.
class AsyncInvocations::Job final : public Mailbox, public std::enable_shared_from_this<Job> {
 public:
  Job(AsyncInvocations& home, Invocation call) : invocation(std::move(call)), home_(home) {}

  void post() override {
    {
      const std::scoped_lock lock(mutex_);
      posted_ = true;
      if (!std::exchange(parked_, false)) return;
    }
    // It may hold a container already: before calls that hold none.
    home_.push(shared_from_this(), true);
  }

  /// Leaves the thread until a post; false if that has come already.
  bool park(const Ticket& held) {
    const std::scoped_lock lock(mutex_);
    ticket = held;
    if (std::exchange(posted_, false)) return false;
    parked_ = true;
    return true;
  }

  /// Forgets the post that brought it back.
  void unparked() {
    const std::scoped_lock lock(mutex_);
    posted_ = false;
  }

  Invocation invocation;
  std::optional<Ticket> ticket;

 private:
  AsyncInvocations& home_;
  std::mutex mutex_;
  bool parked_ = false;
  bool posted_ = false;
};

AsyncInvocations::AsyncInvocations(Invoker& invoker, ResultStore& results, Observer& observer,
                                   std::size_t capacity, int workers)
    : invoker_(invoker),
      results_(results),
      observer_(observer),
      capacity_(capacity),
      max_workers_(static_cast<std::size_t>(std::max(workers, 1))) {}

AsyncInvocations::~AsyncInvocations() { join(); }

Result<void> AsyncInvocations::admit() {
  const std::scoped_lock lock(mutex_);
  if (closed_) return Unexpected(ErrorCode::kCancelled, "the node is stopping", "closed");
  if (unfinished_ >= capacity_) {
    return Unexpected(ErrorCode::kNoResources, "too many asynchronous calls are waiting (async.capacity)",
                      "async");
  }
  ++unfinished_;
  return {};
}

Result<std::string> AsyncInvocations::accept(Invocation invocation) {
  if (Result<void> admitted = admit(); !admitted) {
    observer_.rejected(invocation, admitted.error());
    return Unexpected(std::move(admitted).error());
  }
  invocation.asynchronous = true;
  invocation.caller_gone = {};
  std::string id = invocation.id;
  results_.accepted(id);
  push(std::make_shared<Job>(*this, std::move(invocation)), false);
  return id;
}

void AsyncInvocations::push(std::shared_ptr<Job> job, bool first) {
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

void AsyncInvocations::work() {
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

void AsyncInvocations::run(const std::shared_ptr<Job>& job) {
  if (job->ticket) job->unparked();
  Invoker::Progress progress = job->ticket ? invoker_.resume(job->invocation, *job->ticket, job)
                                           : invoker_.begin(job->invocation, job);
  while (const auto* ticket = std::get_if<Ticket>(&progress)) {
    if (job->park(*ticket)) return;
    progress = invoker_.resume(job->invocation, *job->ticket, job);
  }
  publish(*job, std::get<Result<ExecutionReport>>(std::move(progress)));
}

void AsyncInvocations::publish(Job& job, Result<ExecutionReport> outcome) {
  results_.publish(job.invocation.id, to_json(outcome ? *outcome : not_started(outcome.error())));
  const std::scoped_lock lock(mutex_);
  if (--unfinished_ == 0) changed_.notify_all();
}

void AsyncInvocations::close() {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
}

void AsyncInvocations::join() {
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
