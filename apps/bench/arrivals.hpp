#pragma once

#include <cstdint>

#include "serverledge/core/clock.hpp"

namespace serverledge::bench {

/// How the calls of an open loop are spread over time.
enum class Spacing {
  kConstant,  ///< always the same time between two
  kPoisson,   ///< exponentially distributed times, as of many clients that know nothing of each other
};

/// The moments at which the calls of an open loop are due. They depend on nothing but these arguments: what
/// the server does, or the client fails to do, moves none of them. Not thread-safe.
class Arrivals {
 public:
  /// `rate`: calls per second, above 0. The first constant one is due at `begin`.
  Arrivals(Spacing spacing, double rate, TimePoint begin, std::uint64_t seed);

  TimePoint next() const { return next_; }  ///< when the next call is due
  void advance();                           ///< to the one after it

 private:
  void place();

  Spacing spacing_;
  double rate_;
  TimePoint begin_;
  TimePoint next_;
  SeededRandom random_;
  std::uint64_t count_ = 0;
  double elapsed_ = 0;  // seconds from begin_ to next_, if random
};

}  // namespace serverledge::bench
