#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::bench {

/// Something that is called, and how often in proportion to the others.
struct Target {
  std::string name;
  double weight = 1;
  std::string request;  ///< the bytes of the whole request
};

/// Reads `NAME` and `NAME:WEIGHT`; with `zipf` above 0, the n-th gets the weight 1/n^zipf instead. kInvalid
/// saying which is wrong and why.
Result<std::vector<Target>> parse_targets(const std::vector<std::string>& texts, double zipf);

/// Draws one of several targets, each as often as its weight says. Not thread-safe.
class Choice {
 public:
  Choice(const std::vector<Target>& targets, std::uint64_t seed);
  std::size_t next();

 private:
  std::vector<double> bounds_;  // of each target's part of [0, total)
  SeededRandom random_;
};

}  // namespace serverledge::bench
