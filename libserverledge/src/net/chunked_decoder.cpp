#include "net/chunked_decoder.hpp"

#include <algorithm>
#include <charconv>

namespace serverledge {

namespace {

constexpr std::size_t kLineMax = 1024;
constexpr std::size_t kTrailersMax = 8 * 1024;

}  // namespace

ChunkedDecoder::Step ChunkedDecoder::step(std::string_view input) {
  if (defect_ != nullptr || done() || input.empty()) return {};
  if (state_ != State::kData) return take_line(input);
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
  left_ -= size;
  if (left_ == 0) state_ = State::kDataEnd;
  return {size, input.substr(0, size)};
}

ChunkedDecoder::Step ChunkedDecoder::take_line(std::string_view input) {
  const std::size_t lf = input.substr(0, kLineMax).find('\n');
  if (lf == std::string_view::npos) {
    if (input.size() >= kLineMax) defect_ = "a chunk's line is too long";
    return {};
  }
  const std::string_view line = input.substr(0, lf == 0 ? 0 : lf - 1);
  if (lf == 0 || input[lf - 1] != '\r' || !is_field_value(line)) {
    defect_ = "a malformed line in a chunked body";
    return {};
  }
  switch (state_) {
    case State::kSize:
      defect_ = read_size(line);
      break;
    case State::kDataEnd:
      if (!line.empty()) defect_ = "a chunk longer than its size says";
      state_ = State::kSize;
      break;
    default:
      trailers_ += lf + 1;
      if (trailers_ > kTrailersMax) defect_ = "trailers too long";
      if (line.empty()) state_ = State::kDone;
  }
  return {lf + 1, {}};
}

Defect ChunkedDecoder::read_size(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find(';'));
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (failed != std::errc() || end != digits.data() + digits.size())
    return "a chunk size that is not a hexadecimal number";
  state_ = left_ == 0 ? State::kTrailer : State::kData;
  return nullptr;
}

}  // namespace serverledge
