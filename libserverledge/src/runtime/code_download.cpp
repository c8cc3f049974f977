#include "serverledge/runtime/code_download.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "net/response_reader.hpp"
#include "net/socket.hpp"
#include "runtime/url.hpp"
#include "runtime/web_stream.hpp"

namespace serverledge {
namespace {

// The address that was really connected to, whatever the name says.
bool is_link_local(int socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return true;
  if (peer.ss_family == AF_INET) {
    const auto* address = reinterpret_cast<const sockaddr_in*>(&peer);
    return (ntohl(address->sin_addr.s_addr) >> 16U) == 0xa9feU;
  }
  const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == 169 && address.s6_addr[13] == 254;
  return IN6_IS_ADDR_LINKLOCAL(&address);
}

Result<std::unique_ptr<WebStream>> connect(const Url& url, const CodeDownloadOptions& options,
                                           TimePoint deadline, Clock& clock) {
  Result<FileDescriptor> socket = connect_tcp(url.host, url.port, deadline, -1, clock);
  if (!socket) return Unexpected(std::move(socket).error());
  if (is_link_local(socket->get())) {
    return Unexpected(ErrorCode::kInvalid, "addresses of the local link are not allowed");
  }
  if (url.scheme == "https")
    return tls_stream(std::move(*socket), url.host, {.ca_file = options.ca_file}, deadline, clock);
  return plain_stream(std::move(*socket), deadline, clock);
}

Result<HttpResponse> get(const Url& url, const CodeDownloadOptions& options, TimePoint deadline,
                         Clock& clock) {
  Result<std::unique_ptr<WebStream>> stream = connect(url, options, deadline, clock);
  if (!stream) return Unexpected(std::move(stream).error());
  const std::string text = url.text();
  const std::size_t begin = url.scheme.size() + 3;
  const std::string host = text.substr(begin, text.size() - begin - url.target.size());
  const std::string head = fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: serverledge\r\nAccept: */*\r\nConnection: close\r\n\r\n",
      url.target, host);
  if (Result<void> sent = (*stream)->send(head); !sent) return Unexpected(std::move(sent).error());
  ResponseReader reader(false, options.size_max);
  auto state = ResponseReader::State::kNeedsMore;
  while (state == ResponseReader::State::kNeedsMore) {
    const Result<std::size_t> got = (*stream)->receive(reader.space());
    if (!got) return Unexpected(got.error());
    state = *got == 0 ? reader.ended() : reader.filled(*got);
  }
  if (state == ResponseReader::State::kWhole) return std::move(reader.response());
  Error error = reader.error();
  if (error.code == ErrorCode::kUnknownOutcome) error.code = ErrorCode::kUnavailable;
  return Unexpected(std::move(error));
}

// Where an answer sends us on to; nullopt if it does not.
std::optional<std::string> redirected(const HttpResponse& response) {
  const int status = response.status;
  const bool moved = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  const std::string* location = moved ? response.headers.find("Location") : nullptr;
  return location == nullptr ? std::nullopt : std::optional(*location);
}

Result<void> check_scheme(const Url& url, const std::vector<std::string>& allowed) {
  const bool known = url.scheme == "http" || url.scheme == "https";
  if (known && std::find(allowed.begin(), allowed.end(), url.scheme) != allowed.end()) return {};
  return Unexpected(ErrorCode::kInvalid,
                    allowed.empty() ? "code from URLs is not allowed here (code.url.schemes)"
                                    : fmt::format("the scheme {} is not allowed, only {} (code.url.schemes)",
                                                  url.scheme, fmt::join(allowed, ", ")));
}

Unexpected about(const std::string& url, Error error) {
  error.message = fmt::format("cannot fetch {:.200}: {}", url, error.message);
  return Unexpected(std::move(error));
}

}  // namespace

Result<std::string> download_code(const std::string& url, const CodeDownloadOptions& options, Clock& clock) {
  const TimePoint deadline = later(clock.now(), options.timeout);
  Result<Url> at = parse_url(url);
  if (!at) return Unexpected(std::move(at).error());
  for (int redirects = 0;; ++redirects) {
    if (Result<void> allowed = check_scheme(*at, options.schemes); !allowed)
      return about(at->text(), allowed.error());
    Result<HttpResponse> response = get(*at, options, deadline, clock);
    if (!response) return about(at->text(), response.error());
    if (response->status == 200) return std::move(response->body);
    const std::optional<std::string> location = redirected(*response);
    if (!location) {
      return about(at->text(),
                   {ErrorCode::kInvalid, fmt::format("the server answered {}", response->status), {}});
    }
    Result<Url> next = resolve_url(*at, *location);
    if (!next) return about(at->text(), next.error());
    if (redirects == options.redirects_max) {
      return about(at->text(), {ErrorCode::kInvalid, fmt::format("more than {} redirects", redirects), {}});
    }
    if (at->scheme == "https" && next->scheme != "https") {
      return about(at->text(), {ErrorCode::kInvalid, "it redirects from https to " + next->scheme, {}});
    }
    at = std::move(next);
  }
}

}  // namespace serverledge
