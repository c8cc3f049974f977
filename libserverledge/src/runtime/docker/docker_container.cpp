#include "runtime/docker/docker_container.hpp"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "net/socket.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr int kExecutorPort = 8080;
constexpr auto kConnectPatience = std::chrono::seconds(1);
constexpr auto kRemovePatience = std::chrono::seconds(10);
/// For a container that we have killed ourselves, so that only its remains are to be removed.
constexpr auto kRemainsPatience = std::chrono::seconds(3);
/// Between the end of a connection and the engine's news of the container's end.
constexpr auto kEndPatience = std::chrono::milliseconds(1500);
constexpr auto kLookInterval = std::chrono::milliseconds(500);
constexpr int kListenPauseMs = 2;

std::string describe(int exit_code) {
  if (exit_code <= 128) return fmt::format("the function's process exited with status {}", exit_code);
  const char* name = ::sigabbrev_np(exit_code - 128);
  return name == nullptr ? fmt::format("the function's process exited with status {}", exit_code)
                         : fmt::format("the function's process was killed by SIG{}", name);
}

/// What an image's label says of its executor; 0: it is none of ours.
int executor_version(std::string_view label) {
  int version = label.empty() ? 0 : 1;
  std::from_chars(label.data(), label.data() + label.size(), version);
  return version;
}

Failure wrote_no_answer(const Error& error) {
  return {FailureKind::kProtocol,
          fmt::format("the function wrote what is no answer to its channel: {}", error.message),
          {}};
}

/// The text in an engine's stream of output: pieces, each after a head of eight bytes.
std::string text_of_log(std::string_view stream) {
  std::string text;
  while (stream.size() >= 8) {
    std::size_t size = 0;
    for (std::size_t i = 4; i < 8; ++i) size = size << 8U | static_cast<unsigned char>(stream[i]);
    text.append(stream.substr(8, size));
    stream.remove_prefix(std::min(stream.size(), size + 8));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return to_utf8(text);
}

}  // namespace

DockerContainer::DockerContainer(std::shared_ptr<Engine> engine, const Function& function, std::string name)
    : engine_(std::move(engine)),
      name_(std::move(name)),
      task_(function),
      slots_(std::max(1, function.max_concurrency)),
      limits_{engine_->options.result_bytes, engine_->options.output_bytes} {
  engine_->add(*this);
}

DockerContainer::~DockerContainer() {
  engine_->leave(*this);
  destroy();
}

Result<void> DockerContainer::create(std::string body, TimePoint deadline) {
  const Result<HttpResponse> made = engine_->client.request({.method = "POST",
                                                             .path = "/containers/create",
                                                             .query = "name=" + name_,
                                                             .body = std::move(body),
                                                             .patience = Duration::max()},
                                                            deadline);
  if (made) {
    remains_ = Remains::kSome;
    return {};
  }
  // An engine that did not answer may still make it.
  const ErrorCode code = made.error().code;
  if (code == ErrorCode::kDeadline || code == ErrorCode::kCancelled || code == ErrorCode::kUnavailable) {
    engine_->remove_later(name_);
  }
  return Unexpected(made.error());
}

Result<void> DockerContainer::put_code(std::string tar, TimePoint deadline) {
  const Result<HttpResponse> put = engine_->client.request({.method = "PUT",
                                                            .path = "/containers/" + name_ + "/archive",
                                                            .query = "path=/app",
                                                            .body = std::move(tar),
                                                            .content_type = "application/x-tar",
                                                            .patience = Duration::max()},
                                                           deadline);
  if (!put) return Unexpected(put.error());
  return {};
}

Result<void> DockerContainer::open(TimePoint deadline) {
  for (const auto step : {&DockerContainer::start, &DockerContainer::inspect,
                          &DockerContainer::await_listening, &DockerContainer::load}) {
    if (Result<void> done = (this->*step)(deadline); !done) return done;
  }
  return {};
}

