#include "response_reader.hpp"

#include <strings.h>

#include <charconv>
#include <optional>

namespace serverledge::bench {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::optional<std::size_t> number(std::string_view text, int base) {
  std::size_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || rest == text.data()) return std::nullopt;
  return value;
}

constexpr std::size_t kChunkMax = std::size_t{1} << 40U;
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

}  // namespace

void ResponseReader::begin() {
  bytes_.erase(0, end_);
  end_ = body_ = chunk_ = length_ = 0;
  framing_ = Framing::kToEnd;
  status_ = 0;
  closes_ = false;
}

ResponseReader::State ResponseReader::take(std::string_view bytes) {
  bytes_ += bytes;
  return advance();
}

ResponseReader::State ResponseReader::end() {
  closes_ = true;
  if (body_ == 0 || framing_ != Framing::kToEnd) return State::kMalformed;
  end_ = bytes_.size();
  return State::kDone;
}

std::string_view ResponseReader::body() const { return std::string_view(bytes_).substr(body_, end_ - body_); }

ResponseReader::State ResponseReader::advance() {
  if (body_ == 0) {
    const auto head_end = bytes_.find(kHeadEnd);
    if (head_end == std::string::npos) return State::kMore;
    if (!read_head(std::string_view(bytes_).substr(0, head_end))) return State::kMalformed;
    body_ = chunk_ = head_end + kHeadEnd.size();
    if (status_ == 204 || status_ == 304) {
      framing_ = Framing::kLength;
      length_ = 0;
    }
  }
  if (framing_ == Framing::kChunks) return advance_chunks();
  if (framing_ == Framing::kToEnd || bytes_.size() - body_ < length_) return State::kMore;
  end_ = body_ + length_;
  return State::kDone;
}

bool ResponseReader::read_head(std::string_view head) {
  const bool http10 = head.starts_with("HTTP/1.0 ");
  if (!http10 && !head.starts_with("HTTP/1.1 ")) return false;
  const auto status = number(head.substr(9, 3), 10);
  if (!status || *status < 200) return false;  // nothing was asked that an interim answer would precede
  status_ = static_cast<int>(*status);
  closes_ = http10;
  for (auto line = head.find(kLineEnd); line != std::string_view::npos;) {
    line += kLineEnd.size();
    const auto next = head.find(kLineEnd, line);
    const auto field = head.substr(line, next == std::string_view::npos ? next : next - line);
    const auto colon = field.find(':');
    if (colon == std::string_view::npos) return false;
    auto value = field.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    read_header(field.substr(0, colon), value);
    line = next;
  }
  if (framing_ == Framing::kToEnd) closes_ = true;
  return true;
}

void ResponseReader::read_header(std::string_view name, std::string_view value) {
  if (same_word(name, "content-length")) {
    const auto length = number(value, 10);
    if (!length || framing_ == Framing::kChunks) return;
    framing_ = Framing::kLength;
    length_ = *length;
  } else if (same_word(name, "transfer-encoding")) {
    framing_ = Framing::kChunks;
  } else if (same_word(name, "connection")) {
    closes_ = same_word(value, "close") || (closes_ && !same_word(value, "keep-alive"));
  }
}

ResponseReader::State ResponseReader::advance_chunks() {
  while (true) {
    const auto line_end = bytes_.find(kLineEnd, chunk_);
    if (line_end == std::string::npos) return State::kMore;
    const auto size = number(std::string_view(bytes_).substr(chunk_, line_end - chunk_), 16);
    if (!size || *size > kChunkMax) return State::kMalformed;
    // A last chunk is followed by an empty line; trailers are not expected of a server that is measured.
    const std::size_t next = line_end + kLineEnd.size() + *size + kLineEnd.size();
    if (bytes_.size() < next) return State::kMore;
    chunk_ = next;
    if (*size == 0) {
      end_ = next;
      return State::kDone;
    }
  }
}

}  // namespace serverledge::bench
