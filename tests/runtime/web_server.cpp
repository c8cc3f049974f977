#include "web_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <utility>

#include "net/socket.hpp"

namespace serverledge::test {
namespace {

// Reads a request's head and writes the answer, by whatever reads and writes.
void exchange(const WebServer::Answer& answer, const std::function<int(char*, int)>& read,
              const std::function<int(const char*, int)>& write) {
  std::string head;
  std::array<char, 4096> chunk{};
  while (head.find("\r\n\r\n") == std::string::npos) {
    const int got = read(chunk.data(), static_cast<int>(chunk.size()));
    if (got <= 0) return;
    head.append(chunk.data(), static_cast<std::size_t>(got));
    if (!head.starts_with("GET ")) break;  // no HTTP: answered nevertheless
  }
  const std::size_t begin = head.find(' ') + 1;
  const std::string bytes = answer(head.substr(begin, head.find(' ', begin) - begin));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const int sent = write(bytes.data() + done, static_cast<int>(bytes.size() - done));
    if (sent <= 0) return;
    done += static_cast<std::size_t>(sent);
  }
}

struct FreeKey {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
};

std::unique_ptr<X509, FreeCertificate> certificate_for(const std::string& name, EVP_PKEY* key) {
  std::unique_ptr<X509, FreeCertificate> certificate(::X509_new());
  X509* x = certificate.get();
  ::X509_set_version(x, 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(x), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(x), -60);
  ::X509_gmtime_adj(::X509_getm_notAfter(x), 3600);
  ::X509_set_pubkey(x, key);
  X509_NAME* subject = ::X509_get_subject_name(x);
  ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"),
                               -1, -1, 0);
  ::X509_set_issuer_name(x, subject);
  for (const auto& [kind, value] : {std::pair{NID_basic_constraints, std::string("critical,CA:TRUE")},
                                    std::pair{NID_subject_alt_name, name}}) {
    X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    ::X509_add_ext(x, extension, -1);
    ::X509_EXTENSION_free(extension);
  }
  ::X509_sign(x, key, ::EVP_sha256());
  return certificate;
}

}  // namespace

std::string answer(int status, const std::string& body, const std::string& headers) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body);
}

void WebServer::FreeTls::operator()(ssl_ctx_st* context) const { ::SSL_CTX_free(context); }

std::unique_ptr<WebServer> WebServer::tls(Answer answer, const std::string& name,
                                          const std::string& ca_file) {
  const std::unique_ptr<EVP_PKEY, FreeKey> key(EVP_EC_gen("P-256"));
  const auto certificate = certificate_for(name, key.get());
  Tls context(::SSL_CTX_new(::TLS_server_method()));
  ::SSL_CTX_use_certificate(context.get(), certificate.get());
  ::SSL_CTX_use_PrivateKey(context.get(), key.get());
  std::FILE* file = std::fopen(ca_file.c_str(), "we");
  if (file == nullptr) throw std::runtime_error("cannot write " + ca_file);
  ::PEM_write_X509(file, certificate.get());
  std::fclose(file);
  return std::unique_ptr<WebServer>(new WebServer(std::move(answer), std::move(context), "127.0.0.1"));
}

WebServer::WebServer(Answer answer, Tls tls, const std::string& address)
    : answer_(std::move(answer)), tls_(std::move(tls)) {
  Result<FileDescriptor> listener = listen_tcp(address, 0);
  if (!listener) throw std::runtime_error(listener.error().message);
  listener_ = std::move(*listener);
  port_ = local_port(listener_);
  ::fcntl(listener_.get(), F_SETFL, 0);  // wait in accept; the destructor ends that
  thread_ = std::thread([this] { run(); });
}

WebServer::~WebServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

std::string WebServer::url(const std::string& target) const {
  return fmt::format("{}://127.0.0.1:{}{}", tls_ ? "https" : "http", port_, target);
}

void WebServer::run() {
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);  // a client may hang up first
  while (true) {
    const FileDescriptor connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) return;
    if (tls_) {
      serve_tls(connection.get());
    } else {
      serve(connection.get());
    }
  }
}

void WebServer::serve(int connection) {
  exchange(
      answer_,
      [&](char* to, int size) {
        return static_cast<int>(::read(connection, to, static_cast<std::size_t>(size)));
      },
      [&](const char* from, int size) {
        return static_cast<int>(::write(connection, from, static_cast<std::size_t>(size)));
      });
}

void WebServer::serve_tls(int connection) {
  SSL* session = ::SSL_new(tls_.get());
  ::SSL_set_fd(session, connection);
  if (::SSL_accept(session) == 1) {
    exchange(
        answer_, [&](char* to, int size) { return ::SSL_read(session, to, size); },
        [&](const char* from, int size) { return ::SSL_write(session, from, size); });
    if (!cut_) ::SSL_shutdown(session);
  }
  ::SSL_free(session);
}

}  // namespace serverledge::test