Result<void> DockerContainer::start(TimePoint deadline) {
  const Result<HttpResponse> started = engine_->client.request({.method = "POST",
                                                                .path = "/containers/" + name_ + "/start",
                                                                .query = {},
                                                                .body = {},
                                                                .patience = Duration::max()},
                                                               deadline);
  if (!started) return Unexpected(started.error());
  return {};
}

Result<void> DockerContainer::inspect(TimePoint deadline) {
  const Result<HttpResponse> answer =
      engine_->client.request({.path = "/containers/" + name_ + "/json", .query = {}, .body = {}}, deadline);
  if (!answer) return Unexpected(answer.error());
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  if (!document) return Unexpected(ErrorCode::kUnavailable, "what the engine tells of it cannot be read");
  const JsonValue root = document->root();
  const auto state = root.find("State");
  const auto running = state ? state->find("Running") : std::nullopt;
  if (!running || !running->as_bool().value_or(false)) return Unexpected(failed_start(end(kEndPatience)));
  const auto settings = root.find("NetworkSettings");
  const auto networks = settings ? settings->find("Networks") : std::nullopt;
  const auto address = networks && networks->size() > 0 ? networks->at(0).find("IPAddress") : std::nullopt;
  address_ = HttpTarget::tcp(std::string(address ? address->as_string().value_or("") : ""), kExecutorPort);
  if (address_.host.empty()) {
    return Unexpected(ErrorCode::kUnavailable, "the container engine gave the container no address");
  }
  const auto id = root.find("Id");
  const auto pid = state->find("Pid");
  if (id && pid && !engine_->client.target().unix_path.empty()) {
    process_ = LocalProcess::find(static_cast<pid_t>(pid->as_int().value_or(0)),
                                  std::string(id->as_string().value_or("")));
  }
  const auto config = root.find("Config");
  const auto labels = config ? config->find("Labels") : std::nullopt;
  executor_ = make_executor(labels ? text_member(*labels, "serverledge.executor") : std::string());
  located_ = true;
  if (destroyed_) executor_->end();  // who did that may not have found it
  return {};
}

Result<void> DockerContainer::await_listening(TimePoint deadline) {
  TimePoint look = later(engine_->clock.now(), kLookInterval);
  while (true) {
    const TimePoint now = engine_->clock.now();
    if (now >= deadline) {
      return Unexpected(ErrorCode::kDeadline,
                        fmt::format("nothing listens on port {} of the container in time", kExecutorPort),
                        log_tail());
    }
    if (destroyed_) return Unexpected(ErrorCode::kCancelled, "the container was shut down");
    const TimePoint until = std::min(deadline, later(now, kConnectPatience));
    if (connect_tcp(address_.host, address_.port, until, -1, engine_->clock)) return {};
    if (process_ && process_->wait_for_end(kListenPauseMs)) {
      return Unexpected(failed_start(end(kEndPatience)));
    }
    if (process_) continue;
    std::this_thread::sleep_for(std::chrono::milliseconds(kListenPauseMs));
    if (now < look) continue;
    look = later(now, kLookInterval);
    if (const ContainerEnd end = this->end(Duration::zero()); end.ended) return Unexpected(failed_start(end));
  }
}

std::unique_ptr<Executor> DockerContainer::make_executor(const std::string& label) {
  const int version = executor_version(label);
  loads_ = version >= 1 && !task_.handler.empty();
  const bool killable = process_ && process_->may_kill();
  const ExecutorSetup setup{address_, task_, limits_, slots_, engine_->clock};
  if (version >= 3 && loads_ && killable) return make_frame_executor(setup, *process_);
  return make_http_executor(setup, {.named = version >= 2, .cancelled_by_end = !killable},
                            engine_->executors);
}

