#pragma once

#include "runtime/web_stream.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// Makes one request by TLS, on a connection of its own. Failures, and `sink`, are those of HttpClient; and
/// kInvalid if the server, or we, do not prove to be who we should.
Result<HttpResponse> tls_request(const HttpTarget& target, const TlsIdentity& identity,
                                 const HttpRequest& request, const HttpClientOptions& options,
                                 TimePoint deadline, const HttpBodySink& sink, Clock& clock);

}  // namespace serverledge
