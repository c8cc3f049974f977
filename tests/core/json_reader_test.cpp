#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

bool accepts(std::string_view text) {
  const bool checked = check_json(text).has_value();
  CHECK(JsonDocument::parse(text).has_value() == checked);
  return checked;
}

std::string why_no_json(std::string_view text, JsonLimits limits = {}) {
  const Result<void> checked = check_json(text, limits);
  const Result<JsonDocument> parsed = JsonDocument::parse(text, limits);
  REQUIRE_FALSE(checked.has_value());
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error() == checked.error());
  CHECK(checked.error().code == ErrorCode::kInvalid);
  return checked.error().message;
}

/// The decoded value of a JSON string.
std::string decoded(std::string_view text) {
  const Result<JsonDocument> document = JsonDocument::parse(text);
  REQUIRE(document.has_value());
  return std::string(document->root().as_string().value());
}

}  // namespace

TEST_CASE("every kind of value of RFC 8259 is accepted", "[json]") {
  for (const char* text :
       {"null", "true", "false", "0", "-0", "-1.5e+10", "1E400", "\"\"", "[]", "{}", " [ 1 , 2 ] ",
        "{\"a\":{\"b\":[null]}}", "\t\r\n 7 \n", "\"\\u0000\"", "\"\x7f\"", "[[],{}]"}) {
    INFO(text);
    CHECK(accepts(text));
  }
}

TEST_CASE("what RFC 8259 does not allow is refused", "[json]") {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "nulll",
                           "True",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "-",
                           "+1",
                           "01",
                           "-01",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x10",
                           "1.e5",
                           "[",
                           "]",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "}",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "{1:1}",
                           "{\"a\" 1}",
                           "{\"a\":1 \"b\":2}",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12G4\"",
                           "\"a\nb\"",
                           "\"\t\"",
                           "[1}",
                           "{\"a\":1]",
                           "// c\n1",
                           "/* c */ 1",
                           "\v1",
                           "\xEF\xBB\xBF{}"}) {
    INFO(text);
    CHECK_FALSE(accepts(text));
  }
}

TEST_CASE("bytes after the value are refused, a NUL byte too", "[json]") {
  CHECK_FALSE(accepts("{} {}"));
  CHECK_FALSE(accepts("1 2"));
  CHECK_FALSE(accepts("{}x"));
  CHECK_FALSE(accepts(std::string_view("{}\0", 3)));
  CHECK_FALSE(accepts(std::string_view("{}\0garbage", 10)));
  CHECK_FALSE(accepts(std::string_view("\0{}", 3)));
  CHECK_FALSE(accepts(std::string_view("\"a\0b\"", 5)));
}

TEST_CASE("an error names the byte where it is", "[json]") {
  CHECK(why_no_json("{\"a\":1,}") ==
        "not valid JSON at byte 7: expected the name of a member in double quotes");
  CHECK(why_no_json("[1 2]") == "not valid JSON at byte 3: expected ',' or ']' after an element");
  CHECK(why_no_json("{\"a\":1 2}") == "not valid JSON at byte 7: expected ',' or '}' after a member");
  CHECK(why_no_json("{\"a\" 2}") == "not valid JSON at byte 5: expected ':' after the name of a member");
  CHECK(why_no_json("[tru]") == "not valid JSON at byte 1: expected a value");
  CHECK(why_no_json("{}x") == "not valid JSON at byte 2: nothing may follow the value");
  CHECK(why_no_json("[1") == "not valid JSON at byte 2: the text ends too early");
  CHECK(why_no_json("\"\xff\"") == "not valid JSON at byte 1: invalid UTF-8");
  CHECK(why_no_json("\"ab\\ud800\"") == "not valid JSON at byte 3: half of a surrogate pair stands alone");
}

