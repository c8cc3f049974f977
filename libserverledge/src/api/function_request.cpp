#include "api/function_request.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "serverledge/net/base64.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kCustomRuntime = "custom";

std::vector<Parameter> read_parameters(RequestFields& fields, std::string_view field,
                                       std::optional<JsonValue> declared) {
  std::vector<Parameter> parameters;
  if (!declared || declared->is_null()) return parameters;
  if (!declared->is_array()) {
    fields.refuse(field, fmt::format("expected an array, got {}", to_string(declared->type())));
    return parameters;
  }
  for (std::size_t index = 0; index < declared->size(); ++index) {
    const JsonValue element = declared->at(index);
    const std::optional<JsonValue> name = element.find_any_case("Name");
    const std::optional<JsonValue> type = element.find_any_case("Type");
    if (!name || !name->is_string() || !type || !type->is_string()) {
      fields.refuse(fmt::format("{}[{}]", field, index), "expected an object with the strings Name and Type");
      return parameters;
    }
    const std::string_view type_name = *type->as_string();
    if (!is_signature_type(type_name)) {
      fields.refuse(
          fmt::format("{}[{}].Type", field, index),
          fmt::format("expected Int, Float, Text, Bool, Void, or Array or ArrayArray of these, got \"{}\"",
                      type_name));
    }
    parameters.push_back({std::string(*name->as_string()), std::string(type_name)});
  }
  return parameters;
}

std::optional<Signature> read_signature(RequestFields& fields) {
  const std::optional<JsonValue> declared = fields.object("Signature");
  if (!declared) return std::nullopt;
  Signature signature;
  signature.inputs = read_parameters(fields, "Signature.Inputs", declared->find_any_case("Inputs"));
  signature.outputs = read_parameters(fields, "Signature.Outputs", declared->find_any_case("Outputs"));
  return signature;
}

std::string name_expected(std::string_view name) {
  return fmt::format(
      "expected 1 to 63 letters, digits, '_', '.' or '-', the first a letter or digit, got \"{:.80}\"", name);
}

Function read_fields(RequestFields& fields) {
  Function function;
  function.name = fields.text("Name");
  if (!is_function_name(function.name)) {
    fields.refuse("Name", name_expected(function.name));
  }
  function.runtime = fields.text("Runtime");
  function.memory_mb = fields.integer("MemoryMB", 0, std::numeric_limits<std::int64_t>::min(),
                                      std::numeric_limits<std::int64_t>::max());
  function.cpu_demand = fields.number("CPUDemand").value_or(0);
  if (function.cpu_demand < 0) fields.refuse("CPUDemand", "expected 0 (no limit) or a number of cores");
  const std::int64_t concurrency =
      fields.integer("MaxConcurrency", 1, 0, std::numeric_limits<std::int16_t>::max());
  function.max_concurrency = std::max(1, static_cast<int>(concurrency));
  function.handler = fields.text("Handler");
  function.custom_image = fields.text("CustomImage");
  function.signature = read_signature(fields);
  function.timeout_sec = fields.number("TimeoutSec");
  if (function.timeout_sec && *function.timeout_sec <= 0) {
    fields.refuse("TimeoutSec", "expected more than 0 seconds");
  }
  return function;
}

Result<void> check_runtime(Function& function, const FunctionRequirements& requirements) {
  const ContainerRuntime& runtime = requirements.runtime;
  const std::optional<std::string_view> canonical = canonical_runtime(function.runtime);
  if (canonical && (requirements.in_cluster || runtime.serves(*canonical))) {
    function.runtime = *canonical;
    return {};
  }
  std::vector<std::string_view> served = runtime_names();
  std::erase_if(served, [&](std::string_view name) { return !runtime.serves(*canonical_runtime(name)); });
  return Unexpected(ErrorCode::kNotFound,
                    fmt::format("Invalid runtime. Runtime: this node serves {}, not \"{:.80}\"",
                                fmt::join(served, ", "), function.runtime));
}

/// Custom images hold their code and know their handler; one call at a time is all that their protocol
/// allows.
Result<void> check_kind(Function& function, bool has_code) {
  if (function.runtime == kCustomRuntime) {
    function.max_concurrency = 1;
    if (!function.custom_image.empty()) return {};
    return Unexpected(ErrorCode::kInvalid,
                      "CustomImage: expected the name of an image for the runtime custom");
  }
  if (function.handler.empty()) {
    return Unexpected(ErrorCode::kInvalid, "Handler: expected what is to be called, e.g. \"hello.handler\"");
  }
  if (!has_code) {
    return Unexpected(ErrorCode::kInvalid,
                      "TarFunctionCode: expected base64 of a tar, of a single file, or of a URL to one");
  }
  return {};
}

/// What of its demands the node can never meet; nothing if it can.
std::optional<std::string> excess(const Function& function, const Resources& total) {
  if (function.memory_mb > total.memory_mb) {
    return fmt::format("MemoryMB: expected at most the {} MB of this node (container.pool.memory), got {}",
                       total.memory_mb, function.memory_mb);
  }
  if (function.cpu_demand > total.cores()) {
    return fmt::format("CPUDemand: expected at most the {} cores of this node (container.pool.cpus), got {}",
                       total.cores(), function.cpu_demand);
  }
  return std::nullopt;
}

