#include "serverledge/core/invocation.hpp"

#include <array>

namespace serverledge {
namespace {

constexpr std::array<std::pair<FailureKind, const char*>, 7> kKinds{{{FailureKind::kRaised, "raised"},
                                                                     {FailureKind::kTimeout, "timeout"},
                                                                     {FailureKind::kMemory, "memory"},
                                                                     {FailureKind::kCrashed, "crashed"},
                                                                     {FailureKind::kProtocol, "protocol"},
                                                                     {FailureKind::kStart, "start"},
                                                                     {FailureKind::kOutput, "output"}}};

}  // namespace

const char* to_string(FailureKind kind) noexcept {
  for (const auto& [known, name] : kKinds) {
    if (known == kind) return name;
  }
  return "crashed";
}

std::optional<FailureKind> failure_kind(std::string_view name) {
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

}  // namespace serverledge
