#include "runtime/docker/container_network.hpp"

#include <fmt/format.h>

#include "net/percent.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {

std::string network_name(const std::string& node_id) { return "serverledge-" + node_id; }

ContainerNetwork::ContainerNetwork(Engine& engine, AddressRanges& ranges)
    : engine_(engine),
      ranges_(ranges),
      own_(engine.options.network == "bridge" || engine.options.network == "internal"),
      internal_(engine.options.network == "internal"),
      name_(own_ ? network_name(engine.node_id) : engine.options.network) {}

Result<void> ContainerNetwork::open(TimePoint deadline) {
  const Result<bool> good = read(deadline);
  if (good && *good) return {};
  if (good) {  // an earlier life's, with other settings
    remove(std::chrono::seconds(5));
  } else if (good.error().code != ErrorCode::kNotFound || !own_) {
    return Unexpected(good.error());
  }
  if (Result<void> made = make(deadline); !made) return made;
  const Result<bool> now = read(deadline);
  if (!now) return Unexpected(now.error());
  return {};
}

Result<bool> ContainerNetwork::read(TimePoint deadline) {
  const Result<HttpResponse> answer = engine_.client.request(
      {.path = "/networks/" + percent_encoded(name_), .query = {}, .body = {}}, deadline);
  if (!answer) return Unexpected(answer.error());
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  if (!document) {
    return Unexpected(ErrorCode::kUnavailable,
                      "the container engine's answer about a network cannot be read");
  }
  const auto internal = document->root().find("Internal");
  if (own_ && (internal && internal->as_bool().value_or(false)) != internal_) return false;
  const auto ipam = document->root().find("IPAM");
  const auto configs = ipam ? ipam->find("Config") : std::nullopt;
  for (std::size_t i = 0; configs && i < configs->size(); ++i) {
    const auto subnet = configs->at(i).find("Subnet");
    if (!subnet) continue;
    const Result<void> added = ranges_.add(subnet->as_string().value_or(""));
    if (!added) return Unexpected(added.error());
  }
  return true;
}

Result<void> ContainerNetwork::make(TimePoint deadline) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("Name").string(name_).key("Driver").string("bridge");
  json.key("CheckDuplicate").boolean(true).key("Internal").boolean(internal_);
  json.key("Options").begin_object();
  json.key("com.docker.network.bridge.enable_icc").string("false").end_object();
  json.key("Labels").begin_object();
  engine_.add_labels(json);
  json.end_object().end_object();
  const Result<HttpResponse> made = engine_.client.request(
      {.method = "POST", .path = "/networks/create", .query = {}, .body = std::move(body)}, deadline);
  if (made || made.error().code == ErrorCode::kExists) return {};
  return Unexpected(made.error().code,
                    fmt::format("the network of the containers cannot be made: {}", made.error().message),
                    made.error().detail);
}

void ContainerNetwork::remove(Duration patience) noexcept {
  if (!own_) return;
  const Result<HttpResponse> gone = engine_.client.request({.method = "DELETE",
                                                            .path = "/networks/" + percent_encoded(name_),
                                                            .query = {},
                                                            .body = {},
                                                            .patience = patience,
                                                            .cleaning = true},
                                                           TimePoint::max());
  if (gone || gone.error().code == ErrorCode::kNotFound) return;
  engine_.observer.log(LogLevel::kWarning, "a network could not be removed",
                       {{"network", name_}, {"error", gone.error().message}});
}

}  // namespace serverledge
