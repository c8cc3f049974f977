// JSON: our reader accepts what RapidJSON accepts, and understands it alike, but for what RapidJSON gets
// wrong: a NUL byte ends its text, and numbers beyond a double are errors. What was read can be written and
// read again.
#include <rapidjson/document.h>
#include <rapidjson/memorystream.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "require.hpp"
#include "serverledge/core/json.hpp"

namespace {

using serverledge::JsonType;
using serverledge::JsonValue;
using serverledge::JsonWriter;

constexpr serverledge::JsonLimits kLimits{.max_depth = 64, .built_depth = 64};

std::string_view text_of(const rapidjson::Value& value) {
  return {value.GetString(), value.GetStringLength()};
}

void same(JsonValue ours, const rapidjson::Value& theirs) {
  switch (ours.type()) {
    case JsonType::kNull:
      REQUIRE(theirs.IsNull());
      break;
    case JsonType::kBool:
      REQUIRE(theirs.IsBool() && ours.as_bool() == theirs.GetBool());
      break;
    case JsonType::kNumber:
      REQUIRE(theirs.IsNumber());
      if (theirs.IsInt64() && ours.as_int()) REQUIRE(*ours.as_int() == theirs.GetInt64());
      // RapidJSON is a bit off here and there.
      if (ours.as_double())
        REQUIRE(*ours.as_double() == std::strtod(std::string(ours.raw()).c_str(), nullptr));
      break;
    case JsonType::kString:
      REQUIRE(theirs.IsString() && *ours.as_string() == text_of(theirs));
      break;
    case JsonType::kArray:
      REQUIRE(theirs.IsArray() && ours.size() == theirs.Size());
      for (std::size_t i = 0; i < ours.size(); ++i) same(ours.at(i), theirs[static_cast<unsigned>(i)]);
      break;
    case JsonType::kObject: {
      REQUIRE(theirs.IsObject() && ours.size() == theirs.MemberCount());
      std::size_t i = 0;
      for (const auto& member : theirs.GetObject()) {
        REQUIRE(ours.key(i) == text_of(member.name));
        REQUIRE(ours.find(ours.key(i)).has_value() && ours.find_any_case(ours.key(i)).has_value());
        same(ours.at(i++), member.value);
      }
      break;
    }
  }
}

void write(JsonWriter& writer, JsonValue value) {
  switch (value.type()) {
    case JsonType::kNull:
      writer.null();
      break;
    case JsonType::kBool:
      writer.boolean(*value.as_bool());
      break;
    case JsonType::kNumber:
      writer.raw(value.raw());
      break;
    case JsonType::kString:
      writer.string(*value.as_string());
      break;
    case JsonType::kArray:
      writer.begin_array();
      for (std::size_t i = 0; i < value.size(); ++i) write(writer, value.at(i));
      writer.end_array();
      break;
    case JsonType::kObject:
      writer.begin_object();
      for (std::size_t i = 0; i < value.size(); ++i) write(writer.key(value.key(i)), value.at(i));
      writer.end_object();
      break;
  }
}

std::string written(JsonValue value) {
  std::string out;
  JsonWriter writer(out);
  write(writer, value);
  return out;
}

bool refused_by_us_alone(std::string_view why) {
  return why.find("nested deeper") != std::string_view::npos ||
         why.find("surrogate") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto checked = serverledge::check_json(text, kLimits);
  const auto parsed = serverledge::JsonDocument::parse(text, kLimits);
  REQUIRE(checked.has_value() == parsed.has_value());
  REQUIRE(serverledge::JsonDocument::parse(text, {.max_depth = 64, .built_depth = 1}).has_value() ==
          parsed.has_value());
  if (parsed) {
    REQUIRE(serverledge::is_utf8(text));
    const std::string once = written(parsed->root());
    const auto again = serverledge::JsonDocument::parse(once, kLimits);
    REQUIRE(again && written(again->root()) == once);
  }

  if (text.find('\0') != std::string::npos) return 0;
  rapidjson::Document theirs;
  rapidjson::MemoryStream stream(text.data(), text.size());  // keeps within its bounds, unlike StringStream
  theirs.ParseStream<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(stream);
  if (theirs.HasParseError()) {
    REQUIRE(!parsed || theirs.GetParseError() == rapidjson::kParseErrorNumberTooBig);
    return 0;
  }
  REQUIRE(parsed || refused_by_us_alone(checked.error().message));
  if (parsed) same(parsed->root(), theirs);
  return 0;
}
