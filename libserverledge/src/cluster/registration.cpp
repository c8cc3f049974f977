#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/cluster/stored_directory.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kBalancers = "__lb";
constexpr std::size_t kLongestName = 255;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int> port_of(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535)
    return std::nullopt;
  return port;
}

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == ':' || c == '-' || c == '_';
  });
}

bool is_architecture(std::string_view text) { return text == "amd64" || text == "arm64"; }

}  // namespace

bool is_registry_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name != kBalancers &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '/' && c != ';'; });
}

std::string registration_key(std::string_view area, std::string_view arch, std::string_view key,
                             bool balancer) {
  return balancer ? fmt::format("registry/{}/{}/{}/{}", area, kBalancers, arch, key)
                  : fmt::format("registry/{}/{}/{}", area, arch, key);
}

std::string registration_value(std::string_view host, int port, int udp_port, std::string_view arch) {
  return fmt::format("{};{};{};{}", host, port, udp_port, arch);
}

Result<ReadRegistration> read_registration(std::string_view area, std::string_view key,
                                           std::string_view value) {
  ReadRegistration read;
  auto path = split(key, '/');
  read.balancer = path.size() == 5 && path[2] == kBalancers;
  if (read.balancer) path.erase(path.begin() + 2);
  if (path.size() != 4 || path[0] != "registry" || path[1] != area || !is_architecture(path[2]) ||
      !is_registry_name(path[3])) {
    return Unexpected(ErrorCode::kInvalid, "its key is not registry/<area>/<architecture>/<node key>");
  }
  const auto fields = split(value, ';');
  const auto port = fields.size() == 4 ? port_of(fields[1]) : std::nullopt;
  const auto udp_port = fields.size() == 4 ? port_of(fields[2]) : std::nullopt;
  if (!port || !udp_port || !is_host(fields[0])) {
    return Unexpected(ErrorCode::kInvalid, "its value is not ip;apiPort;udpPort;arch");
  }
  read.registration.peer = {std::string(path[3]), std::string(area), std::string(fields[0]), *port,
                            std::string(path[2])};
  read.registration.udp_port = *udp_port;
  return read;
}

}  // namespace serverledge
