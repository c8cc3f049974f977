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
  std::string& body;
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

void fill(httplib::Response& to, HttpResponse&& response, Exchange& exchange) {
  to.status = response.status;
  if (!response.content_type.empty()) to.headers.emplace("Content-Type", std::move(response.content_type));
  for (const auto& [name, value] : response.headers) {
    // A byte that would end the header must never get out, wherever it came from.
    if (is_token(name) && is_field_value(value)) to.headers.emplace(name, value);
  }
  // The body stays out of cpp-httplib, which would copy it.
  to.headers.emplace("Content-Length", std::to_string(response.body.size()));
  if (exchange.asked.method != "HEAD") exchange.body = std::move(response.body);
}

}  // namespace

class AnswerWriter::Protocol final : public httplib::Server {
 public:
  Protocol() {
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& response) {
      fill(response, made(*current_exchange), *current_exchange);
      return HandlerResponse::Handled;
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      response.headers.erase("Keep-Alive");  // its figures are those of cpp-httplib's own listener
      response.headers.erase("Accept-Ranges");
      const Asked& asked = current_exchange->asked;
      if (!asked.keep_alive) response.headers.emplace("Connection", "close");
      if (asked.keep_alive && asked.http_1_0) response.headers.emplace("Connection", "keep-alive");
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
}

AnswerWriter::~AnswerWriter() = default;

void AnswerWriter::write(const Asked& asked, const Make& make, std::string& head, std::string& body) const {
  // The request was read, and its route found, before: by stricter rules than those of cpp-httplib 0.11.4,
  // which takes a NUL or a bare LF, decodes %0d%0a in header values, compresses and cuts out ranges unasked,
  // and matches paths by a recursing std::regex. What it gets is the request that is left: its method.
  const bool head_only = asked.method == "HEAD";
  MemoryStream stream(head_only ? "HEAD / HTTP/1.1\r\n\r\n" : "GET / HTTP/1.1\r\n\r\n", head);
  Exchange exchange{asked, make, failed_, body};
  current_exchange = &exchange;
  bool closed = false;
  protocol_->process_request(stream, false, closed, nullptr);
  current_exchange = nullptr;
}

}  // namespace serverledge