TEST_CASE("nesting beyond the limit is refused and costs no stack", "[json]") {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  CHECK(accepts(deep));
  CHECK(why_no_json("[" + deep + "]") == "not valid JSON at byte 64: nested deeper than 64 levels");
  const std::string unclosed(200000, '[');
  CHECK(why_no_json(unclosed) == "not valid JSON at byte 64: nested deeper than 64 levels");
  CHECK_FALSE(accepts(unclosed + std::string(200000, ']')));
  std::string objects;
  for (int i = 0; i < 200000; ++i) objects += "{\"a\":";
  CHECK_FALSE(accepts(objects));

  const JsonLimits unlimited{.max_depth = 1000000, .built_depth = 1000000, .max_values = 1000000};
  CHECK(why_no_json(unclosed, unlimited) == "not valid JSON at byte 200000: the text ends too early");
  CHECK(JsonDocument::parse(unclosed + std::string(200000, ']'), unlimited).has_value());
}

TEST_CASE("numbers keep their text, however big", "[json]") {
  const std::string many = "-" + std::string(5000, '9');
  for (const std::string& text : {many, std::string("1e400"), std::string("-0"), std::string("0.1000"),
                                  std::string("12345678901234567890"), std::string("1E+2")}) {
    const Result<JsonDocument> document = JsonDocument::parse(text);
    REQUIRE(document.has_value());
    CHECK(document->root().type() == JsonType::kNumber);
    CHECK(document->root().raw() == text);
  }
}

TEST_CASE("a number converts only if it fits", "[json]") {
  const std::string text =
      "[9223372036854775807,9223372036854775808,-9223372036854775808,1.0,1e2,-0.5,1e400,\"1\",true]";
  const Result<JsonDocument> document = JsonDocument::parse(text);
  REQUIRE(document.has_value());
  const JsonValue all = document->root();
  CHECK(all.at(0).as_int() == 9223372036854775807);
  CHECK_FALSE(all.at(1).as_int());
  CHECK(all.at(1).as_double() == 9223372036854775808.0);
  CHECK(all.at(2).as_int() == INT64_MIN);
  CHECK_FALSE(all.at(3).as_int());
  CHECK(all.at(3).as_double() == 1.0);
  CHECK_FALSE(all.at(4).as_int());
  CHECK(all.at(4).as_double() == 100.0);
  CHECK(all.at(5).as_double() == -0.5);
  CHECK_FALSE(all.at(6).as_double());
  CHECK_FALSE(all.at(7).as_int());
  CHECK_FALSE(all.at(7).as_double());
  CHECK_FALSE(all.at(8).as_int());
  CHECK(all.at(8).as_bool() == true);
  CHECK_FALSE(all.at(0).as_bool());
  CHECK_FALSE(all.at(0).as_string());
}

TEST_CASE("the last of two members of one name wins", "[json]") {
  const Result<JsonDocument> document = JsonDocument::parse(R"({"a":1,"b":2,"a":3,"A":4,"\u0061":5})");
  REQUIRE(document.has_value());
  const JsonValue root = document->root();
  CHECK(root.size() == 5);
  CHECK(root.find("a")->as_int() == 5);
  CHECK(root.find("A")->as_int() == 4);
  CHECK(root.find_any_case("A")->as_int() == 5);
  CHECK_FALSE(root.find("c"));
}

TEST_CASE("members are found in any case of ASCII letters", "[json]") {
  const Result<JsonDocument> document = JsonDocument::parse(R"({"qosMAXrespt":1.5,"É":1})");
  REQUIRE(document.has_value());
  const JsonValue root = document->root();
  CHECK(root.find_any_case("QoSMaxRespT")->as_double() == 1.5);
  CHECK_FALSE(root.find("QoSMaxRespT"));
  CHECK_FALSE(root.find_any_case("é"));
  CHECK_FALSE(root.find_any_case("qosmaxresp"));
  CHECK_FALSE(JsonDocument::parse("[1]")->root().find_any_case("x"));
}

