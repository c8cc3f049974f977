#include "serverledge/policy/local_only_policy.hpp"

namespace serverledge {

Decision LocalOnlyPolicy::on_arrival(const Invocation& /*invocation*/, const NodeView& view) {
  if (!view.runnable_here) return Decision(Refuse{"this node cannot run the function"});
  return Decision(RunHere{}, WaitHere{});
}

}  // namespace serverledge
