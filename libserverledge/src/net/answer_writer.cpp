#include "net/answer_writer.hpp"

#include <httplib.h>

#include <csignal>
#include <mutex>

#include "net/http_head.hpp"

namespace serverledge {

namespace {

// What the handlers of cpp-httplib, which are per server, have to know of the exchange that their thread is
// in.
struct Exchange {
  const AnswerWriter::Asked& asked;
  const AnswerWriter::Make& make;
  const AnswerWriter::Failed& failed;
  HttpResponse response;
};

thread_local Exchange* current_exchange = nullptr;

// A request in memory, and the head of its answer.
class MemoryStream final : public httplib::Stream {
 public:
  MemoryStream(std::string_view request, std::string& answer) : request_(request), answer_(answer) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override {
    const std::size_t copied = request_.copy(to, size);
    request_.remove_prefix(copied);
    return static_cast<ssize_t>(copied);
  }
  ssize_t write(const char* from, size_t size) override {
    answer_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& port) const override { port = 0; }
  void get_local_ip_and_port(std::string& /*ip*/, int& port) const override { port = 0; }
  socket_t socket() const override { return -1; }

 private:
  std::string_view request_;
  std::string& answer_;
};

HttpResponse made(const Exchange& exchange) {
  try {
    return exchange.make();
  } catch (const std::exception& error) {
    exchange.failed(error.what());
  } catch (...) {
    exchange.failed("an exception that is no std::exception");
  }
  return HttpResponse::json(500, "{\"message\":\"Internal Server Error\"}\n");
}

// In place of what cpp-httplib thinks of. The body stays out of it: it would be copied.
void fill_headers(httplib::Headers& to, Exchange& exchange) {
  to.clear();
  // In order, so that each is at the end when it comes: a comparison here costs more than it looks.
  if (!exchange.asked.keep_alive) to.emplace_hint(to.end(), "Connection", "close");
  if (exchange.asked.keep_alive && exchange.asked.http_1_0)
    to.emplace_hint(to.end(), "Connection", "keep-alive");
  to.emplace_hint(to.end(), "Content-Length", std::to_string(exchange.response.body.size()));
  if (!exchange.response.content_type.empty()) {
    to.emplace_hint(to.end(), "Content-Type", std::move(exchange.response.content_type));
  }
  for (const auto& [name, value] : exchange.response.headers) {
    // A byte that would end the header must never get out, wherever it came from.
    if (is_token(name) && is_field_value(value)) to.emplace_hint(to.end(), name, value);
  }
}

}  // namespace

class AnswerWriter::Protocol final : public httplib::Server {
 public:
  Protocol() {
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& response) {
      current_exchange->response = made(*current_exchange);
      response.status = current_exchange->response.status;
      return HandlerResponse::Handled;
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      fill_headers(response.headers, *current_exchange);
    });
  }
  using httplib::Server::process_request;
};

AnswerWriter::AnswerWriter(Failed failed) : failed_(std::move(failed)) {
  // httplib::Server() makes the process ignore SIGPIPE, which is not ours to decide.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  struct sigaction before {};
  sigaction(SIGPIPE, nullptr, &before);
  protocol_ = std::make_unique<Protocol>();
  sigaction(SIGPIPE, &before, nullptr);
  // A first answer for nobody: what cpp-httplib makes at its first use is made here, where there is one
  // thread.
  std::string head;
  std::string body;
  write(
      {}, [] { return HttpResponse(); }, head, body);
}

AnswerWriter::~AnswerWriter() = default;

void AnswerWriter::write(const Asked& asked, const Make& make, std::string& head, std::string& body) const {
  // The request was read, and its route found, before: by stricter rules than those of cpp-httplib 0.11.4,
  // which takes a NUL or a bare LF, decodes %0d%0a in header values, compresses and cuts out ranges unasked,
  // and matches paths by a recursing std::regex. What it gets is the request that is left.
  MemoryStream stream("GET / HTTP/1.1\r\n\r\n", head);
  Exchange exchange{asked, make, failed_, {}};
  current_exchange = &exchange;
  bool closed = false;
  // Told to close in any case: else it works out a Keep-Alive header.
  protocol_->process_request(stream, true, closed, nullptr);
  current_exchange = nullptr;
  if (asked.method != "HEAD") body = std::move(exchange.response.body);
}

}  // namespace serverledge
