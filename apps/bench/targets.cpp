#include "targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace serverledge::bench {
namespace {

// Whatever else a name may be is for the node to say; these would make another request of it.
bool is_name(const std::string& text) {
  return !text.empty() && text.find_first_of(" \t\r\n/?#%:") == std::string::npos;
}

Unexpected wrong(const std::string& text, std::string_view why) {
  return Unexpected(ErrorCode::kInvalid, fmt::format("--function {}: {}", text, why));
}

}  // namespace

Result<std::vector<Target>> parse_targets(const std::vector<std::string>& texts, double zipf) {
  std::vector<Target> targets;
  std::set<std::string> names;
  for (const auto& text : texts) {
    const auto colon = text.find(':');
    Target target;
    target.name = text.substr(0, colon);
    if (!is_name(target.name)) return wrong(text, "expected NAME or NAME:WEIGHT");
    if (!names.insert(target.name).second) return wrong(text, "is named twice; give it a weight instead");
    if (colon != std::string::npos) {
      const char* end = text.data() + text.size();
      const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, target.weight);
      if (error != std::errc() || rest != end || !std::isfinite(target.weight) || target.weight <= 0) {
        return wrong(text, "its weight must be a number above 0");
      }
      if (zipf > 0) return wrong(text, "--zipf gives the weights");
    }
    if (zipf > 0) target.weight = std::pow(static_cast<double>(targets.size() + 1), -zipf);
    targets.push_back(std::move(target));
  }
  return targets;
}

Choice::Choice(const std::vector<Target>& targets, std::uint64_t seed) : random_(seed) {
  double total = 0;
  for (const auto& target : targets) bounds_.push_back(total += target.weight);
}

std::size_t Choice::next() {
  if (bounds_.size() == 1) return 0;
  const double drawn = random_.uniform() * bounds_.back();
  const auto found = std::upper_bound(bounds_.begin(), bounds_.end(), drawn);
  return std::min(static_cast<std::size_t>(found - bounds_.begin()), bounds_.size() - 1);
}

}  // namespace serverledge::bench
