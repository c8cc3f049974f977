#include "serverledge/core/status_report.hpp"

#include <catch2/catch.hpp>

namespace serverledge {
namespace {

// As captured from a Go node.
constexpr const char* kFromGo =
    R"({"AvailableWarmContainers":{"inc":1},"TotalMemory":2048,"AvailableMemory":1948,"FreeMemory":1920,"TotalCPU":2,)"
    R"("UsedCPU":0.5,"Coordinates":{"Vec":[-0.00017037946561881284,-0.000021460608218713703,-0.0001585081510186937],)"
    R"("Error":0.7457407776390773,"Adjustment":0.00005404197487843567,"Height":0.00005058490735985055},)"
    R"("LoadAvg":null,"LastUpdateTime":0})";

StatusReport example() {
  StatusReport report;
  report.warm_containers = {{"a", 0}, {"b", 2}, {"c", 1}};
  report.total = {2048, 2000};
  report.available = {1920, 1500};
  report.free_memory = 1192;
  return report;
}

TEST_CASE("The status is written as the contract has it", "[status]") {
  StatusReport report = example();
  report.load_average = {{0.6, 0.97, 1.61}};
  report.last_update = 1795421144;
  CHECK(
      to_json(report) ==
      R"({"AvailableWarmContainers":{"a":0,"b":2,"c":1},"TotalMemory":2048,"AvailableMemory":1920,"FreeMemory":1192,)"
      R"("TotalCPU":2,"UsedCPU":0.5,"Coordinates":{"Vec":[0,0,0],"Error":1.5,"Height":0.00001},)"
      R"("LoadAvg":[0.6,0.97,1.61],"LastUpdateTime":1795421144})");
}

TEST_CASE("A datagram tells no load average and no time, and no function without idle containers",
          "[status]") {
  StatusReport report = example();
  report.load_average = {{0.6, 0.97, 1.61}};
  report.last_update = 1795421144;
  CHECK(
      to_datagram(report) ==
      R"({"AvailableWarmContainers":{"b":2,"c":1},"TotalMemory":2048,"AvailableMemory":1920,"FreeMemory":1192,)"
      R"("TotalCPU":2,"UsedCPU":0.5,"Coordinates":{"Vec":[0,0,0],"Error":1.5,"Height":0.00001},)"
      R"("LoadAvg":null,"LastUpdateTime":0})");
}

TEST_CASE("The answer of a Go node is understood", "[status]") {
  const auto report = status_from_json(kFromGo);
  REQUIRE(report);
  CHECK(report->warm_containers == WarmContainers{{"inc", 1}});
  CHECK(report->total == Resources{2048, 2000});
  CHECK(report->available == Resources{1948, 1500});
  CHECK(report->free_memory == 1920);
  CHECK(report->coordinates.vec[2] == -0.0001585081510186937);
  CHECK(report->coordinates.error == 0.7457407776390773);
  CHECK(report->coordinates.height == 0.00005058490735985055);
}

TEST_CASE("A datagram of a node with many functions stays within 1024 bytes, and keeps the most useful",
          "[status]") {
  StatusReport report = example();
  report.warm_containers.clear();
  for (int i = 100; i < 160; ++i) {
    report.warm_containers.emplace_back("a_function_of_20_chars" + std::to_string(i), i == 150 ? 7 : 1);
  }
  const std::string datagram = to_datagram(report);
  CHECK(datagram.size() <= 1024);
  CHECK(datagram.size() > 950);
  const auto read = status_from_json(datagram);
  REQUIRE(read);
  CHECK(read->total == report.total);
  CHECK(read->warm_containers.size() > 10);
  CHECK(
      std::ranges::find(read->warm_containers, std::pair<std::string, int>("a_function_of_20_chars150", 7)) !=
      read->warm_containers.end());
}

TEST_CASE("What no node says of itself is refused or clamped", "[status]") {
  for (const char* text : {"", "A", "[]", "{}", "null", R"({"TotalMemory":1)", R"("TotalMemory")"}) {
    CHECK_FALSE(status_from_json(text));
  }
  const auto report = status_from_json(
      R"({"TotalMemory":9223372036854775807,"AvailableMemory":-5,"TotalCPU":-1e308,"UsedCPU":"many",)"
      R"("Coordinates":{"Vec":[1],"Error":"x"},"AvailableWarmContainers":{"f":-3,"g":1e3,"h":99999999999}})");
  REQUIRE(report);
  CHECK(report->total.memory_mb > 0);
  CHECK(report->available == Resources{});
  CHECK(report->coordinates.vec == std::array<double, 3>{});
  CHECK(report->warm_containers == WarmContainers{{"h", 1'000'000}});
  // More than there is cannot be available.
  CHECK(status_from_json(R"({"TotalMemory":10,"AvailableMemory":5000})")->available.memory_mb == 10);
}

}  // namespace
}  // namespace serverledge