TEST_CASE("strings are decoded, and only where they are asked for", "[json]") {
  CHECK(decoded(R"("plain é 🙂")") == "plain é 🙂");
  CHECK(decoded(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(decoded(R"("\u0041\u00e9\u20AC\ud83d\ude42")") == "Aé€🙂");
  CHECK(decoded(R"("\u0000")") == std::string(1, '\0'));
  const Result<JsonDocument> document = JsonDocument::parse(R"({"k\n":"v\n","x":"y"})");
  REQUIRE(document.has_value());
  CHECK(document->root().key(0) == "k\n");
  CHECK(document->root().at(0).raw() == R"("v\n")");
  CHECK(document->root().find("k\n")->as_string() == "v\n");
}

TEST_CASE("a lone surrogate is refused in every form", "[json]") {
  for (const char* text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\ud800")",
                           R"("\udc00\ud800")", R"({"\udfff":1})", "\"\xED\xA0\x80\""}) {
    INFO(text);
    CHECK_FALSE(accepts(text));
  }
}

TEST_CASE("invalid UTF-8 is refused in values and in names", "[json]") {
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x99", "\xED\xBF\xBF"}) {
    CHECK_FALSE(accepts("\"" + bad + "\""));
    CHECK_FALSE(accepts("{\"" + bad + "\":1}"));
    CHECK_FALSE(accepts(bad));
    CHECK_FALSE(is_utf8("abcdefghij" + bad));
    CHECK_FALSE(is_utf8(bad + "abcdefghij"));
  }
}

TEST_CASE("values keep their own bytes and their place", "[json]") {
  const std::string text = R"( { "Params" : { "n" : 12345678901234567890 , "s":"\u00e9" } , "Async":true } )";
  const Result<JsonDocument> document = JsonDocument::parse(text);
  REQUIRE(document.has_value());
  const JsonValue params = document->root().find("Params").value();
  CHECK(params.raw() == R"({ "n" : 12345678901234567890 , "s":"\u00e9" })");
  CHECK(text.substr(params.offset(), params.raw().size()) == params.raw());
  CHECK(params.find("n")->raw() == "12345678901234567890");
  CHECK(document->root().raw() == text.substr(1, text.size() - 2));
}

TEST_CASE("what lies deeper than it is built for is checked but has no children", "[json]") {
  const std::string text = R"({"a":[1,{"b":[2]}],"c":3})";
  const Result<JsonDocument> document = JsonDocument::parse(text, {.max_depth = 64, .built_depth = 1});
  REQUIRE(document.has_value());
  const JsonValue root = document->root();
  REQUIRE(root.size() == 2);
  CHECK(root.at(0).is_array());
  CHECK(root.at(0).size() == 0);
  CHECK(root.at(0).raw() == R"([1,{"b":[2]}])");
  CHECK(root.key(1) == "c");
  CHECK(root.at(1).as_int() == 3);

  const Result<JsonDocument> deeper = JsonDocument::parse(text, {.max_depth = 64, .built_depth = 2});
  REQUIRE(deeper.has_value());
  CHECK(deeper->root().at(0).size() == 2);
  CHECK(deeper->root().at(0).at(1).raw() == R"({"b":[2]})");
  CHECK(deeper->root().at(0).at(1).size() == 0);
  const Result<JsonDocument> none = JsonDocument::parse(text, {.max_depth = 64, .built_depth = 0});
  CHECK(none->root().size() == 0);
  CHECK(none->root().raw() == text);
  CHECK_FALSE(
      JsonDocument::parse(R"({"a":[1,{"b":[2,]}]})", {.max_depth = 64, .built_depth = 0}).has_value());
}

TEST_CASE("more values than the limit are not built, but those that are not built do not count", "[json]") {
  const std::string many = "[0,0,0,0]";
  CHECK(JsonDocument::parse(many, {.max_values = 5}).has_value());
  const Result<JsonDocument> refused = JsonDocument::parse(many, {.max_values = 4});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error() == Error{ErrorCode::kTooLarge, "JSON with more than 4 values", ""});
  CHECK(JsonDocument::parse("{\"Params\":" + many + "}", {.built_depth = 1, .max_values = 2}).has_value());
  CHECK(check_json(many, {.max_values = 1}).has_value());
}

TEST_CASE("a document can be moved and copied", "[json]") {
  const std::string text = R"(["\u0041"])";
  Result<JsonDocument> parsed = JsonDocument::parse(text);
  REQUIRE(parsed.has_value());
  const JsonDocument copy = *parsed;
  const JsonDocument moved = std::move(*parsed);
  CHECK(copy.root().at(0).as_string() == "A");
  CHECK(moved.root().at(0).as_string() == "A");
  CHECK_THROWS_AS(moved.root().at(1), std::out_of_range);
}

}  // namespace serverledge
