#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "call.hpp"

using namespace serverledge;     // NOLINT(google-build-using-namespace)
using namespace serverledge::c;  // NOLINT(google-build-using-namespace)

namespace serverledge::c {

/// An eventfd that is readable from `set` to `reset`.
class Signal {
 public:
  Signal() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Signal() {
    if (fd_ >= 0) ::close(fd_);
  }
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  int fd() const { return fd_; }
  void set() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t wrote = ::write(fd_, &one, sizeof one);  // fails only if it is set already
  }
  void reset() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t read = ::read(fd_, &count, sizeof count);  // fails only if it is not set
  }

 private:
  int fd_;
};

}  // namespace serverledge::c

namespace {

/// A C callback that is called once with what it then owns.
void tell(serverledge_done done, void* user_data, Result<ExecutionReport> outcome) {
  if (outcome) {
    done(user_data, new serverledge_report{std::move(*outcome)}, nullptr);
  } else {
    done(user_data, nullptr, new serverledge_error{std::move(outcome).error()});
  }
}

}  // namespace

struct serverledge_queue {
  Signal signal;  // outlives the queue, which uses it
  CompletionQueue completions{[this] { signal.set(); }};
};

serverledge_code serverledge_queue_create(serverledge_queue** queue, serverledge_error** error) {
  clear(queue);
  return guarded(error, [&] {
    if (queue == nullptr) return fail(error, "queue");
    auto made = std::make_unique<serverledge_queue>();
    if (made->signal.fd() < 0) {
      return fail(
          error,
          {ErrorCode::kUnavailable, std::string("cannot make an eventfd: ") + std::strerror(errno), {}});
    }
    *queue = made.release();
    return SERVERLEDGE_OK;
  });
}

int serverledge_queue_fd(const serverledge_queue* queue) {
  return queue == nullptr ? -1 : queue->signal.fd();
}

bool serverledge_queue_wait(serverledge_queue* queue, double timeout) {
  return queue != nullptr && queue->completions.wait(later(system_clock().now(), from_seconds(timeout)));
}

size_t serverledge_queue_drain(serverledge_queue* queue, size_t most) {
  if (queue == nullptr) return 0;
  std::size_t ran = 0;
  (void)guarded(nullptr, [&] {
    ran = queue->completions.drain(most);
    return SERVERLEDGE_OK;
  });
  // Reset only now: what came and was run meanwhile must leave nothing to be read. What came and was not is
  // seen.
  queue->signal.reset();
  if (queue->completions.size() > 0) queue->signal.set();
  return ran;
}

void serverledge_queue_free(serverledge_queue* queue) { delete queue; }

serverledge_code serverledge_node_submit(serverledge_node* node, const char* function,
                                         const serverledge_call* call, serverledge_queue* queue,
                                         serverledge_done done, void* user_data,
                                         serverledge_submission** submission, serverledge_error** error) {
  clear(submission);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (function == nullptr) return fail(error, "function");
    if (queue == nullptr) return fail(error, "queue");
    if (done == nullptr) return fail(error, "done");
    // Made before the call is, so that nothing can fail after it.
    auto handle = submission == nullptr ? nullptr : std::make_unique<serverledge_submission>();
    Result<Invocation> invocation = invocation_of(*node, function, call);
    if (!invocation) return fail(error, std::move(invocation).error());
    Result<std::shared_ptr<SubmittedCall>> submitted = node->opened->node().submit(
        std::move(*invocation), queue->completions,
        [done, user_data](Result<ExecutionReport> outcome) { tell(done, user_data, std::move(outcome)); });
    if (!submitted) return fail(error, std::move(submitted).error());
    if (handle) {
      handle->call = std::move(*submitted);
      *submission = handle.release();
    }
    return SERVERLEDGE_OK;
  });
}

const char* serverledge_submission_id(const serverledge_submission* submission) {
  return submission == nullptr ? "" : submission->call->id().c_str();
}

bool serverledge_submission_cancel(serverledge_submission* submission) {
  bool cancelled = false;
  (void)guarded(nullptr, [&] {
    cancelled = submission != nullptr && submission->call->cancel();
    return SERVERLEDGE_OK;
  });
  return cancelled;
}

void serverledge_submission_free(serverledge_submission* submission) { delete submission; }
