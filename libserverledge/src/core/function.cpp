#include "serverledge/core/function.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::array<std::string_view, 11> kSignatureTypes{
    "Int",           "Float",           "Text", "Bool", "ArrayInt", "ArrayFloat", "ArrayBool", "ArrayText",
    "ArrayArrayInt", "ArrayArrayFloat", "Void"};

constexpr std::array<std::string_view, 5> kRuntimes{"python314", "nodejs17ng", "python312ml", "go125",
                                                    "custom"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kAliases{{{"python3", "python314"},
                                                                                 {"python310", "python314"},
                                                                                 {"nodejs", "nodejs17ng"},
                                                                                 {"nodejs17", "nodejs17ng"}}};

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

void write_parameters(JsonWriter& writer, std::string_view key, const std::vector<Parameter>& parameters) {
  writer.key(key).begin_array();
  for (const Parameter& parameter : parameters) {
    writer.begin_object().key("Name").string(parameter.name).key("Type").string(parameter.type).end_object();
  }
  writer.end_array();
}

/// Reads the members of one object as Go does: keys in any case, null and absent leave the default, another
/// type is an error that names the field. The first error stays.
class RecordReader {
 public:
  RecordReader(JsonValue object, std::string path) : object_(object), path_(std::move(path)) {}

  std::optional<JsonValue> member(std::string_view key) const {
    const std::optional<JsonValue> value = object_.find_any_case(key);
    return value && value->is_null() ? std::nullopt : value;
  }

  void text(std::string_view key, std::string& into) {
    read(key, "a string", into, [](JsonValue value) -> std::optional<std::string> {
      const auto text = value.as_string();
      return text ? std::optional<std::string>(*text) : std::nullopt;
    });
  }
  void number(std::string_view key, double& into) {
    read(key, "a number", into, [](JsonValue value) { return value.as_double(); });
  }
  template <typename Integer>
  void integer(std::string_view key, std::int64_t minimum, std::int64_t maximum, Integer& into) {
    read(key, fmt::format("an integer from {} to {}", minimum, maximum), into,
         [&](JsonValue value) -> std::optional<Integer> {
           const auto number = value.as_int();
           if (!number || *number < minimum || *number > maximum) return std::nullopt;
           return static_cast<Integer>(*number);
         });
  }
  /// The elements of an array, each given to `take`; none if the member is absent.
  template <typename Take>
  void array(std::string_view key, std::string_view of, Take take) {
    const auto value = member(key);
    if (!value) return;
    bool good = value->is_array();
    for (std::size_t i = 0; good && i < value->size(); ++i) good = take(value->at(i));
    if (!good) fail(key, fmt::format("an array of {}", of));
  }
  void fail(std::string_view key, std::string_view expected) {
    if (!error_)
      error_ = Error{ErrorCode::kInvalid, fmt::format("{}{}: expected {}", path_, key, expected), {}};
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  template <typename T, typename Convert>
  void read(std::string_view key, std::string_view expected, T& into, Convert convert) {
    const auto value = member(key);
    if (!value) return;
    if (auto converted = convert(*value)) {
      into = std::move(*converted);
    } else {
      fail(key, expected);
    }
  }

  JsonValue object_;
  std::string path_;
  std::optional<Error> error_;
};

std::optional<Parameter> read_parameter(JsonValue value) {
  if (!value.is_object()) return std::nullopt;
  Parameter parameter;
  RecordReader reader(value, {});
  reader.text("Name", parameter.name);
  reader.text("Type", parameter.type);
  return reader.error() ? std::nullopt : std::optional(std::move(parameter));
}

void read_signature(RecordReader& record, Function& function) {
  const auto value = record.member("Signature");
  if (!value) return;
  if (!value->is_object()) return record.fail("Signature", "an object");
  Signature& signature = function.signature.emplace();
  RecordReader reader(*value, "Signature.");
  const auto read = [&reader](std::string_view key, std::vector<Parameter>& into) {
    reader.array(key, "objects with the strings Name and Type", [&into](JsonValue element) {
      auto parameter = read_parameter(element);
      if (parameter) into.push_back(std::move(*parameter));
      return parameter.has_value();
    });
  };
  read("Inputs", signature.inputs);
  read("Outputs", signature.outputs);
  if (reader.error()) record.fail("Signature", "an object; " + reader.error()->message);
}

void read_fields(RecordReader& record, StoredFunction& stored) {
  Function& function = stored.function;
  record.text("Name", function.name);
  record.text("Runtime", function.runtime);
  record.integer("MemoryMB", 0, std::numeric_limits<std::int64_t>::max(), function.memory_mb);
  record.number("CPUDemand", function.cpu_demand);
  record.integer("MaxConcurrency", 0, std::numeric_limits<std::int16_t>::max(), function.max_concurrency);
  record.text("Handler", function.handler);
  record.text("TarFunctionCode", stored.code_base64);
  record.text("CustomImage", function.custom_image);
  record.array("SupportedArchs", "strings", [&function](JsonValue element) {
    const auto arch = element.as_string();
    if (arch) function.supported_archs.emplace_back(*arch);
    return arch.has_value();
  });
  read_signature(record, function);
  if (record.member("TimeoutSec")) record.number("TimeoutSec", function.timeout_sec.emplace());
  record.text("CodeDigest", function.code_digest);
  record.integer("CodeSize", 0, std::numeric_limits<std::int64_t>::max(), function.code_size);
}

}  // namespace

bool is_signature_type(std::string_view type) {
  return std::find(kSignatureTypes.begin(), kSignatureTypes.end(), type) != kSignatureTypes.end();
}

std::optional<std::string_view> canonical_runtime(std::string_view name) {
  for (const std::string_view runtime : kRuntimes) {
    if (runtime == name) return runtime;
  }
  for (const auto& [alias, runtime] : kAliases) {
    if (alias == name) return runtime;
  }
  return std::nullopt;
}

const std::vector<std::string_view>& runtime_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all(kRuntimes.begin(), kRuntimes.end());
    for (const auto& [alias, runtime] : kAliases) all.push_back(alias);
    return all;
  }();
  return names;
}

