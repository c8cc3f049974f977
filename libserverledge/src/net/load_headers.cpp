#include "net/load_headers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace serverledge {
namespace {

std::optional<double> number(const HttpHeaders& headers, std::string_view name) {
  const std::string* text = headers.find(name);
  if (text == nullptr) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return std::clamp(value, 0.0, 1e9);
}

}  // namespace

std::optional<Resources> available_resources(const HttpHeaders& headers) {
  const auto memory = number(headers, "Serverledge-Free-Mem");
  const auto cores = number(headers, "Serverledge-Free-CPU");
  if (!memory || !cores) return std::nullopt;
  return Resources{static_cast<std::int64_t>(*memory), static_cast<std::int64_t>(*cores * 1000)};
}

}  // namespace serverledge
