#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/body_budget.hpp"
#include "net/chunked_decoder.hpp"
#include "net/http_head.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Makes requests of the bytes of one connection, which come in pieces. Does no I/O: bytes are put into
/// space() and announced by filled(); advance() says how far that got. Strict where leniency would let two
/// readers of the same bytes see different requests. Confined to whoever owns the connection.
class RequestReader {
 public:
  struct Limits {
    std::size_t head_max = 16 * 1024;
    std::size_t path_max = 512;
  };
  enum class State {
    kNeedsHead,  ///< more bytes, please
    kHeadWhole,  ///< say by admit() how large the body may be
    kNeedsBody,  ///< more bytes, please
    kWhole,      ///< the request can be answered; then next()
    kRefused,    ///< see refusal(); nothing that follows on the connection can be trusted
  };
  struct Refusal {
    int status = 400;
    std::string message;
  };

  RequestReader(const Limits& limits, BodyBudget& budget) : limits_(limits), budget_(budget) {}
  ~RequestReader() { next(); }
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Where the next bytes go; never empty while more are needed.
  std::span<char> space();
  void filled(std::size_t bytes);
  State advance();
  State state() const noexcept { return state_; }
  /// Only in kHeadWhole.
  State admit(std::size_t body_max);
  /// Forgets the request (and gives back what its body took of the budget); bytes behind it are kept.
  void next();
  /// Forgets everything and frees the memory.
  void reset();

  /// Whether a byte of a next request is there.
  bool has_begun() const noexcept { return state_ != State::kNeedsHead || begin_ != end_; }
  /// Whether bytes wait that are not part of the request.
  bool has_more() const noexcept { return begin_ != end_; }

  /// From kHeadWhole on; the body only in kWhole.
  HttpRequest& request() noexcept { return request_; }
  bool keep_alive() const noexcept { return keep_alive_; }
  bool http_1_0() const noexcept { return http_1_0_; }
  bool expects_continue() const noexcept { return expects_continue_; }
  const Refusal& refusal() const noexcept { return refusal_; }

 private:
  std::string_view waiting() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
  State refuse(int status, std::string message);
  void read_head();
  void parse_head(std::string_view head);
  bool parse_request_line(std::string_view line);
  bool parse_target(std::string_view target);
  void parse_framing();
  void read_body();
  void read_counted_body();
  void read_chunked_body();
  bool grow_body(std::size_t size);

  const Limits& limits_;
  BodyBudget& budget_;
  State state_ = State::kNeedsHead;
  Refusal refusal_;

  std::string buffer_;  // what was received and is in no body: begin_ to end_
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  HeadScanner scanner_;

  HttpRequest request_;
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  bool expects_continue_ = false;
  bool chunked_ = false;
  std::uint64_t length_ = 0;  // by Content-Length
  std::size_t received_ = 0;  // of the body
  std::size_t body_max_ = 0;
  std::size_t charged_ = 0;  // what the body took of the budget
  ChunkedDecoder chunks_;
};

}  // namespace serverledge
