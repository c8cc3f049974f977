#include "node/async_invocations.hpp"

#include <utility>

namespace serverledge {

Result<std::string> AsyncInvocations::accept(Invocation invocation) {
  if (Result<void> admitted = crew_.admit(invocation); !admitted)
    return Unexpected(std::move(admitted).error());
  invocation.asynchronous = true;
  std::string id = invocation.id;
  results_.accepted(id);
  crew_.start(std::move(invocation), [this, id](const Result<ExecutionReport>& outcome) {
    results_.publish(id, to_json(outcome ? *outcome : not_started(outcome.error())));
  });
  return id;
}

}  // namespace serverledge