bool is_function_name(std::string_view name) {
  constexpr std::size_t kLongest = 63;
  if (name.empty() || name.size() > kLongest || !is_letter_or_digit(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-'; });
}

std::string to_json(const Function& function, std::string_view code_base64) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("Name").string(function.name);
  writer.key("Runtime").string(function.runtime);
  writer.key("MemoryMB").integer(function.memory_mb);
  writer.key("CPUDemand").number(function.cpu_demand);
  writer.key("MaxConcurrency").integer(function.max_concurrency);
  writer.key("Handler").string(function.handler);
  writer.key("TarFunctionCode").string(code_base64);
  writer.key("CustomImage").string(function.custom_image);
  writer.key("SupportedArchs");
  if (function.supported_archs.empty()) {
    writer.null();
  } else {
    writer.begin_array();
    for (const std::string& arch : function.supported_archs) writer.string(arch);
    writer.end_array();
  }
  writer.key("Signature");
  if (function.signature) {
    writer.begin_object();
    write_parameters(writer, "Inputs", function.signature->inputs);
    write_parameters(writer, "Outputs", function.signature->outputs);
    writer.end_object();
  } else {
    writer.null();
  }
  if (function.timeout_sec) writer.key("TimeoutSec").number(*function.timeout_sec);
  if (!function.code_digest.empty()) writer.key("CodeDigest").string(function.code_digest);
  if (function.code_size != 0) writer.key("CodeSize").integer(static_cast<std::int64_t>(function.code_size));
  writer.end_object();
  return out;
}

Result<StoredFunction> function_from_json(std::string_view json) {
  const Result<JsonDocument> document = JsonDocument::parse(json);
  if (!document) return Unexpected(document.error());
  if (!document->root().is_object()) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("a function record must be an object, not {}",
                                                       to_string(document->root().type())));
  }
  StoredFunction stored;
  RecordReader record(document->root(), {});
  read_fields(record, stored);
  Function& function = stored.function;
  if (function.name.empty()) record.fail("Name", "the name of the function");
  if (record.error()) return Unexpected(*record.error());
  // Go nodes write 0 for "not given", and our aliases are shown by the name that Go nodes know.
  function.max_concurrency = std::max(function.max_concurrency, 1);
  if (const auto canonical = canonical_runtime(function.runtime)) function.runtime = *canonical;
  return stored;
}

}  // namespace serverledge
