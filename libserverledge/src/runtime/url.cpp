#include "runtime/url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "net/socket.hpp"

namespace serverledge {
namespace {

Unexpected bad(std::string_view text, std::string_view why) {
  return {ErrorCode::kInvalid, fmt::format("\"{:.200}\" is not a URL that can be fetched: {}", text, why)};
}

int port_of(std::string_view scheme) {
  if (scheme == "http") return 80;
  return scheme == "https" ? 443 : 0;
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
  });
}

std::string_view without_fragment(std::string_view text) { return text.substr(0, text.find('#')); }

// The last segment of the base's path replaced by `relative`, dot segments removed (RFC 3986, 5.2.4).
std::string merge(const std::string& base, std::string_view relative) {
  const std::string_view path = std::string_view(base).substr(0, base.find('?'));
  std::string joined = relative.starts_with('/')
                           ? std::string(relative)
                           : std::string(path.substr(0, path.rfind('/') + 1)) + std::string(relative);
  const std::size_t query = joined.find('?');
  const std::string rest = query == std::string::npos ? "" : joined.substr(query);
  std::string_view input = std::string_view(joined).substr(0, query);
  std::string output;
  while (!input.empty()) {
    const std::string_view segment = input.substr(0, std::min(input.find('/', 1), input.size()));
    const bool last = segment.size() == input.size();
    input.remove_prefix(segment.size());
    if (segment == "/..") output.resize(output.empty() ? 0 : output.rfind('/'));
    if (segment != "/." && segment != "/..") {
      output += segment;
    } else if (last) {
      output += '/';
    }
  }
  return (output.empty() ? "/" : output) + rest;
}

}  // namespace

std::string Url::text() const {
  const std::string shown = host.find(':') == std::string::npos ? host : '[' + host + ']';
  return fmt::format("{}://{}{}", scheme, port == port_of(scheme) ? shown : host_and_port(host, port),
                     target);
}

Result<Url> parse_url(std::string_view text) {
  const std::size_t separator = text.find("://");
  if (separator == std::string_view::npos || separator == 0) return bad(text, "expected scheme://host/path");
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    return bad(text, "spaces and characters beyond ASCII must be percent-encoded");
  }
  Url url;
  url.scheme = text.substr(0, separator);
  std::transform(url.scheme.begin(), url.scheme.end(), url.scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view rest = without_fragment(text.substr(separator + 3));
  std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  url.target = rest.starts_with('/') ? std::string(rest) : '/' + std::string(rest);
  if (authority.find('@') != std::string_view::npos) return bad(text, "it holds a user name");
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return bad(text, "expected ] after the address");
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    url.host = authority.substr(0, authority.find(':'));
    port = authority.substr(url.host.size());
  }
  if (!is_host(url.host)) return bad(text, "it names no host");
  url.port = port_of(url.scheme);
  if (port.size() > 1) {
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), url.port);
    if (error != std::errc() || end != port.data() + port.size()) url.port = 0;
  }
  if ((!port.empty() && port.front() != ':') || url.port < (port.size() > 1 ? 1 : 0) || url.port > 65535)
    return bad(text, "it has no valid port");
  return url;
}

Result<Url> resolve_url(const Url& base, std::string_view location) {
  location = without_fragment(location);
  const std::size_t separator = location.find("://");
  if (separator != std::string_view::npos && location.find_first_of("/?") > separator)
    return parse_url(location);
  if (location.starts_with("//")) return parse_url(fmt::format("{}:{}", base.scheme, location));
  Url url = base;
  url.target = "/";
  const std::string path = base.target.substr(0, base.target.find('?'));
  const std::string target =
      location.starts_with('?') ? path + std::string(location) : merge(base.target, location);
  return parse_url(fmt::format("{}{}", url.text().substr(0, url.text().size() - 1), target));
}

}  // namespace serverledge
