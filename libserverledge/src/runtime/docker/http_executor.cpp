#include <stop_token>
#include <utility>

#include "runtime/docker/executor.hpp"
#include "serverledge/core/request_id.hpp"

namespace serverledge {
namespace {

constexpr const char* kCallHeader = "Serverledge-Call";
constexpr auto kReconnectPatience = std::chrono::seconds(1);

/// A name for one call that no function can know beforehand, to have an answer ready.
std::string new_call_name() {
  std::string name;
  append_random_digits(name);
  return name;
}

class HttpExecutor final : public Executor {
 public:
  HttpExecutor(const ExecutorSetup& setup, HttpCalls how, HttpClient& client)
      : setup_(setup), how_(how), client_(client) {}

  Result<void> load(TimePoint deadline) override {
    const Result<HttpResponse> answer = ask(0, "/load", executor_load(setup_.task), deadline);
    if (!answer) return Unexpected(answer.error());
    const Reply reply = executor_reply(*answer, {}, setup_.limits);
    if (!reply.failure) return {};
    return Unexpected(ErrorCode::kFunctionFailed, reply.failure->message, reply.failure->traceback);
  }

  Result<Reply> call(const Call& call, TimePoint now) override {
    const Result<HttpResponse> answer =
        ask(call.slot, "/invoke", executor_call(setup_.task, call, now), call.deadline);
    if (!answer) return Unexpected(answer.error());
    Reply reply = executor_reply(*answer, setup_.task, setup_.limits);
    if (!call.return_output) reply.output.clear();
    return reply;
  }

  void end() noexcept override {
    gone_.request_stop();
    for (int slot = 0; slot < setup_.slots; ++slot) client_.close_idle(of_slot(slot));
  }

 private:
  /// Posts to it. What comes back is of this request, if it can tell; else that is no answer.
  Result<HttpResponse> ask(int slot, const char* path, std::string body, TimePoint deadline) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.headers.add("Content-Type", "application/json");
    request.body = std::move(body);
    if (how_.cancelled_by_end) request.peer_gone = gone_.get_token();
    const std::string name = how_.named ? new_call_name() : std::string();
    if (how_.named) request.headers.add(kCallHeader, name);
    Result<HttpResponse> answer = client_.request(of_slot(slot), request, kReconnectPatience, deadline);
    if (!answer) {
      Error& error = answer.error();
      if (error.message.find("malformed answer") != std::string::npos) error.code = ErrorCode::kInvalid;
      return answer;
    }
    if (!how_.named) return answer;
    const std::string* of = answer->headers.find(kCallHeader);
    if (of != nullptr && *of == name) return answer;
    return Unexpected(ErrorCode::kInvalid, "it is not of this call");
  }

  HttpTarget of_slot(int slot) const {
    HttpTarget target = setup_.address;
    target.lane = slot;
    return target;
  }

  const ExecutorSetup setup_;
  const HttpCalls how_;
  HttpClient& client_;
  std::stop_source gone_;
};

}  // namespace

std::unique_ptr<Executor> make_http_executor(const ExecutorSetup& setup, HttpCalls how, HttpClient& client) {
  return std::make_unique<HttpExecutor>(setup, how, client);
}

}  // namespace serverledge
