#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

std::string written(double value) {
  std::string out;
  JsonWriter(out).number(value);
  return out;
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

/// A value of a random shape.
struct Tree {
  JsonType type = JsonType::kNull;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
  bool whole = false;
  std::string text;
  std::vector<std::pair<std::string, Tree>> children;
};

Tree random_tree(int depth) {
  Tree tree;
  tree.type = *rc::gen::element(JsonType::kNull, JsonType::kBool, JsonType::kNumber, JsonType::kString,
                                JsonType::kArray, JsonType::kObject);
  tree.boolean = *rc::gen::arbitrary<bool>();
  tree.whole = *rc::gen::arbitrary<bool>();
  tree.integer = *rc::gen::arbitrary<std::int64_t>();
  tree.number = *rc::gen::arbitrary<double>();
  tree.text = *rc::gen::string<std::string>();
  if (depth > 0 && (tree.type == JsonType::kArray || tree.type == JsonType::kObject)) {
    const int count = *rc::gen::inRange(0, 4);
    for (int i = 0; i < count; ++i)
      tree.children.emplace_back(*rc::gen::string<std::string>(), random_tree(depth - 1));
  }
  return tree;
}

void write(JsonWriter& writer, const Tree& tree) {
  switch (tree.type) {
    case JsonType::kNull:
      writer.null();
      break;
    case JsonType::kBool:
      writer.boolean(tree.boolean);
      break;
    case JsonType::kNumber:
      tree.whole ? writer.integer(tree.integer) : writer.number(tree.number);
      break;
    case JsonType::kString:
      writer.string(tree.text);
      break;
    case JsonType::kArray:
      writer.begin_array();
      for (const auto& [name, child] : tree.children) write(writer, child);
      writer.end_array();
      break;
    case JsonType::kObject:
      writer.begin_object();
      for (const auto& [name, child] : tree.children) write(writer.key(name), child);
      writer.end_object();
      break;
  }
}

bool same(const Tree& tree, JsonValue value) {
  if (value.type() != tree.type || value.size() != tree.children.size()) return false;
  if (tree.type == JsonType::kBool) return value.as_bool() == tree.boolean;
  if (tree.type == JsonType::kString) return value.as_string() == to_utf8(tree.text);
  if (tree.type == JsonType::kNumber) {
    return tree.whole ? value.as_int() == tree.integer : value.as_double() == tree.number;
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (tree.type == JsonType::kObject && value.key(i) != to_utf8(tree.children[i].first)) return false;
    if (!same(tree.children[i].second, value.at(i))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("floats are printed as Go prints them", "[json]") {
  for (const char* text : {"0",
                           "-0",
                           "1",
                           "-1",
                           "100",
                           "0.5",
                           "1.5",
                           "0.00277253",
                           "0.000125957",
                           "0.002646343",
                           "0.00001",
                           "0.000001",
                           "0.0000023650000000000002",
                           "1e-7",
                           "9.9e-7",
                           "1.5e-10",
                           "-2.5e-9",
                           "5e-324",
                           "1.7976931348623157e+308",
                           "1e+21",
                           "1.5e+21",
                           "100000000000000000000",
                           "999999999999999900000",
                           "73786976294838210000",
                           "123456789.125",
                           "-0.00017037946561881284",
                           "0.7457407776390773",
                           "1795421144"}) {
    INFO(text);
    CHECK(written(std::strtod(text, nullptr)) == text);
  }
}

TEST_CASE("a number that is not finite becomes null", "[json]") {
  CHECK(written(std::numeric_limits<double>::infinity()) == "null");
  CHECK(written(-std::numeric_limits<double>::infinity()) == "null");
  CHECK(written(std::nan("")) == "null");
}

TEST_CASE("strings are escaped as Go escapes them", "[json]") {
  CHECK(quoted("") == R"("")");
  CHECK(quoted("Hello, Serverledge!\nParams: {'a': 2}") == R"("Hello, Serverledge!\nParams: {'a': 2}")");
  CHECK(quoted("\"Hello\\n\"") == R"("\"Hello\\n\"")");
  CHECK(quoted("<a> & b/c") == R"("\u003ca\u003e \u0026 b/c")");
  CHECK(quoted(std::string_view("\0\x01\x1f\x7f", 4)) == "\"\\u0000\\u0001\\u001f\x7f\"");
  CHECK(quoted("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  CHECK(quoted("é€🙂") == "\"é€🙂\"");
  CHECK(quoted("\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA") == "\"\\u2028\\u2029\xE2\x80\xAA\"");
  CHECK(quoted("a\xff\xc3z") == R"("a\ufffd\ufffdz")");
}

TEST_CASE("commas and colons come by themselves", "[json]") {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("a").begin_array().integer(1).number(0.5).begin_array().end_array().null().end_array();
  writer.key("b").begin_object().end_object();
  writer.key("c<").raw("[ 1 ]").key("d").boolean(true).key("e").string("x");
  writer.end_object();
  CHECK(out == R"({"a":[1,0.5,[],null],"b":{},"c\u003c":[ 1 ],"d":true,"e":"x"})");
}

TEST_CASE("invalid bytes become U+FFFD, one for each", "[json]") {
  CHECK(to_utf8("plain é") == "plain é");
  CHECK(to_utf8("a\xff\xe2\x82z") == "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz");
  CHECK(is_utf8("plain text that is longer than a word, é€🙂, and on"));
}

TEST_CASE("whatever is written reads back the same", "[json]") {
  CHECK(rc::check("a tree", [] {
    const Tree tree = random_tree(4);
    std::string text;
    JsonWriter writer(text);
    write(writer, tree);
    RC_ASSERT(check_json(text).has_value());
    const Result<JsonDocument> document = JsonDocument::parse(text);
    RC_ASSERT(document.has_value());
    RC_ASSERT(same(tree, document->root()));
  }));
  CHECK(rc::check("a time in nanoseconds, in as few digits as there can be", [] {
    const auto count = *rc::gen::inRange<std::int64_t>(1, 2'000'000'000'000'000);
    const double value = static_cast<double>(count >> *rc::gen::inRange(0, 40)) / 1e9;
    const std::string text = written(value);
    RC_ASSERT(JsonDocument::parse(text)->root().as_double() == value);
    char fewest[64];
    const auto fixed = std::to_chars(fewest, fewest + sizeof fewest, value, std::chars_format::fixed);
    if (value == 0 || value >= 1e-6) RC_ASSERT(text == std::string_view(fewest, fixed.ptr));
  }));
  CHECK(rc::check("any bits of a double", [](std::uint64_t bits) {
    double value = 0;
    static_assert(sizeof value == sizeof bits);
    std::memcpy(&value, &bits, sizeof value);
    RC_PRE(std::isfinite(value));
    const std::string text = written(value);
    RC_ASSERT(check_json(text).has_value());
    RC_ASSERT(std::strtod(text.c_str(), nullptr) == value);
  }));
}

TEST_CASE("any bytes can be made UTF-8, and written as a string", "[json]") {
  CHECK(rc::check("any bytes", [](const std::vector<char>& bytes) {
    const std::string text(bytes.begin(), bytes.end());
    const std::string clean = to_utf8(text);
    RC_ASSERT(is_utf8(clean));
    RC_ASSERT(is_utf8(text) == (clean == text));
    const std::string json = quoted(text);
    const Result<JsonDocument> document = JsonDocument::parse(json);
    RC_ASSERT(document.has_value());
    RC_ASSERT(document->root().as_string() == clean);
  }));
}

}  // namespace serverledge
