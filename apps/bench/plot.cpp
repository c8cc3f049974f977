#include "plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "serverledge/core/json.hpp"

namespace serverledge::bench {
namespace {

constexpr double kWidth = 900;
constexpr double kHeight = 540;
constexpr double kLeft = 90;
constexpr double kRight = 30;
constexpr double kTop = 70;
constexpr double kBottom = 70;

// Text that may stand between tags: also without what XML cannot hold at all.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char byte : to_utf8(std::string(text))) {
    switch (byte) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += static_cast<unsigned char>(byte) < 0x20 ? ' ' : byte;
    }
  }
  return out;
}

// How far right a share of all stands: as many units as its distance from 100 % has nines.
double nines(double share) { return -std::log10(1 - share); }

struct Scale {
  double nines_max = 1;    // right end
  double decade_min = -3;  // bottom, as the logarithm of milliseconds
  double decade_max = 0;   // top

  double x(double at_nines) const {
    return kLeft + std::min(at_nines / nines_max, 1.0) * (kWidth - kLeft - kRight);
  }
  double y(double milliseconds) const {
    const double part = (std::log10(milliseconds) - decade_min) / (decade_max - decade_min);
    return kHeight - kBottom - std::clamp(part, 0.0, 1.0) * (kHeight - kTop - kBottom);
  }
};

double in_milliseconds(std::uint64_t nanoseconds) {
  return static_cast<double>(std::max<std::uint64_t>(nanoseconds, 1)) / 1e6;
}

// Room for every value, and for the last one of all.
Scale scale_of(const Histogram& latency) {
  Scale scale;
  scale.nines_max =
      std::max(1.0, std::log10(2.0 * static_cast<double>(std::max<std::uint64_t>(latency.count(), 1))));
  scale.decade_min = std::floor(std::log10(in_milliseconds(latency.minimum())));
  scale.decade_max =
      std::max(std::ceil(std::log10(in_milliseconds(latency.maximum()))), scale.decade_min + 1);
  return scale;
}

void add_line(std::string& svg, double x1, double y1, double x2, double y2, const char* style) {
  svg += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1,
                     x2, y2, style);
}

void add_text(std::string& svg, double x, double y, const char* anchor, std::string_view text) {
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}

void add_percentile_axis(std::string& svg, const Scale& scale) {
  for (const double percent : {0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999}) {
    const double at = nines(percent / 100);
    if (at > scale.nines_max) break;
    add_line(svg, scale.x(at), kTop, scale.x(at), kHeight - kBottom, "grid");
    add_text(svg, scale.x(at), kHeight - kBottom + 20, "middle", fmt::format("{}%", percent));
  }
  add_text(svg, (kLeft + kWidth - kRight) / 2, kHeight - 18, "middle",
           "percentile: share of calls that took at most this long");
}

void add_latency_axis(std::string& svg, const Scale& scale) {
  for (double decade = scale.decade_min; decade <= scale.decade_max; ++decade) {
    const double value = std::pow(10.0, decade);
    add_line(svg, kLeft, scale.y(value), kWidth - kRight, scale.y(value), "grid");
    add_text(svg, kLeft - 8, scale.y(value) + 4, "end", fmt::format("{:g} ms", value));
    for (int times = 2; times <= 9 && decade < scale.decade_max; ++times) {
      const double y = scale.y(value * times);
      add_line(svg, kLeft, y, kWidth - kRight, y, "fine");
    }
  }
  svg += fmt::format(
      "<text transform=\"translate(20 {:.1f}) rotate(-90)\" text-anchor=\"middle\">latency "
      "(logarithmic)</text>\n",
      (kTop + kHeight - kBottom) / 2);
}

// A step for each value: it holds up to the share of calls that it covers.
void add_curve(std::string& svg, const Scale& scale, const Histogram& latency, const char* style) {
  const auto count = static_cast<double>(latency.count());
  double x = kLeft;
  std::string points;
  for (const auto& step : latency.steps()) {
    const double y = scale.y(in_milliseconds(step.value));
    points += fmt::format("{:.1f},{:.1f} ", x, y);
    const bool last = step.count == latency.count();
    x = scale.x(last ? std::log10(2 * count) : nines(static_cast<double>(step.count) / count));
    points += fmt::format("{:.1f},{:.1f} ", x, y);
  }
  if (!points.empty()) points.pop_back();
  svg += fmt::format("<polyline points=\"{}\" class=\"{}\"/>\n", points, style);
}

void add_legend(std::string& svg, double x, const char* style, const std::string& text) {
  add_line(svg, x, kTop - 16, x + 24, kTop - 16, style);
  add_text(svg, x + 30, kTop - 12, "start", text);
}

}  // namespace

std::string latency_plot(std::string_view title, const Outcome& outcome) {
  std::string svg = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "role=\"img\">\n",
      kWidth, kHeight);
  svg += fmt::format("<title>{}</title>\n", escaped(title));
  svg +=
      "<style>text{font:13px sans-serif;fill:#222} line,polyline{fill:none} .grid{stroke:#bbb} "
      ".fine{stroke:#eee} .all{stroke:#0b62a4;stroke-width:2} .cold{stroke:#c4481b;stroke-width:2;"
      "stroke-dasharray:6 3}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  add_text(svg, kLeft, 28, "start", title);
  if (outcome.latency.count() == 0) {
    add_text(svg, kWidth / 2, kHeight / 2, "middle", "no call succeeded");
    return svg + "</svg>\n";
  }
  const Scale scale = scale_of(outcome.latency);
  add_latency_axis(svg, scale);
  add_percentile_axis(svg, scale);
  add_curve(svg, scale, outcome.latency, "all");
  add_legend(svg, kLeft, "all",
             fmt::format("all {} successes, max {:.3f} ms", outcome.latency.count(),
                         in_milliseconds(outcome.latency.maximum())));
  if (outcome.cold > 0 && outcome.warm > 0) {
    add_curve(svg, scale, outcome.cold_latency, "cold");
    add_legend(svg, kWidth / 2, "cold", fmt::format("the {} cold starts of them", outcome.cold));
  }
  return svg + "</svg>\n";
}

}  // namespace serverledge::bench
