// Of the part that decides alone.
#include <cstdio>

#include <serverledge/policy/offloading_policy.hpp>

int main() {
  for (const std::string_view name : serverledge::offloading_policy_names()) {
    std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
  }
}
