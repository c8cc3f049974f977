#include "serverledge/net/base64.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace serverledge {

TEST_CASE("base64 encodes the vectors of RFC 4648", "[base64]") {
  CHECK(base64_encode("") == "");
  CHECK(base64_encode("f") == "Zg==");
  CHECK(base64_encode("fo") == "Zm8=");
  CHECK(base64_encode("foo") == "Zm9v");
  CHECK(base64_encode("foobar") == "Zm9vYmFy");
  CHECK(base64_encode("\xff\xfe\xfd") == "//79");
}

TEST_CASE("base64 reads back what it wrote, over line breaks", "[base64]") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) {
    CHECK(base64_decode(base64_encode(bytes)).value() == bytes);
    bytes += static_cast<char>(i * 7);
  }
  CHECK(base64_decode("Zm9v\r\nYmFy\n").value() == "foobar");
  CHECK(base64_decode("Zm\n8=\n").value() == "fo");
}

TEST_CASE("base64 that is none is refused with the place of the defect", "[base64]") {
  const auto message = [](const char* text) { return base64_decode(text).error().message; };
  CHECK(base64_decode("Zm9*").error().code == ErrorCode::kInvalid);
  CHECK(message("Zm9*").find("offset 3") != std::string::npos);
  CHECK(message("Zm9vYg").find("offset 6") != std::string::npos);
  CHECK(message("Zg=a").find("offset 3") != std::string::npos);
  CHECK(message("Zg==Zg==").find("offset 4") != std::string::npos);
  CHECK(message("=").find("offset 0") != std::string::npos);
  CHECK_FALSE(base64_decode("Zg-_"));
  CHECK_FALSE(
      base64_decode("Zg=="
                    "="));
}

}  // namespace serverledge
