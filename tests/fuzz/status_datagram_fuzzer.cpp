// Whatever comes as the status of a node is taken or refused without harm; what is taken can be told in one
// datagram, and coordinates stay finite.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "require.hpp"
#include "serverledge/cluster/vivaldi.hpp"
#include "serverledge/core/status_report.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace serverledge;
  const auto report = status_from_json({reinterpret_cast<const char*>(data), size});
  if (!report) return 0;
  REQUIRE(report->total.memory_mb >= 0 && report->total.millicores >= 0);
  REQUIRE(report->available.memory_mb >= 0 && report->available.millicores >= 0);
  REQUIRE(report->available.fits(report->total));
  const std::string datagram = to_datagram(*report);
  REQUIRE(datagram.size() <= 1024);
  const auto again = status_from_json(datagram);
  REQUIRE(again.has_value());
  REQUIRE(again->total == report->total && again->available == report->available);

  SeededRandom random(1);
  Vivaldi here(random);
  here.update(report->coordinates, std::chrono::milliseconds(5));
  for (const double component : here.coordinates().vec) REQUIRE(std::isfinite(component));
  (void)distance(here.coordinates(), report->coordinates);
  return 0;
}
