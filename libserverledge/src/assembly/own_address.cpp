#include "assembly/own_address.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "serverledge/cluster/stored_directory.hpp"
#include "serverledge/net/route.hpp"

namespace serverledge {
namespace {

/// The host of the first of the store's endpoints ("http://host:port", "[::1]:2379", ...).
std::string host_of_first(std::string endpoints) {
  endpoints.resize(std::min(endpoints.find(','), endpoints.size()));
  if (const std::size_t scheme = endpoints.find("://"); scheme != std::string::npos)
    endpoints.erase(0, scheme + 3);
  if (endpoints.starts_with('[')) return endpoints.substr(1, endpoints.find(']') - 1);
  return endpoints.substr(0, endpoints.rfind(':'));
}

}  // namespace

OwnAddress::OwnAddress(const Configuration& configuration)
    : given_(configuration.text("api.ip")), towards_(host_of_first(configuration.text("etcd.address"))) {}

Result<std::string> OwnAddress::get() const { return given_.empty() ? address_towards(towards_) : given_; }

std::vector<std::string> OwnAddress::notices(const std::string& who, const std::string& use) const {
  const Result<std::string> own = get();
  if (!own) {
    return {fmt::format("{} does not register before it knows its own address (api.ip): {}", who,
                        own.error().message)};
  }
  if (is_loopback(*own)) return {fmt::format("{} registers as {}: {} (api.ip)", who, *own, use)};
  return {};
}

Result<void> check_registry_name(const char* key, const std::string& name) {
  if (is_registry_name(name)) return {};
  return Unexpected(
      ErrorCode::kInvalid,
      fmt::format("{}: '{}' cannot be registered; use letters and digits, at most 255", key, name));
}

}  // namespace serverledge