Result<void> DockerContainer::load(TimePoint deadline) {
  if (!loads_) return {};
  const Result<void> loaded = executor_->load(deadline);
  if (loaded) return {};
  const Error& error = loaded.error();
  switch (error.code) {
    case ErrorCode::kFunctionFailed:
      return loaded;
    case ErrorCode::kDeadline:
      return Unexpected(ErrorCode::kDeadline, "the function did not load in time", error.message);
    case ErrorCode::kCancelled:
      return Unexpected(ErrorCode::kCancelled, "the container was shut down");
    case ErrorCode::kInvalid:
      return Unexpected(ErrorCode::kFunctionFailed, "while loading, " + wrote_no_answer(error).message);
    default:
      return Unexpected(ErrorCode::kFunctionFailed, "while loading, " + ended().message);
  }
}

Result<void> DockerContainer::make_code_writable(TimePoint deadline) {
  const auto cannot = [](const Error& error) {
    return Unexpected(error.code, "/app cannot be made writable: " + error.message, error.detail);
  };
  // By root, whose it is; an archive that is put there does not change it.
  const Result<HttpResponse> made = engine_->client.request(
      {.method = "POST",
       .path = "/containers/" + name_ + "/exec",
       .query = {},
       .body = R"({"User":"0","Cmd":["chmod","0777","/app"],"AttachStdout":true,"AttachStderr":true})"},
      deadline);
  if (!made) return cannot(made.error());
  const Result<JsonDocument> document = JsonDocument::parse(made->body);
  const std::string id = document ? text_member(document->root(), "Id") : std::string();
  // The answer ends when the program has.
  const Result<HttpResponse> output = engine_->client.request(
      {.method = "POST", .path = "/exec/" + id + "/start", .query = {}, .body = R"({"Detach":false})"},
      deadline);
  if (!output) return cannot(output.error());
  while (true) {
    const Result<HttpResponse> state =
        engine_->client.request({.path = "/exec/" + id + "/json", .query = {}, .body = {}}, deadline);
    if (!state) return cannot(state.error());
    const Result<JsonDocument> end = JsonDocument::parse(state->body);
    const auto running = end ? end->root().find("Running") : std::nullopt;
    const auto code = end ? end->root().find("ExitCode") : std::nullopt;
    if (code && code->as_int() == 0) return {};
    if (!running || !running->as_bool().value_or(false)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(kListenPauseMs));  // its end is not yet known
  }
  return Unexpected(ErrorCode::kFunctionFailed, "/app cannot be made writable: the image's chmod failed",
                    text_of_log(output->body));
}

Reply DockerContainer::invoke(const Call& call) {
  const TimePoint begin = engine_->clock.now();
  // Its address may be another container's by now.
  if (!alive()) return broken({ErrorCode::kUnavailable, "the container has ended", {}}, begin, call);
  Result<Reply> answer = executor_->call(call, begin);
  if (!answer) return broken(answer.error(), begin, call);
  if (answer->failure && answer->failure->kind == FailureKind::kRaised) add_exceeded_limit(*answer);
  return std::move(*answer);
}

void DockerContainer::add_exceeded_limit(Reply& reply) {
  if (!process_) return;
  const std::int64_t oom_kills = process_->oom_kills();
  const std::int64_t refused_forks = process_->refused_forks();
  std::string limit;
  if (process_->tmp_is_full()) limit = "its /tmp is full";
  if (refused_forks > seen_refused_forks_.exchange(refused_forks))
    limit = "it reached its limit of processes";
  if (oom_kills > seen_oom_kills_.exchange(oom_kills)) {
    limit = fmt::format("a process of it was killed at the memory limit of {} MB", task_.memory_mb);
  }
  if (limit.empty()) return;
  reply.failure->message += fmt::format(" ({})", limit);
  reply.doomed = true;
}

Reply DockerContainer::broken(const Error& error, TimePoint begin, const Call& call) {
  Reply reply;
  reply.doomed = true;
  if (destroyed_) {
    reply.failure = {FailureKind::kCrashed, "the container was shut down", {}};
  } else if (error.code == ErrorCode::kDeadline) {
    reply.failure = {
        FailureKind::kTimeout,
        fmt::format("the function did not answer within {:.3g} s", seconds(call.deadline - begin)),
        {}};
  } else if (error.code == ErrorCode::kTooLarge) {
    reply.failure = {FailureKind::kOutput, "the function's answer is over the limit: " + error.message, {}};
  } else if (error.code == ErrorCode::kInvalid) {
    reply.failure = wrote_no_answer(error);
  } else {
    reply.failure = ended();
  }
  return reply;
}

