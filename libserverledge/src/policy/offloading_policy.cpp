#include "serverledge/policy/offloading_policy.hpp"

#include <array>
#include <utility>

#include "serverledge/policy/cloud_only_policy.hpp"
#include "serverledge/policy/edge_cloud_policy.hpp"
#include "serverledge/policy/edge_only_policy.hpp"
#include "serverledge/policy/local_only_policy.hpp"
#include "serverledge/policy/nearest_policy.hpp"

namespace serverledge {
namespace {

using Factory = std::unique_ptr<OffloadingPolicy> (*)(const PolicyContext&);

template <typename Policy>
std::unique_ptr<OffloadingPolicy> make(const PolicyContext& context) {
  return std::make_unique<Policy>(context);
}

/// The table of names: a new policy is one line here.
constexpr std::array<std::pair<std::string_view, Factory>, 6> kPolicies{{
    {"default", make<LocalOnlyPolicy>},
    {"localonly", make<LocalOnlyPolicy>},
    {"edgeonly", make<EdgeOnlyPolicy>},
    {"edgecloud", make<EdgeCloudPolicy>},
    {"cloudonly", make<CloudOnlyPolicy>},
    {"nearest", make<NearestPolicy>},
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
  names.reserve(kPolicies.size());
  for (const auto& row : kPolicies) names.push_back(row.first);
  return names;
}

}  // namespace serverledge
