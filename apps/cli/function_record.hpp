#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/function.hpp"

namespace serverledge::cli {

/// A function as it is sent to be created, updated or deleted: every member is always sent.
struct FunctionRecord {
  std::string name;
  std::string runtime;
  std::int64_t memory_mb = 0;
  double cpu_demand = 0;
  int max_concurrency = 0;
  std::string handler;
  std::string code_base64;
  std::string custom_image;
  std::optional<Signature> signature;
  std::optional<double> timeout_sec;  ///< sent only if there is one
};

/// The body of the request.
std::string to_json(const FunctionRecord& record);

/// How long registering or removing a function may take: its archive has to be sent, stored and looked into.
inline constexpr Duration kRegistryLimit = std::chrono::minutes(10);

}  // namespace serverledge::cli
