#include "arrivals.hpp"

#include <cmath>

namespace serverledge::bench {

Arrivals::Arrivals(Spacing spacing, double rate, TimePoint begin, std::uint64_t seed)
    : spacing_(spacing), rate_(rate), begin_(begin), next_(begin), random_(seed) {
  place();
}

void Arrivals::advance() {
  ++count_;
  place();
}

// Each constant one is reckoned from the beginning, so that errors of rounding do not add up.
void Arrivals::place() {
  if (spacing_ == Spacing::kPoisson) elapsed_ += -std::log1p(-random_.uniform()) / rate_;
  const double after = spacing_ == Spacing::kPoisson ? elapsed_ : static_cast<double>(count_) / rate_;
  next_ = later(begin_, from_seconds(after));
}

}  // namespace serverledge::bench
