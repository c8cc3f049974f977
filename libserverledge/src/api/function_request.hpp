#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/request_fields.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/resources.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// What a function must fit to be stored on this node. The parts must outlive it.
struct FunctionRequirements {
  ContainerRuntime& runtime;
  CodeArchive& archive;
  Resources total;  ///< of the node
  /// Fetches code from a URL, within limits of its own.
  std::function<Result<std::string>(const std::string& url)> download;
  std::string architecture = {};  ///< of the node
  bool in_cluster = false;        ///< what this node cannot run is stored all the same: others may
};

/// Reads the body of `/create` and `/update` except for the code, and checks each field: kInvalid naming the
/// field and what is expected, kNotFound naming the runtimes that are served, kUnprocessable for what this
/// node can never have. In a cluster the last two are left to `obstacles`, but for runtimes that nobody knows
/// and amounts that make no sense.
Result<Function> read_function(RequestFields& fields, const FunctionRequirements& requirements);

/// Decodes or fetches the code of that body and checks that it is what the function needs; fills in digest,
/// size and architectures of the function. Empty for an image that brings its code.
Result<std::string> read_code(RequestFields& fields, Function& function,
                              const FunctionRequirements& requirements);

/// Why this node cannot run that function, which has been read whole: a sentence for each reason.
std::vector<std::string> obstacles(const Function& function, const FunctionRequirements& requirements);

/// The same checks for a function that was made in code; fills in its canonical runtime, digest, size and
/// architectures. `code` as it would be decoded.
Result<void> complete_function(Function& function, std::string_view code,
                               const FunctionRequirements& requirements);

}  // namespace serverledge
