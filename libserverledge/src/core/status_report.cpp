#include "serverledge/core/status_report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::int64_t kMostMemory = std::int64_t{1} << 40;  // MB; beyond it sums could overflow
constexpr double kMostCores = 1e6;

void append_coordinates(JsonWriter& json, const Coordinates& at) {
  json.begin_object().key("Vec").begin_array();
  for (const double component : at.vec) json.number(component);
  json.end_array();
  // The contract leaves out what is zero.
  if (at.error != 0) json.key("Error").number(at.error);
  if (at.adjustment != 0) json.key("Adjustment").number(at.adjustment);
  if (at.height != 0) json.key("Height").number(at.height);
  json.end_object();
}

/// Everything but the functions, as the members that follow theirs.
void append_rest(JsonWriter& json, const StatusReport& report) {
  json.key("TotalMemory").integer(report.total.memory_mb);
  json.key("AvailableMemory").integer(report.available.memory_mb);
  json.key("FreeMemory").integer(report.free_memory);
  json.key("TotalCPU").number(report.total.cores());
  json.key("UsedCPU").number((report.total - report.available).cores());
  json.key("Coordinates");
  append_coordinates(json, report.coordinates);
  json.key("LoadAvg");
  if (report.load_average) {
    json.begin_array();
    for (const double load : *report.load_average) json.number(load);
    json.end_array();
  } else {
    json.null();
  }
  json.key("LastUpdateTime").integer(report.last_update);
}

std::int64_t memory(const JsonValue& object, std::string_view key) {
  const auto member = object.find_any_case(key);
  return std::clamp<std::int64_t>(member ? member->as_int().value_or(0) : 0, 0, kMostMemory);
}

double number(const JsonValue& object, std::string_view key) {
  const auto member = object.find_any_case(key);
  const double value = member ? member->as_double().value_or(0) : 0;
  return std::isfinite(value) ? value : 0;
}

std::int64_t millicores(double cores) {
  return static_cast<std::int64_t>(std::lround(std::clamp(cores, 0.0, kMostCores) * 1000));
}

Coordinates coordinates_of(const JsonValue& status) {
  Coordinates at;
  const auto member = status.find_any_case("Coordinates");
  if (!member || !member->is_object()) return at;
  at.error = number(*member, "Error");
  at.adjustment = number(*member, "Adjustment");
  at.height = number(*member, "Height");
  const auto vec = member->find_any_case("Vec");
  if (!vec || !vec->is_array() || vec->size() != at.vec.size()) return at;
  for (std::size_t i = 0; i < at.vec.size(); ++i) at.vec[i] = vec->at(i).as_double().value_or(0);
  return at;
}

WarmContainers warm_of(const JsonValue& status) {
  WarmContainers warm;
  const auto member = status.find_any_case("AvailableWarmContainers");
  if (!member || !member->is_object()) return warm;
  warm.reserve(member->size());
  for (std::size_t i = 0; i < member->size(); ++i) {
    const std::int64_t count = member->at(i).as_int().value_or(0);
    if (count > 0) {
      warm.emplace_back(member->key(i), static_cast<int>(std::min<std::int64_t>(count, 1'000'000)));
    }
  }
  std::sort(warm.begin(), warm.end());
  return warm;
}

}  // namespace

std::string to_json(const StatusReport& report) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("AvailableWarmContainers").begin_object();
  for (const auto& [function, warm] : report.warm_containers) json.key(function).integer(warm);
  json.end_object();
  append_rest(json, report);
  json.end_object();
  return body;
}

std::string to_datagram(const StatusReport& report, std::size_t most) {
  StatusReport shrunk = report;
  shrunk.load_average.reset();
  shrunk.last_update = 0;
  shrunk.warm_containers.clear();
  std::size_t size = to_json(shrunk).size();
  std::vector<const WarmContainers::value_type*> idle;
  for (const auto& entry : report.warm_containers) {
    if (entry.second > 0) idle.push_back(&entry);
  }
  std::stable_sort(idle.begin(), idle.end(),
                   [](const auto* a, const auto* b) { return a->second > b->second; });
  std::string name;
  for (const auto* entry : idle) {
    name.clear();
    append_json_string(name, entry->first);
    const std::size_t more = name.size() + 2 + std::to_string(entry->second).size();  // with colon and comma
    if (size + more > most) continue;
    size += more;
    shrunk.warm_containers.push_back(*entry);
  }
  std::sort(shrunk.warm_containers.begin(), shrunk.warm_containers.end());
  return to_json(shrunk);
}

Result<StatusReport> status_from_json(std::string_view json) {
  const Result<JsonDocument> document = JsonDocument::parse(json);
  if (!document) return Unexpected(document.error());
  const JsonValue root = document->root();
  if (!root.is_object() || !root.find_any_case("TotalMemory")) {
    return Unexpected(ErrorCode::kInvalid, "not the status of a node: it has no TotalMemory");
  }
  StatusReport report;
  report.warm_containers = warm_of(root);
  report.total = {memory(root, "TotalMemory"), millicores(number(root, "TotalCPU"))};
  report.available.memory_mb = std::min(memory(root, "AvailableMemory"), report.total.memory_mb);
  report.available.millicores =
      std::max<std::int64_t>(0, report.total.millicores - millicores(number(root, "UsedCPU")));
  report.free_memory = memory(root, "FreeMemory");
  report.coordinates = coordinates_of(root);
  return report;
}

}  // namespace serverledge
