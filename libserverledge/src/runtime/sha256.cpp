#include "runtime/sha256.hpp"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <stdexcept>

namespace serverledge {

std::string sha256_hex(std::initializer_list<std::string_view> parts) {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  const std::unique_ptr<EVP_MD_CTX, Free> context(::EVP_MD_CTX_new());
  std::array<unsigned char, 32> digest{};
  bool done = context && ::EVP_DigestInit_ex(context.get(), ::EVP_sha256(), nullptr) == 1;
  for (const std::string_view part : parts) {
    done = done && ::EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  if (!done || ::EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL cannot compute SHA-256");
  }
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += "0123456789abcdef"[byte >> 4U];
    hex += "0123456789abcdef"[byte & 15U];
  }
  return hex;
}

}  // namespace serverledge
