#include "runtime/web_stream.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>

#include "net/socket.hpp"

namespace serverledge {
namespace {

class PlainStream final : public WebStream {
 public:
  PlainStream(FileDescriptor socket, TimePoint deadline, Clock& clock)
      : socket_(std::move(socket)), deadline_(deadline), clock_(clock) {}

  Result<void> send(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (Result<void> waited = blocked(POLLOUT); !waited) {
        return waited;
      }
    }
    return {};
  }

  Result<std::size_t> receive(std::span<char> into) override {
    while (true) {
      const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), MSG_DONTWAIT);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (Result<void> waited = blocked(POLLIN); !waited) return Unexpected(std::move(waited).error());
    }
  }

 private:
  // After a call that failed: waits if it would only have blocked.
  Result<void> blocked(short events) {
    if (errno == EINTR) return {};
    if (errno != EAGAIN) {
      return Unexpected(ErrorCode::kUnavailable,
                        fmt::format("the connection broke: {}", std::generic_category().message(errno)));
    }
    pollfd watched{socket_.get(), events, 0};
    while (true) {
      const TimePoint now = clock_.now();
      if (now >= deadline_) return Unexpected(ErrorCode::kDeadline, "no answer in time");
      if (::poll(&watched, 1, poll_milliseconds(deadline_, now)) > 0) return {};
    }
  }

  FileDescriptor socket_;
  TimePoint deadline_;
  Clock& clock_;
};

struct FreeContext {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL* session) const { ::SSL_free(session); }
};

std::string tls_error() {
  std::array<char, 256> text{};
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "the connection was closed";
  ::ERR_error_string_n(code, text.data(), text.size());
  const char* reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : text.data();
}

// TLS between two memory buffers: what it wants to send or have received goes over the plain stream, so that
// the deadline holds and no signal is raised.
class TlsStream final : public WebStream {
 public:
  TlsStream(std::unique_ptr<WebStream> plain, std::unique_ptr<SSL_CTX, FreeContext> context)
      : plain_(std::move(plain)), context_(std::move(context)), session_(::SSL_new(context_.get())) {
    ::SSL_set_bio(session_.get(), ::BIO_new(::BIO_s_mem()), ::BIO_new(::BIO_s_mem()));
  }

  Result<void> handshake(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    SSL* session = session_.get();
    const int named = is_address ? ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session), host.c_str())
                                 : ::SSL_set1_host(session, host.c_str());
    if (named != 1 || (!is_address && ::SSL_set_tlsext_host_name(session, host.c_str()) != 1)) {
      return Unexpected(ErrorCode::kInvalid, "a host that TLS cannot name");
    }
    const Result<int> done = run([session] { return ::SSL_connect(session); });
    if (done) return {};
    if (const long verified = ::SSL_get_verify_result(session); verified != X509_V_OK) {
      return Unexpected(ErrorCode::kInvalid, fmt::format("the certificate of {} is not valid: {}", host,
                                                         ::X509_verify_cert_error_string(verified)));
    }
    return Unexpected(done.error());
  }

  Result<void> send(std::string_view bytes) override {
    const Result<int> sent =
        run([&] { return ::SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size())); });
    return sent ? Result<void>() : Result<void>(Unexpected(sent.error()));
  }

  Result<std::size_t> receive(std::span<char> into) override {
    const Result<int> got =
        run([&] { return ::SSL_read(session_.get(), into.data(), static_cast<int>(into.size())); });
    if (!got) return Unexpected(got.error());
    return static_cast<std::size_t>(*got);
  }

 private:
  // Repeats an operation of the session until it is done: its value, 0 at the proper end.
  Result<int> run(const std::function<int()>& operation) {
    while (true) {
      const int value = operation();
      const int state = ::SSL_get_error(session_.get(), value);
      if (Result<void> flushed = flush(); !flushed) return Unexpected(std::move(flushed).error());
      if (value > 0) return value;
      if (state == SSL_ERROR_ZERO_RETURN) return 0;
      if (state != SSL_ERROR_WANT_READ) return Unexpected(ErrorCode::kUnavailable, "TLS: " + tls_error());
      if (Result<void> filled = fill(); !filled) return Unexpected(std::move(filled).error());
    }
  }

  Result<void> flush() {
    BIO* out = ::SSL_get_wbio(session_.get());
    while (::BIO_ctrl_pending(out) > 0) {
      const int size = ::BIO_read(out, buffer_.data(), static_cast<int>(buffer_.size()));
      if (size <= 0) break;
      if (Result<void> sent = plain_->send({buffer_.data(), static_cast<std::size_t>(size)}); !sent)
        return sent;
    }
    return {};
  }

  Result<void> fill() {
    const Result<std::size_t> got = plain_->receive(buffer_);
    if (!got) return Unexpected(got.error());
    // An end without the closing word may have been made by someone on the way.
    if (*got == 0) return Unexpected(ErrorCode::kUnavailable, "TLS: the connection was cut");
    ::BIO_write(::SSL_get_rbio(session_.get()), buffer_.data(), static_cast<int>(*got));
    return {};
  }

  std::unique_ptr<WebStream> plain_;
  std::unique_ptr<SSL_CTX, FreeContext> context_;
  std::unique_ptr<SSL, FreeSession> session_;
  std::array<char, 16384> buffer_{};
};

bool trust(SSL_CTX* context, const std::string& ca_file) {
  return (ca_file.empty() ? ::SSL_CTX_set_default_verify_paths(context)
                          : ::SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr)) == 1;
}

bool show(SSL_CTX* context, const TlsIdentity& identity) {
  return ::SSL_CTX_use_certificate_chain_file(context, identity.certificate_file.c_str()) == 1 &&
         ::SSL_CTX_use_PrivateKey_file(context, identity.key_file.c_str(), SSL_FILETYPE_PEM) == 1 &&
         ::SSL_CTX_check_private_key(context) == 1;
}

}  // namespace

std::unique_ptr<WebStream> plain_stream(FileDescriptor socket, TimePoint deadline, Clock& clock) {
  return std::make_unique<PlainStream>(std::move(socket), deadline, clock);
}

Result<std::unique_ptr<WebStream>> tls_stream(FileDescriptor socket, const std::string& host,
                                              const TlsIdentity& identity, TimePoint deadline, Clock& clock) {
  std::unique_ptr<SSL_CTX, FreeContext> context(::SSL_CTX_new(::TLS_client_method()));
  if (!context || ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1) {
    return Unexpected(ErrorCode::kInternal, "TLS: " + tls_error());
  }
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!trust(context.get(), identity.ca_file))
    return Unexpected(ErrorCode::kUnavailable, "TLS: no authorities to trust: " + tls_error());
  if (!identity.certificate_file.empty() && !show(context.get(), identity))
    return Unexpected(ErrorCode::kUnavailable, "TLS: our certificate cannot be used: " + tls_error());
  auto stream =
      std::make_unique<TlsStream>(plain_stream(std::move(socket), deadline, clock), std::move(context));
  if (Result<void> shaken = stream->handshake(host); !shaken) return Unexpected(std::move(shaken).error());
  return std::unique_ptr<WebStream>(std::move(stream));
}

}  // namespace serverledge
