#pragma once

#include <cstddef>
#include <string>

#include "node/call_crew.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result_store.hpp"
#include "serverledge/node/invoker.hpp"

namespace serverledge {

/// Runs asynchronous calls and publishes their answers. Thread-safe.
class AsyncInvocations {
 public:
  /// `capacity` calls may be accepted and unfinished; at most `workers` threads run them, started on demand.
  AsyncInvocations(Invoker& invoker, ResultStore& results, Observer& observer, std::size_t capacity,
                   int workers)
      : results_(results),
        crew_(invoker, observer, {.capacity = capacity, .workers = workers, .key = "async.capacity"}) {}

  /// Takes the call; its id, under which the answer will be published. kNoResources when full, kCancelled
  /// when stopped.
  Result<std::string> accept(Invocation invocation);
  /// Accepts no more; what was accepted goes on.
  void close() { crew_.close(); }
  /// Waits until everything accepted has been published; the invoker must be able to end it (see
  /// Invoker::kill).
  void join() { crew_.join(); }

 private:
  ResultStore& results_;
  CallCrew crew_;
};

}  // namespace serverledge
