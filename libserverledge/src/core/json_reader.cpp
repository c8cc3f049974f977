#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <utility>

#include "core/json_scanner.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_any_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

template <typename T>
std::optional<T> read_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

/// Puts a document together from the parts that the scanner finds.
struct JsonBuilder {
  using Event = JsonScanner::Event;
  using Index = std::uint32_t;

  JsonBuilder(JsonDocument& document_to_fill, std::string_view text, JsonLimits the_limits)
      : document(document_to_fill), scanner(text, the_limits.max_depth), limits(the_limits) {
    // Enough for a call or an answer, so that these do not grow step by step.
    constexpr std::size_t kUsual = 12;
    document.nodes_.reserve(kUsual);
    document.children_.reserve(kUsual);
    pending.reserve(kUsual);
    open.reserve(2);
  }

  Result<void> run() {
    for (;;) {
      const Event event = scanner.next();
      if (event == Event::kError) return Unexpected(scanner.error());
      if (event == Event::kEnd) return {};
      take(event);
      if (document.nodes_.size() > limits.max_values) {
        return Unexpected(ErrorCode::kTooLarge,
                          "JSON with more than " + std::to_string(limits.max_values) + " values");
      }
    }
  }

  void take(Event event) {
    const std::size_t depth_of_parent = scanner.depth() - (opens(event) ? 1 : 0);
    if (depth_of_parent > limits.built_depth) return;
    if (event == Event::kKey) {
      name = text();
    } else if (event == Event::kEndArray || event == Event::kEndObject) {
      close();
    } else {
      add(event);
    }
  }

  static bool opens(Event event) { return event == Event::kBeginArray || event == Event::kBeginObject; }

  static JsonType type(Event event) {
    switch (event) {
      case Event::kTrue:
      case Event::kFalse:
        return JsonType::kBool;
      case Event::kNumber:
        return JsonType::kNumber;
      case Event::kString:
        return JsonType::kString;
      case Event::kBeginArray:
        return JsonType::kArray;
      case Event::kBeginObject:
        return JsonType::kObject;
      default:
        return JsonType::kNull;
    }
  }

  void add(Event event) {
    JsonDocument::Node node;
    node.type = type(event);
    node.boolean = event == Event::kTrue;
    node.begin = static_cast<Index>(scanner.begin());
    node.end = static_cast<Index>(scanner.end());
    node.name = std::exchange(name, {});
    if (event == Event::kString) node.text = text();
    const auto index = static_cast<Index>(document.nodes_.size());
    document.nodes_.push_back(node);
    if (!open.empty()) pending.push_back(index);
    if (opens(event)) open.push_back({index, pending.size()});
  }

  void close() {
    const auto [index, first] = open.back();
    open.pop_back();
    JsonDocument::Node& node = document.nodes_[index];
    node.end = static_cast<Index>(scanner.end());
    node.first_child = static_cast<Index>(document.children_.size());
    node.size = static_cast<Index>(pending.size() - first);
    const auto begin = pending.begin() + static_cast<std::ptrdiff_t>(first);
    document.children_.insert(document.children_.end(), begin, pending.end());
    pending.erase(begin, pending.end());
  }

  JsonDocument::Text text() {
    const std::size_t begin = scanner.begin() + 1;
    const std::size_t size = scanner.end() - 1 - begin;
    if (!scanner.escaped()) return {static_cast<Index>(begin), static_cast<Index>(size), false};
    const std::size_t at = document.strings_.size();
    append_unescaped(document.strings_, document.text_.substr(begin, size));
    return {static_cast<Index>(at), static_cast<Index>(document.strings_.size() - at), true};
  }

  struct Open {
    Index node;
    std::size_t first_pending;
  };

  JsonDocument& document;
  JsonScanner scanner;
  JsonLimits limits;
  JsonDocument::Text name;     // of the member whose value comes next
  std::vector<Open> open;      // arrays and objects whose end has not come
  std::vector<Index> pending;  // their children so far
};

const char* to_string(JsonType type) noexcept {
  switch (type) {
    case JsonType::kNull:
      return "null";
    case JsonType::kBool:
      return "a boolean";
    case JsonType::kNumber:
      return "a number";
    case JsonType::kString:
      return "a string";
    case JsonType::kArray:
      return "an array";
    case JsonType::kObject:
      return "an object";
  }
  return "null";
}

Result<JsonDocument> JsonDocument::parse(std::string_view text, JsonLimits limits) {
  if (text.size() >= std::numeric_limits<std::uint32_t>::max()) {
    return Unexpected(ErrorCode::kTooLarge, "a JSON text of 4 GiB or more");
  }
  JsonDocument document;
  document.text_ = text;
  const Result<void> built = JsonBuilder(document, text, limits).run();
  if (!built) return Unexpected(built.error());
  return document;
}

Result<void> check_json(std::string_view text, JsonLimits limits) {
  JsonScanner scanner(text, limits.max_depth);
  for (;;) {
    const JsonScanner::Event event = scanner.next();
    if (event == JsonScanner::Event::kError) return Unexpected(scanner.error());
    if (event == JsonScanner::Event::kEnd) return {};
  }
}

std::string_view JsonDocument::view(const Text& text) const {
  return (text.unescaped ? std::string_view(strings_) : text_).substr(text.begin, text.size);
}

JsonType JsonValue::type() const { return node().type; }

std::size_t JsonValue::offset() const { return node().begin; }

std::string_view JsonValue::raw() const {
  return document_->text_.substr(node().begin, node().end - node().begin);
}

std::optional<bool> JsonValue::as_bool() const {
  if (type() != JsonType::kBool) return std::nullopt;
  return node().boolean;
}

std::optional<std::int64_t> JsonValue::as_int() const {
  return type() == JsonType::kNumber ? read_number<std::int64_t>(raw()) : std::nullopt;
}

std::optional<double> JsonValue::as_double() const {
  return type() == JsonType::kNumber ? read_number<double>(raw()) : std::nullopt;
}

std::optional<std::string_view> JsonValue::as_string() const {
  if (type() != JsonType::kString) return std::nullopt;
  return document_->view(node().text);
}

std::size_t JsonValue::size() const { return node().size; }

JsonValue JsonValue::at(std::size_t index) const {
  if (index >= size()) throw std::out_of_range("JsonValue::at");
  return {document_, document_->children_[node().first_child + index]};
}

std::string_view JsonValue::key(std::size_t index) const { return document_->view(at(index).node().name); }

std::optional<JsonValue> JsonValue::find(std::string_view name) const {
  if (!is_object()) return std::nullopt;
  for (std::size_t i = size(); i-- > 0;) {
    if (key(i) == name) return at(i);
  }
  return std::nullopt;
}

std::optional<JsonValue> JsonValue::find_any_case(std::string_view name) const {
  if (!is_object()) return std::nullopt;
  for (std::size_t i = size(); i-- > 0;) {
    if (same_any_case(key(i), name)) return at(i);
  }
  return std::nullopt;
}

}  // namespace serverledge
