#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/chunked_decoder.hpp"
#include "net/http_head.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Makes one answer of the bytes of a connection, which come in pieces. Does no I/O. Interim answers (100)
/// are skipped.
class ResponseReader {
 public:
  enum class State { kNeedsMore, kWhole, kFailed };

  /// `to_head`: the request was a HEAD, so that no body follows.
  ResponseReader(bool to_head, std::size_t body_max) : to_head_(to_head), body_max_(body_max) {}
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  /// Where the next bytes go.
  std::span<char> space();
  State filled(std::size_t bytes);
  /// The peer has closed: an answer without a length is whole by that.
  State ended();

  /// Whether any byte of an answer has come.
  bool has_begun() const noexcept { return begun_; }
  /// In kWhole: whether the connection can carry another request.
  bool keep_alive() const noexcept { return keep_alive_; }
  HttpResponse& response() noexcept { return response_; }
  /// In kFailed: kTooLarge, or kUnknownOutcome and what is wrong with the answer.
  const Error& error() const noexcept { return error_; }

 private:
  enum class Body { kNone, kCounted, kChunked, kToEnd };

  std::string_view waiting() const noexcept { return {bytes_ + begin_, end_ - begin_}; }
  State fail(ErrorCode code, std::string message);
  State read_head();
  State parse_head(std::string_view head);
  State read_body();
  State read_chunks();
  State append(std::string_view data);
  State too_large();

  const bool to_head_;
  const std::size_t body_max_;
  HttpResponse response_;
  Error error_;
  std::array<char, 2048> small_;  // what most answers fit into; not filled before it is read into
  std::unique_ptr<char[]> large_;
  char* bytes_ = small_.data();  // one of the two
  std::size_t room_ = small_.size();
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  HeadScanner scanner_;
  bool begun_ = false;
  bool in_body_ = false;
  bool keep_alive_ = false;
  Body body_ = Body::kNone;
  std::uint64_t left_ = 0;  // of a counted body
  ChunkedDecoder chunks_;
};

}  // namespace serverledge