Result<void> check_resources(const Function& function, const FunctionRequirements& requirements) {
  if (function.memory_mb < 1) {
    return Unexpected(
        ErrorCode::kUnprocessable,
        fmt::format("Invalid memory limit. MemoryMB: expected at least 1, got {}", function.memory_mb));
  }
  std::optional<std::string> too_much = excess(function, requirements.total);
  if (!too_much || requirements.in_cluster) return {};
  if (too_much->starts_with("MemoryMB")) too_much->insert(0, "Invalid memory limit. ");
  return Unexpected(ErrorCode::kUnprocessable, std::move(*too_much));
}

/// On which architectures it runs. What this node does not serve itself it cannot look at: built-in runtimes
/// are there for all.
Result<std::vector<std::string>> architectures(const Function& function, ContainerRuntime& runtime) {
  if (!runtime.serves(function.runtime)) return std::vector<std::string>{"amd64", "arm64"};
  return runtime.architectures(function);
}

Result<void> check_fit(Function& function, bool has_code, const FunctionRequirements& requirements) {
  for (Result<void>& checked :
       std::array{check_runtime(function, requirements), check_kind(function, has_code),
                  check_resources(function, requirements)}) {
    if (!checked) return std::move(checked);
  }
  return {};
}

/// Digest, size and architectures.
Result<void> describe_code(Function& function, std::string_view code,
                           const FunctionRequirements& requirements) {
  if (!code.empty()) {
    const Result<CodeArchive::Checked> checked = requirements.archive.check(function, code);
    if (!checked) return Unexpected(checked.error());
    function.code_digest = checked->digest;
    function.code_size = code.size();
  }
  Result<std::vector<std::string>> found = architectures(function, requirements.runtime);
  if (!found) {
    return Unexpected(ErrorCode::kInternal, "Failed to get image architectures: " + found.error().message);
  }
  function.supported_archs = std::move(*found);
  return {};
}

/// Whether the decoded code is one line of the form scheme://rest, which no archive or source file is.
bool is_url(std::string_view code) {
  constexpr std::size_t kLongestUrl = 4096;
  const std::size_t separator = code.find("://");
  if (separator == std::string_view::npos || separator == 0 || code.size() > kLongestUrl) return false;
  const bool scheme =
      std::all_of(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(separator),
                  [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.'; });
  return scheme &&
         std::none_of(code.begin(), code.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

/// An error about the code, which names the field.
Unexpected code_refused(Error error) {
  error.message.insert(0, "TarFunctionCode: ");
  return Unexpected(std::move(error));
}

Result<std::string> obtain_code(std::string_view base64, const FunctionRequirements& requirements) {
  Result<std::string> decoded = base64_decode(base64);
  if (!decoded) return code_refused(std::move(decoded).error());
  const std::string_view line = std::string_view(*decoded).substr(0, decoded->find_last_not_of("\r\n") + 1);
  if (!is_url(line)) return decoded;
  Result<std::string> fetched = requirements.download(std::string(line));
  if (fetched) return fetched;
  // Whatever stands in the way there, it is the URL that cannot be used.
  if (fetched.error().code != ErrorCode::kTooLarge) fetched.error().code = ErrorCode::kInvalid;
  return code_refused(std::move(fetched).error());
}

}  // namespace

Result<Function> read_function(RequestFields& fields, const FunctionRequirements& requirements) {
  Function function = read_fields(fields);
  const bool has_code = !fields.text("TarFunctionCode").empty();
  if (fields.failure()) return Unexpected(*fields.failure());
  if (Result<void> fits = check_fit(function, has_code, requirements); !fits)
    return Unexpected(std::move(fits).error());
  return function;
}

Result<std::string> read_code(RequestFields& fields, Function& function,
                              const FunctionRequirements& requirements) {
  std::string code;
  if (const std::string_view sent = fields.text("TarFunctionCode"); !sent.empty()) {
    Result<std::string> obtained = obtain_code(sent, requirements);
    if (!obtained) return obtained;
    code = std::move(*obtained);
  }
  if (Result<void> described = describe_code(function, code, requirements); !described)
    return Unexpected(std::move(described).error());
  return code;
}

Result<void> complete_function(Function& function, std::string_view code,
                               const FunctionRequirements& requirements) {
  if (!is_function_name(function.name))
    return Unexpected(ErrorCode::kInvalid, "Name: " + name_expected(function.name));
  if (function.cpu_demand < 0)
    return Unexpected(ErrorCode::kInvalid, "CPUDemand: expected 0 (no limit) or a number of cores");
  if (function.timeout_sec && *function.timeout_sec <= 0)
    return Unexpected(ErrorCode::kInvalid, "TimeoutSec: expected more than 0 seconds");
  function.max_concurrency = std::max(1, function.max_concurrency);
  if (Result<void> fits = check_fit(function, !code.empty(), requirements); !fits) return fits;
  return describe_code(function, code, requirements);
}

std::vector<std::string> obstacles(const Function& function, const FunctionRequirements& requirements) {
  std::vector<std::string> found;
  const auto& archs = function.supported_archs;
  if (!requirements.runtime.serves(function.runtime))
    found.push_back(fmt::format("it does not serve the runtime {}", function.runtime));
  if (!archs.empty() && std::find(archs.begin(), archs.end(), requirements.architecture) == archs.end())
    found.push_back(fmt::format("its architecture is {}, the function's {}", requirements.architecture,
                                fmt::join(archs, ", ")));
  if (std::optional<std::string> too_much = excess(function, requirements.total))
    found.push_back(std::move(*too_much));
  return found;
}

}  // namespace serverledge
