#include "serverledge/policy/offloading_policy.hpp"

#include <array>
#include <utility>

namespace serverledge {

Decision LocalOnlyPolicy::on_arrival(const Invocation& /*invocation*/, const NodeView& view) {
  if (!view.runnable_here) return Decision(Refuse{"this node cannot run the function"});
  return Decision(RunHere{}, WaitHere{});
}

namespace {

using Factory = std::unique_ptr<OffloadingPolicy> (*)(const PolicyContext&);

template <typename Policy>
std::unique_ptr<OffloadingPolicy> make(const PolicyContext& /*context*/) {
  return std::make_unique<Policy>();
}

/// The table of names: a new policy is one line here.
constexpr std::array<std::pair<std::string_view, Factory>, 2> kPolicies{{
    {"default", make<LocalOnlyPolicy>},
    {"localonly", make<LocalOnlyPolicy>},
}};

}  // namespace

std::unique_ptr<OffloadingPolicy> make_offloading_policy(std::string_view name,
                                                         const PolicyContext& context) {
  for (const auto& [known, factory] : kPolicies) {
    if (known == name) return factory(context);
  }
  return nullptr;
}

std::vector<std::string_view> offloading_policy_names() {
  std::vector<std::string_view> names;
  for (const auto& row : kPolicies) names.push_back(row.first);
  return names;
}

}  // namespace serverledge
