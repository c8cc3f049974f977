#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// One input or output of a function's signature. Types: Int, Float, Text, Bool, ArrayInt, ArrayFloat,
/// ArrayBool, ArrayText, ArrayArrayInt, ArrayArrayFloat, Void.
struct Parameter {
  std::string name;
  std::string type;
  bool operator==(const Parameter&) const = default;
};

/// What a function takes and gives, as declared by who created it. Stored as sent.
struct Signature {
  std::vector<Parameter> inputs;
  std::vector<Parameter> outputs;
  bool operator==(const Signature&) const = default;
};

/// Whether `type` is one of the signature types of the contract.
bool is_signature_type(std::string_view type);

/// A function as the registry knows it: a value, immutable once published as `std::shared_ptr<const
/// Function>`. It holds digest and size of its code, never the bytes.
struct Function {
  std::string name;            ///< [A-Za-z0-9][A-Za-z0-9_.-]{0,62}
  std::string runtime;         ///< canonical name (python314, nodejs17ng, go125, python312ml, custom)
  std::int64_t memory_mb = 0;  ///< memory limit of one container, MB (2^20 bytes)
  double cpu_demand = 0;       ///< cores of one busy container; 0 means no limit and no charge
  int max_concurrency = 1;     ///< calls at a time inside one container
  std::string handler;         ///< "module.function" (Python), "module" (Node.js)
  std::string custom_image;    ///< image of a `custom` function
  std::vector<std::string> supported_archs;  ///< "amd64", "arm64"
  std::optional<Signature> signature;
  std::optional<double> timeout_sec;  ///< wall-clock limit of a call, seconds; absent: the node's default
  std::string code_digest;            ///< SHA-256 of the code as lower-case hex; empty without code
  std::uint64_t code_size = 0;        ///< bytes of the code as sent (decoded)
  std::uint64_t revision = 0;         ///< the store's version of this record; 0 before it is stored
  bool operator==(const Function&) const = default;
};

using FunctionPtr = std::shared_ptr<const Function>;

/// Canonical name of a runtime ("python310" -> "python314"); the name itself if it has no other; nullopt if
/// unknown.
std::optional<std::string_view> canonical_runtime(std::string_view name);

/// Every runtime name that `canonical_runtime` knows, canonical ones first.
const std::vector<std::string_view>& runtime_names();

/// Whether a name may be a function's.
bool is_function_name(std::string_view name);

/// The JSON of a record as the contract stores it (`/function/<name>` in etcd), with `code` (base64 text) as
/// `TarFunctionCode`, and our additional keys (`TimeoutSec`, `CodeDigest`, `CodeSize`) only when they are
/// set.
std::string to_json(const Function& function, std::string_view code_base64);

/// A stored record read back: the function and its base64 code (empty if the record holds only the digest).
struct StoredFunction {
  Function function;
  std::string code_base64;
};
/// Reads what `to_json` writes, and what the Go implementation writes. kInvalid if it is not such a record.
Result<StoredFunction> function_from_json(std::string_view json);

}  // namespace serverledge
