#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_head.hpp"

namespace serverledge {

/// Decodes a chunked body that arrives in pieces. Chunk extensions and trailers are read and dropped, both
/// bounded.
class ChunkedDecoder {
 public:
  /// One step forward: `consumed` bytes of the input are done with, `data` is the part of them that belongs
  /// to the body.
  struct Step {
    std::size_t consumed = 0;
    std::string_view data;
  };

  /// Takes what can be taken of the input at once. Nothing consumed: more input is needed, or it is over
  /// (done, defect).
  Step step(std::string_view input);
  /// The last chunk and its trailers have been read.
  bool done() const noexcept { return state_ == State::kDone; }
  Defect defect() const noexcept { return defect_; }

 private:
  enum class State { kSize, kData, kDataEnd, kTrailer, kDone };

  Step take_line(std::string_view input);
  Defect read_size(std::string_view line);

  State state_ = State::kSize;
  std::uint64_t left_ = 0;    // of the chunk's data
  std::size_t trailers_ = 0;  // bytes of trailers so far
  Defect defect_ = nullptr;
};

}  // namespace serverledge
