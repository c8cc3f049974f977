#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace serverledge::bench {

/// Reads HTTP/1.1 answers, one after the other, out of the bytes of a connection. Not thread-safe.
class ResponseReader {
 public:
  enum class State { kMore, kDone, kMalformed };

  /// Forgets the answer before; bytes after it stay, as the next answer's.
  void begin();
  /// Takes bytes that came, and says whether the answer is whole.
  State take(std::string_view bytes);
  /// The connection has ended: an answer without a length is whole then.
  State end();

  int status() const { return status_; }
  /// The bytes of the answer after its head, with the framing of chunks if there is any.
  std::string_view body() const;
  bool closes() const { return closes_; }  ///< no other answer will come on this connection

 private:
  enum class Framing { kLength, kChunks, kToEnd };
  State advance();
  bool read_head(std::string_view head);
  void read_header(std::string_view name, std::string_view value);
  State advance_chunks();

  std::string bytes_;
  std::size_t end_ = 0;   // of the whole answer, once it is known
  std::size_t body_ = 0;  // where the body begins; 0: the head is not whole yet
  std::size_t chunk_ = 0;
  std::size_t length_ = 0;
  Framing framing_ = Framing::kToEnd;
  int status_ = 0;
  bool closes_ = false;
};

}  // namespace serverledge::bench
