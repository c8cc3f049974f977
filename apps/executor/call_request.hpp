#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A call, as POST /invoke brings it.
struct CallRequest {
  std::vector<std::string> command;   ///< empty: the image's own
  std::optional<std::string> params;  ///< JSON text; nullopt: none
  std::string handler;
  std::string handler_dir;
  std::optional<std::string> context;  ///< JSON text of an object
  bool return_output = false;
};

/// Reads the body of a request. kInvalid says which field is wrong and what is expected. Hostile-input safe.
Result<CallRequest> parse_call(std::string_view body);

}  // namespace serverledge
