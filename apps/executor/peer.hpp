#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/file_descriptor.hpp"
#include "net/request_reader.hpp"
#include "serverledge/core/clock.hpp"

namespace serverledge {

/// One connection: requests one after the other, each answered before the next is read. Never blocks.
class Peer {
 public:
  enum class Next {
    kWait,  ///< for `events()`, until `deadline()`
    kCall,  ///< `request()` is whole: answer it, sooner or later; nothing happens until then
    kEnd,   ///< the connection is over
  };

  Peer(FileDescriptor socket, const RequestReader::Limits& limits, BodyBudget& budget, std::size_t body_max);

  int fd() const noexcept { return socket_.get(); }
  /// Reads and writes as far as that goes.
  Next go(TimePoint now);
  HttpRequest& request() noexcept { return reader_.request(); }
  /// Whether a request is being answered: `go` must not be called then.
  bool in_call() const noexcept { return in_call_; }
  /// Answers the request; `go` then sends it.
  void answer(int status, std::string_view body);
  /// Answers whatever may come, and ends the connection.
  void turn_away(int status, std::string_view message);

  /// EPOLLIN or EPOLLOUT, in kWait.
  std::uint32_t events() const noexcept;
  TimePoint deadline() const noexcept { return deadline_; }
  /// Its deadline has passed.
  Next time_out(TimePoint now);

 private:
  enum class Moved { kSome, kNothing, kEnd };
  Moved receive(TimePoint now);
  Moved send(TimePoint now);
  Moved discard();
  void refuse();

  FileDescriptor socket_;
  RequestReader reader_;
  std::size_t body_max_;
  std::string out_;
  std::size_t sent_ = 0;
  bool in_call_ = false;
  bool closing_ = false;    // after what is to be sent
  bool lingering_ = false;  // all is sent; reads on so that the peer gets the answer instead of a reset
  TimePoint deadline_ = TimePoint::max();
};

}  // namespace serverledge
