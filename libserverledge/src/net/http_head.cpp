#include "net/http_head.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

namespace serverledge {

namespace {

constexpr std::size_t kHeadersMax = 100;

constexpr std::array<bool, 256> make_token_characters() {
  std::array<bool, 256> is{};
  for (int c = '0'; c <= '9'; ++c) is[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) is[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) is[static_cast<std::size_t>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) is[static_cast<unsigned char>(c)] = true;
  return is;
}

constexpr auto kTokenCharacters = make_token_characters();

constexpr std::array<bool, 256> make_value_characters() {
  std::array<bool, 256> is{};
  for (std::size_t byte = 0x20; byte < is.size(); ++byte) is[byte] = byte != 0x7f;
  is[static_cast<std::size_t>('\t')] = true;
  return is;
}

constexpr auto kValueCharacters = make_value_characters();

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

Defect parse_header_line(std::string_view line, HttpHeaders& headers) {
  if (line.front() == ' ' || line.front() == '\t') return "a header is folded over lines";
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return "a header line without a colon";
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return "a header name with a character that is not allowed there";
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_field_value(value)) return "a control character in a header";
  if (headers.size() == kHeadersMax) return "more than 100 headers";
  headers.add(std::string(name), std::string(value));
  return nullptr;
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  const bool digits =
      !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  std::uint64_t length = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (!digits || failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return length;
}

}  // namespace

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return kTokenCharacters[static_cast<unsigned char>(c)]; });
}

bool is_field_value(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return kValueCharacters[static_cast<unsigned char>(c)]; });
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

HeadScanner::Found HeadScanner::scan(std::string_view bytes) {
  while (true) {
    const void* found = searched_ == bytes.size()
                            ? nullptr
                            : std::memchr(bytes.data() + searched_, '\n', bytes.size() - searched_);
    if (found == nullptr) {
      searched_ = bytes.size();
      return Found::kNotYet;
    }
    const auto lf = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    const std::string_view line = bytes.substr(line_, lf - line_);
    line_ = searched_ = lf + 1;
    if (line.empty() || line.back() != '\r') {
      defect_ = "a line that ends in LF without CR";
    } else if (line.find('\r') != line.size() - 1) {
      defect_ = "a CR within a line";
    } else if (line.find('\0') != std::string_view::npos) {
      defect_ = "a NUL";
    }
    if (defect_ != nullptr) return Found::kMalformed;
    if (line.size() == 1) return Found::kWhole;
  }
}

Defect parse_header_lines(std::string_view lines, HttpHeaders& headers) {
  while (!lines.empty()) {
    const std::size_t end = lines.find("\r\n");
    if (end == 0) return nullptr;
    if (end == std::string_view::npos) return "a header line without an end";
    if (const Defect defect = parse_header_line(lines.substr(0, end), headers)) return defect;
    lines.remove_prefix(end + 2);
  }
  return nullptr;
}

Framing framing_of(const HttpHeaders& headers) {
  Framing framing;
  bool has_length = false;
  bool has_coding = false;
  for (const auto& [name, value] : headers) {
    if (equals_ignoring_case(name, "Content-Length")) {
      if (has_length) framing.defect = "two Content-Length headers";
      has_length = true;
      framing.length = parse_length(value);
      if (!framing.length) framing.defect = "a Content-Length that is not a number";
    } else if (equals_ignoring_case(name, "Transfer-Encoding")) {
      if (has_coding) framing.defect = "two Transfer-Encoding headers";
      has_coding = true;
      framing.chunked = equals_ignoring_case(value, "chunked");
      framing.unknown_coding = !framing.chunked;
    }
  }
  if (has_length && has_coding) framing.defect = "both Content-Length and Transfer-Encoding";
  return framing;
}

bool has_token(const HttpHeaders& headers, std::string_view name, std::string_view token) {
  for (const auto& field : headers) {
    if (!equals_ignoring_case(field.name, name)) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::string_view item = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), item.size() + 1));
      if (equals_ignoring_case(trimmed(item), token)) return true;
    }
  }
  return false;
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";  // one must be there, and nobody reads it
  }
}

}  // namespace serverledge
