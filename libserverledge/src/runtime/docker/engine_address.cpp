#include "runtime/docker/engine_address.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace serverledge {
namespace {

constexpr int kPlainPort = 2375;
constexpr int kTlsPort = 2376;

bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

Result<EngineAddress> tcp_address(std::string_view rest, std::string_view whole,
                                  const std::string& tls_folder) {
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view host = rest;
  int port = tls_folder.empty() ? kPlainPort : kTlsPort;
  const std::size_t bracket = rest.rfind(']');
  const std::size_t colon = rest.rfind(':');
  bool good = true;
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    host = rest.substr(0, colon);
    const std::string_view digits = rest.substr(colon + 1);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    good = failed == std::errc() && end == digits.data() + digits.size() && port > 0 && port <= 65535;
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  good = good && !host.empty() && host.find('/') == std::string_view::npos;
  if (!good) return Unexpected(ErrorCode::kInvalid, fmt::format("\"{:.200}\" has no host and port", whole));
  EngineAddress address{HttpTarget::tcp(std::string(host), port)};
  if (!tls_folder.empty())
    address.tls = TlsIdentity{tls_folder + "/ca.pem", tls_folder + "/cert.pem", tls_folder + "/key.pem"};
  return address;
}

}  // namespace

Result<EngineAddress> engine_address(std::string_view text, const std::string& tls_folder) {
  std::string_view rest = text;
  if (skip(rest, "unix://")) {
    if (rest.starts_with('/')) return EngineAddress{HttpTarget::unix_socket(std::string(rest))};
    return Unexpected(ErrorCode::kInvalid, fmt::format("\"{:.200}\" has no absolute path", text));
  }
  if (skip(rest, "tcp://")) return tcp_address(rest, text, tls_folder);
  if (tls_folder.empty() ? skip(rest, "http://") : skip(rest, "https://"))
    return tcp_address(rest, text, tls_folder);
  if (rest.starts_with("https://")) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("\"{:.200}\" needs certificates (container.docker.tls)", text));
  }
  return Unexpected(ErrorCode::kInvalid,
                    fmt::format("\"{:.200}\" is no address of an engine: expected unix:///path or "
                                "tcp://host:port (SSH is not spoken)",
                                text));
}

}  // namespace serverledge
