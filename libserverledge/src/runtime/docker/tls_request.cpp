#include "runtime/docker/tls_request.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <stop_token>
#include <utility>

#include "net/request_head.hpp"
#include "net/response_reader.hpp"
#include "net/socket.hpp"

namespace serverledge {
namespace {

constexpr auto kConnectingPatience = std::chrono::seconds(2);

Result<HttpResponse> receive(WebStream& stream, std::size_t most, const HttpBodySink& sink) {
  ResponseReader reader(false, most);
  auto state = ResponseReader::State::kNeedsMore;
  while (state == ResponseReader::State::kNeedsMore) {
    const Result<std::size_t> got = stream.receive(reader.space());
    if (!got) return Unexpected(got.error());
    state = *got == 0 ? reader.ended() : reader.filled(*got);
    std::string& body = reader.response().body;
    if (sink && !body.empty() && reader.response().status / 100 == 2) {
      sink(body);
      body.clear();
    }
  }
  if (state == ResponseReader::State::kFailed) return Unexpected(reader.error());
  return std::move(reader.response());
}

Result<HttpResponse> exchange(FileDescriptor socket, const HttpTarget& target, const TlsIdentity& identity,
                              const std::string& text, std::size_t most, TimePoint deadline,
                              const HttpBodySink& sink, Clock& clock) {
  auto stream = tls_stream(std::move(socket), target.host, identity, deadline, clock);
  if (!stream) return Unexpected(std::move(stream).error());
  if (Result<void> sent = (*stream)->send(text); !sent) return Unexpected(std::move(sent).error());
  Result<HttpResponse> answer = receive(**stream, most, sink);
  // All of it was sent.
  if (!answer && answer.error().code == ErrorCode::kUnavailable)
    answer.error().code = ErrorCode::kUnknownOutcome;
  return answer;
}

}  // namespace

Result<HttpResponse> tls_request(const HttpTarget& target, const TlsIdentity& identity,
                                 const HttpRequest& request, const HttpClientOptions& options,
                                 TimePoint deadline, const HttpBodySink& sink, Clock& clock) {
  if (Result<void> good = check_request(request); !good) return Unexpected(std::move(good).error());
  const TimePoint dialled = std::min(deadline, later(clock.now(), kConnectingPatience));
  Result<FileDescriptor> socket = connect_tcp(target.host, target.port, dialled, -1, clock);
  if (!socket) return Unexpected(std::move(socket).error());
  // A second descriptor, which stays ours: shutting it down ends every wait on the connection.
  const FileDescriptor handle(::fcntl(socket->get(), F_DUPFD_CLOEXEC, 0));
  const std::stop_callback hang_up(request.peer_gone, [&handle] { ::shutdown(handle.get(), SHUT_RDWR); });
  const std::string text = request_head(target, request, AfterAnswer::kClosed) + request.body;
  Result<HttpResponse> answer =
      exchange(std::move(*socket), target, identity, text, options.response_max, deadline, sink, clock);
  if (!answer && request.peer_gone.stop_requested())
    return Unexpected(ErrorCode::kCancelled, "given up by the caller");
  return answer;
}

}  // namespace serverledge
