#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

enum class JsonType { kNull, kBool, kNumber, kString, kArray, kObject };

/// Name of a type for messages: "a number", "an object".
const char* to_string(JsonType type) noexcept;

/// Limits while parsing, so that hostile input costs little.
struct JsonLimits {
  std::size_t max_depth = 64;
  /// Values nested deeper than this are checked but not taken apart: an array or object there has its `raw()`
  /// text and no children. 1: the members of the root, and no more.
  std::size_t built_depth = 64;
  /// More values than this are not built (kTooLarge): each takes some 50 bytes, 25 times what `[0,0,...`
  /// does.
  std::size_t max_values = 100'000;
};

class JsonValue;

/// A parsed JSON text. Strict RFC 8259: one value, valid UTF-8, no comments, nothing after it. Numbers keep
/// their text. Parsing is iterative: depth costs no stack. Does not own the text. Thread-compatible.
class JsonDocument {
 public:
  /// kInvalid naming the byte offset and what is wrong; kTooLarge with more values than the limit, or 4 GiB
  /// of text.
  static Result<JsonDocument> parse(std::string_view text, JsonLimits limits = {});
  JsonValue root() const;

 private:
  friend class JsonValue;
  friend struct JsonBuilder;
  // A decoded string: in the parsed text itself, or in strings_ if it has escapes.
  struct Text {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
    bool unescaped = false;
  };
  struct Node {
    JsonType type = JsonType::kNull;
    bool boolean = false;
    std::uint32_t begin = 0, end = 0;  // raw bytes
    std::uint32_t first_child = 0;     // index into children_
    std::uint32_t size = 0;            // number of children
    Text text;                         // of a string
    Text name;                         // of a member
  };
  std::string_view view(const Text& text) const;

  std::string_view text_;
  std::string strings_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> children_;
};

/// A value inside a JsonDocument: a small handle, valid as long as the parsed text, and the document at its
/// place.
class JsonValue {
 public:
  JsonType type() const;
  bool is_null() const { return type() == JsonType::kNull; }
  bool is_string() const { return type() == JsonType::kString; }
  bool is_object() const { return type() == JsonType::kObject; }
  bool is_array() const { return type() == JsonType::kArray; }

  /// The value's own bytes in the parsed text, unchanged.
  std::string_view raw() const;
  /// Where `raw()` begins in the parsed text.
  std::size_t offset() const;

  /// The value as a C++ type; nullopt if it is another one, or does not fit. An integer is one only without
  /// fraction and exponent, as Go's decoder has it.
  std::optional<bool> as_bool() const;
  std::optional<std::int64_t> as_int() const;
  std::optional<double> as_double() const;
  std::optional<std::string_view> as_string() const;  ///< decoded

  /// Number of elements of an array or members of an object; 0 otherwise.
  std::size_t size() const;
  /// The element of an array; the value of the index-th member of an object.
  JsonValue at(std::size_t index) const;
  /// The decoded name of the index-th member of an object.
  std::string_view key(std::size_t index) const;
  /// The member of that name (the last one if it is there twice); nullopt if there is none or this is no
  /// object.
  std::optional<JsonValue> find(std::string_view key) const;
  /// The same, ignoring the case of ASCII letters, as the contract reads requests.
  std::optional<JsonValue> find_any_case(std::string_view key) const;

 private:
  friend class JsonDocument;
  JsonValue(const JsonDocument* document, std::uint32_t node) : document_(document), node_(node) {}
  const JsonDocument::Node& node() const { return document_->nodes_[node_]; }
  const JsonDocument* document_;
  std::uint32_t node_;
};

inline JsonValue JsonDocument::root() const { return {this, 0}; }

/// Whether `text` is exactly one JSON value in valid UTF-8, not too deep. Builds nothing, so it may have any
/// number of values.
Result<void> check_json(std::string_view text, JsonLimits limits = {});

/// Whether `text` is valid UTF-8.
bool is_utf8(std::string_view text) noexcept;

/// `text` with every invalid UTF-8 byte replaced by U+FFFD.
std::string to_utf8(std::string_view text);

/// Appends `text` as a JSON string with its quotes, escaped as Go's encoding/json does (also `< > &`, U+2028,
/// U+2029). Invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// Writes JSON into a string, members in the order of the calls, commas by itself. A misuse (value where a
/// key is due) is a bug and asserts. Numbers that are not finite become null.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& integer(std::int64_t value);
  JsonWriter& number(double value);  ///< shortest text that reads back the same; as Go prints it
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// JSON text that has been checked before, as it is.
  JsonWriter& raw(std::string_view json);

 private:
  void separate();
  std::string& out_;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace serverledge
