// Base64: what we write is what OpenSSL writes, whatever is read is read as OpenSSL reads it, and an error
// names a place in the text.
#include <openssl/evp.h>

#include <algorithm>
#include <string>

#include "require.hpp"
#include "serverledge/net/base64.hpp"

namespace {

const unsigned char* bytes_of(const std::string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string encoded_by_openssl(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(bytes),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string decoded_by_openssl(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }),
             text.end());
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes_of(text),
                                   static_cast<int>(text.size()));
  REQUIRE(size >= 0);
  const auto padding = static_cast<std::size_t>(std::count(text.begin(), text.end(), '='));
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::string encoded = serverledge::base64_encode(input);
  REQUIRE(encoded == encoded_by_openssl(input));
  const auto back = serverledge::base64_decode(encoded);
  REQUIRE(back && *back == input);

  const auto decoded = serverledge::base64_decode(input);
  if (decoded) {
    REQUIRE(*decoded == decoded_by_openssl(input));
  } else {
    REQUIRE(decoded.error().code == serverledge::ErrorCode::kInvalid);
  }
  return 0;
}
