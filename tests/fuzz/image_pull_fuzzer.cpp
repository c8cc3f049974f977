// The progress of a pull is read of any bytes without harm, however they are cut into pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "require.hpp"
#include "runtime/docker/image_store.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using serverledge::PullProgress;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  PullProgress whole;
  whole.take(bytes);
  PullProgress pieces;
  while (!bytes.empty()) {
    const std::size_t piece = std::min<std::size_t>(bytes.size(), 1 + data[0] % 16);
    pieces.take(bytes.substr(0, piece));
    bytes.remove_prefix(piece);
  }
  REQUIRE(pieces.error() == whole.error());
  REQUIRE(pieces.text() == whole.text());
  serverledge::is_image_reference(bytes);
  return 0;
}
