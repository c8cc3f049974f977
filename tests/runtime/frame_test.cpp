#include "runtime/frame.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace serverledge;

namespace {

// The payload of an answer: output and body with the length between them.
std::string payload(const std::string& output, const std::string& body) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8)
    bytes += static_cast<char>(output.size() >> static_cast<unsigned>(shift));
  return bytes + output + body;
}

Result<CallAnswer> result(const std::string& body, const std::string& output = "", std::uint8_t flags = 0) {
  const std::string bytes = payload(output, body);
  return parse_answer({static_cast<std::uint32_t>(bytes.size()), FrameType::kResult, flags, 1}, bytes, true,
                      {});
}

Result<CallAnswer> failure(const std::string& body) {
  const std::string bytes = payload("", body);
  return parse_answer({static_cast<std::uint32_t>(bytes.size()), FrameType::kFailure, 0, 1}, bytes, true, {});
}

Result<std::string> ready(FrameType type, const std::string& bytes, std::uint64_t id = 0) {
  return parse_ready({static_cast<std::uint32_t>(bytes.size()), type, 0, id}, bytes);
}

}  // namespace

TEST_CASE("a header is little endian and reads back the same", "[frame]") {
  const FrameHeader header{0x01020304, FrameType::kResult, 1, 0x1122334455667788};
  const auto bytes = encode(header);
  const std::string_view text(bytes.data(), bytes.size());
  CHECK(text == std::string_view("\x04\x03\x02\x01\x03\x01\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11", 16));
  const Result<FrameHeader> read = decode_frame_header(text);
  REQUIRE(read);
  CHECK(*read == header);
}

TEST_CASE("a header of an unknown type, with unknown flags or a used reserve is refused", "[frame]") {
  auto bytes = encode({0, FrameType::kResult, 0, 0});
  const auto with = [&](std::size_t at, char value) {
    auto changed = bytes;
    changed[at] = value;
    return decode_frame_header({changed.data(), changed.size()});
  };
  CHECK(with(4, 6));
  CHECK_FALSE(with(4, 0));
  CHECK_FALSE(with(4, 7));
  CHECK_FALSE(with(4, '\xff'));
  CHECK_FALSE(with(5, 2));
  CHECK_FALSE(with(6, 1));
  CHECK_FALSE(with(7, 1));
  CHECK_FALSE(decode_frame_header({bytes.data(), 15}));
}

TEST_CASE("a result is taken as it was sent, its output as UTF-8", "[frame]") {
  const auto plain = result(R"({"a": [1.0, 12345678901234567890]})");
  REQUIRE(plain);
  CHECK(plain->result == R"({"a": [1.0, 12345678901234567890]})");
  CHECK_FALSE(plain->failure);
  CHECK_FALSE(plain->output_cut);
  const auto printed = result("null", "h\xc3\xa9\xff", 1);
  REQUIRE(printed);
  CHECK(printed->output == "h\xc3\xa9\xef\xbf\xbd");
  CHECK(printed->output_cut);
}

TEST_CASE("a result that is not exactly one JSON text in UTF-8 is refused", "[frame]") {
  for (const char* text : {"", " ", "{", "1 2", "NaN", "'a'", "\"\xff\"", "[1,]", "nul", "{\"a\":1}}",
                           "\xef\xbb\xbf"
                           "1"}) {
    CAPTURE(text);
    const auto answer = result(text);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::kInvalid);
  }
  CHECK(result(std::string(512, '[') + std::string(512, ']')));
  CHECK_FALSE(result(std::string(513, '[') + std::string(513, ']')));
}

TEST_CASE("an answer beyond the limits is refused", "[frame]") {
  const FrameLimits limits{.result_bytes = 8, .output_bytes = 4};
  const auto parse = [&](const std::string& output, const std::string& body, bool capture) {
    const std::string bytes = payload(output, body);
    return parse_answer({static_cast<std::uint32_t>(bytes.size()), FrameType::kResult, 0, 1}, bytes, capture,
                        limits)
        .has_value();
  };
  CHECK(parse("", "\"345678", true) == false);
  CHECK(parse("", "\"34567\"", true));
  CHECK(parse("", "\"3456789\"", true) == false);
  CHECK(parse("1234", "1", true));
  CHECK(parse("12345", "1", true) == false);
  CHECK(parse("1", "1", false) == false);
}

TEST_CASE("an answer whose output is longer than itself is refused", "[frame]") {
  for (const std::string& bytes : {std::string("\xff\xff\xff\xff"
                                               "1"),
                                   std::string("\2\0\0\0"
                                               "1",
                                               5),
                                   std::string("\0\0\0", 3)}) {
    CHECK_FALSE(
        parse_answer({static_cast<std::uint32_t>(bytes.size()), FrameType::kResult, 0, 1}, bytes, true, {}));
  }
}

TEST_CASE("only results and failures answer a call", "[frame]") {
  const std::string bytes = payload("", "1");
  for (const FrameType type :
       {FrameType::kCall, FrameType::kReady, FrameType::kStartFailed, FrameType::kLoad}) {
    CHECK_FALSE(parse_answer({static_cast<std::uint32_t>(bytes.size()), type, 0, 1}, bytes, true, {}));
  }
}

TEST_CASE("a failure carries kind, message and traceback, and must have them", "[frame]") {
  const auto raised = failure(R"({"Kind":"raised","Message":"KeyError: 'x'","Traceback":"a\nb"})");
  REQUIRE(raised);
  CHECK(raised->failure == Failure{FailureKind::kRaised, "KeyError: 'x'", "a\nb"});
  CHECK(raised->result.empty());
  const auto output = failure(R"({"Kind":"output","Message":"result: set is not JSON","Traceback":""})");
  REQUIRE(output);
  CHECK(output->failure->kind == FailureKind::kOutput);
  for (const char* text :
       {"", "1", "{}", R"({"Kind":"raised"})", R"({"Kind":"timeout","Message":"","Traceback":""})",
        R"({"Kind":"raised","Message":1,"Traceback":""})", R"({"Kind":"raised","Message":""})"}) {
    CAPTURE(text);
    CHECK_FALSE(failure(text));
  }
}

TEST_CASE("the first frame says what serves the function, or why it did not load", "[frame]") {
  const auto started = ready(FrameType::kReady, R"({"Runtime":"CPython 3.11.2"})");
  REQUIRE(started);
  CHECK(*started == "CPython 3.11.2");
  const auto refused = ready(FrameType::kStartFailed, R"({"Message":"ImportError: x","Traceback":"File"})");
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == Error{ErrorCode::kFunctionFailed, "ImportError: x", "File"});
  CHECK(ready(FrameType::kReady, R"({"Runtime":"x"})", 1).error().code == ErrorCode::kInvalid);
  CHECK(ready(FrameType::kResult, R"({"Runtime":"x"})").error().code == ErrorCode::kInvalid);
  CHECK(ready(FrameType::kReady, "[]").error().code == ErrorCode::kInvalid);
  CHECK(ready(FrameType::kReady, "x").error().code == ErrorCode::kInvalid);
  CHECK(ready(FrameType::kStartFailed, R"({"Message":"x"})").error().code == ErrorCode::kInvalid);
}
