#include "serverledge/net/base64.hpp"

#include <array>
#include <cstdint>

namespace serverledge {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNone = 0xff;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  for (auto& value : values) value = kNone;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

constexpr auto kValues = make_values();

char letter(std::uint32_t bits) { return kAlphabet[bits & 0x3fU]; }

Unexpected wrong_at(std::size_t offset, const char* what) {
  return {ErrorCode::kInvalid, std::string("not base64: ") + what + " at offset " + std::to_string(offset)};
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2);
    text += letter(group >> 18U);
    text += letter(group >> 12U);
    text += i + 1 < bytes.size() ? letter(group >> 6U) : '=';
    text += i + 2 < bytes.size() ? letter(group) : '=';
  }
  return text;
}

Result<std::string> base64_decode(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  int letters = 0;  // of the group being read, padding included
  int padding = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (padding > 0 && (c != '=' || letters == 0)) return wrong_at(i, "a character after the padding");
    if (c == '=') {
      if (letters < 2) return wrong_at(i, "misplaced padding");
      ++padding;
    } else if (kValues[static_cast<unsigned char>(c)] == kNone) {
      return wrong_at(i, "a character outside the alphabet");
    }
    group = group << 6U | (c == '=' ? 0U : kValues[static_cast<unsigned char>(c)]);
    if (++letters < 4) continue;
    for (int k = 0; k < 3 - padding; ++k) bytes += static_cast<char>(group >> (16 - 8 * k));
    group = 0;
    letters = 0;
  }
  if (letters != 0) return wrong_at(text.size(), "the text ends within a group of four characters");
  return bytes;
}

}  // namespace serverledge
