// Answers are made of any bytes without harm, and are the same however the bytes are cut into pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "net/response_reader.hpp"
#include "require.hpp"

namespace {

using serverledge::ResponseReader;
using State = ResponseReader::State;

constexpr std::size_t kBodyMax = 300;

std::string read_in_pieces(std::string_view bytes, std::size_t piece) {
  ResponseReader reader(false, kBodyMax);
  State state = State::kNeedsMore;
  while (state == State::kNeedsMore) {
    const auto space = reader.space();
    REQUIRE(!space.empty());
    const std::size_t size = std::min({piece, space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), size);
    bytes.remove_prefix(size);
    state = size == 0 ? reader.ended() : reader.filled(size);
  }
  if (state == State::kFailed) return "failed: " + reader.error().message;
  REQUIRE(reader.response().body.size() <= kBodyMax);
  return std::to_string(reader.response().status) + " " + reader.response().body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read_in_pieces(bytes, std::max<std::size_t>(1, bytes.size()));
  REQUIRE(read_in_pieces(bytes, 1 + data[0] % 16) == whole);
  return 0;
}