ContainerEnd DockerContainer::end(Duration patience) {
  if (patience > Duration::zero()) {
    if (process_) process_->wait_for_end(static_cast<int>(patience / std::chrono::milliseconds(1)));
    const Result<HttpResponse> waited = engine_->client.request({.method = "POST",
                                                                 .path = "/containers/" + name_ + "/wait",
                                                                 .query = "condition=not-running",
                                                                 .body = {},
                                                                 .patience = patience},
                                                                TimePoint::max());
    if (!waited && waited.error().code == ErrorCode::kNotFound) return {.ended = true};
  }
  ContainerEnd end{.ended = process_ && !process_->alive()};
  const Result<HttpResponse> answer = engine_->client.request({.path = "/containers/" + name_ + "/json",
                                                               .query = {},
                                                               .body = {},
                                                               .patience = std::chrono::seconds(2)},
                                                              TimePoint::max());
  if (!answer) {
    end.ended = end.ended || answer.error().code == ErrorCode::kNotFound;
    return end;
  }
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  const auto state = document ? document->root().find("State") : std::nullopt;
  if (!state) return end;
  const auto running = state->find("Running");
  const auto code = state->find("ExitCode");
  const auto memory = state->find("OOMKilled");
  end.known = running && !running->as_bool().value_or(true);
  end.ended = end.ended || end.known;
  end.exit_code = static_cast<int>(code ? code->as_int().value_or(0) : 0);
  end.out_of_memory = memory && memory->as_bool().value_or(false);
  return end;
}

Failure DockerContainer::ended() {
  const ContainerEnd end = this->end(kEndPatience);
  if (destroyed_) return {FailureKind::kCrashed, "the container was shut down", {}};
  if (!end.ended) return {FailureKind::kProtocol, "the function closed its channel to the node", {}};
  ended_ = true;
  if (end.out_of_memory) {
    return {FailureKind::kMemory,
            fmt::format("the function exceeded its memory limit of {} MB", task_.memory_mb),
            {}};
  }
  if (end.known) return {FailureKind::kCrashed, describe(end.exit_code), {}};
  return {FailureKind::kCrashed, "the function's container was killed or removed", {}};
}

Error DockerContainer::failed_start(const ContainerEnd& end) {
  ended_ = true;
  std::string how = end.known ? describe(end.exit_code) : "the container was killed or removed";
  if (end.out_of_memory) how = fmt::format("it exceeded its memory limit of {} MB", task_.memory_mb);
  return {ErrorCode::kFunctionFailed, "while the container was starting, " + how, log_tail()};
}

std::string DockerContainer::log_tail() {
  const Result<HttpResponse> answer = engine_->client.request({.path = "/containers/" + name_ + "/logs",
                                                               .query = "stdout=1&stderr=1&tail=20",
                                                               .body = {},
                                                               .patience = std::chrono::seconds(2)},
                                                              TimePoint::max());
  return answer ? text_of_log(answer->body) : std::string();
}

bool DockerContainer::alive() const noexcept {
  return !destroyed_ && !ended_ && (!process_ || process_->alive());
}

bool DockerContainer::kill() noexcept {
  destroyed_ = true;
  if (!located_) return false;
  const bool killed = process_ && process_->kill();
  // While its network is there: an end of a connection that nobody confirms is sent again, to an address that
  // the next container may have, and that then is looked for in vain for a second.
  executor_->end();
  return killed;
}

void DockerContainer::destroy() noexcept {
  const bool killed = kill();
  if (remains_.exchange(Remains::kNone) == Remains::kNone) return;
  engine_->remove(name_, killed ? kRemainsPatience : kRemovePatience);
}

}  // namespace serverledge
