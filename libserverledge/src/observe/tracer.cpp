#include "serverledge/observe/tracer.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "observe/span.hpp"
#include "observe/trace_file.hpp"
#include "serverledge/core/trace_context.hpp"

namespace serverledge {
namespace {

constexpr std::size_t kSpansPerLine = 512;

const char* name_of(Stage stage) {
  switch (stage) {
    case Stage::kDecide:
      return "decide";
    case Stage::kWait:
      return "wait";
    case Stage::kStart:
      return "start";
    case Stage::kExecute:
      return "execute";
    case Stage::kOffload:
      return "offload";
  }
  return "stage";
}

/// A word for an error, never its message: that may hold what a caller sent.
std::string word_of(const Error& error) {
  return error.detail.empty() || error.detail.find(' ') != std::string::npos ? to_string(error.code)
                                                                             : error.detail;
}

class FileTracer final : public Tracer {
 public:
  FileTracer(TraceOptions options, std::unique_ptr<TraceFile> file, std::shared_ptr<Observer> log,
             Clock& clock)
      : options_(std::move(options)),
        file_(std::move(file)),
        log_(std::move(log)),
        clock_(clock),
        chance_(entropy()) {
    set_offset();
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void began(Invocation& invocation) override {
    const std::optional<TraceParent> caller = parse_traceparent(invocation.traceparent);
    if (caller && !caller->sampled) return;
    TraceParent own;
    {
      const std::scoped_lock lock(mutex_);
      own.trace = caller ? caller->trace : std::array{new_id(), new_id()};
      own.span = new_id();
    }
    invocation.span = own.span;
    invocation.caller_span = caller ? caller->span : 0;
    invocation.traceparent = to_string(own);
  }

  void entered(Invocation& invocation, Stage /*stage*/) override {
    if (invocation.span == 0) return;
    std::optional<TraceParent> context = parse_traceparent(invocation.traceparent);
    if (!context) return;
    {
      const std::scoped_lock lock(mutex_);
      context->span = new_id();
    }
    invocation.traceparent = to_string(*context);
  }

  void passed(const Invocation& invocation, const StagePassed& passed) override {
    const std::optional<TraceParent> context = context_of(invocation);
    if (!context) return;
    Span span = make_span(invocation, *context, passed.begin, passed.end);
    span.name = name_of(passed.stage);
    span.parent = invocation.span;
    // What was handed on told its id to whom it was handed.
    const bool handed_on = passed.stage == Stage::kExecute || passed.stage == Stage::kOffload;
    span.id = handed_on ? context->span : 0;
    if (passed.stage == Stage::kOffload) span.kind = Span::Kind::kClient;
    if (passed.peer != nullptr) span.peer = passed.peer->key;
    if (passed.error != nullptr) span.error = word_of(*passed.error);
    if (passed.failure != nullptr) span.error = to_string(passed.failure->kind);
    if (passed.stage == Stage::kDecide && invocation.arrival != TimePoint{}) {
      Span arrive = make_span(invocation, *context, invocation.arrival, passed.begin);
      arrive.name = "arrive";
      arrive.parent = invocation.span;
      keep(std::move(arrive));
    }
    keep(std::move(span));
  }

  void completed(const Invocation& invocation, const ExecutionReport& report) override {
    end(invocation, report.failure ? to_string(report.failure->kind) : "", !report.warm);
  }

  void rejected(const Invocation& invocation, const Error& error) override {
    end(invocation, word_of(error), false);
  }

  Spans spans() const override {
    return {.written = written_.load(std::memory_order_relaxed),
            .dropped = dropped_.load(std::memory_order_relaxed)};
  }

 private:
  /// Not zero. The caller holds mutex_.
  std::uint64_t new_id() {
    std::uint64_t id = 0;
    while (id == 0) id = chance_.next();
    return id;
  }

  static std::optional<TraceParent> context_of(const Invocation& invocation) {
    if (invocation.span == 0) return std::nullopt;
    return parse_traceparent(invocation.traceparent);
  }

  Span make_span(const Invocation& invocation, const TraceParent& context, TimePoint begin,
                 TimePoint end) const {
    Span span;
    span.trace = context.trace;
    const std::int64_t offset = offset_.load(std::memory_order_relaxed);
    span.begin = begin.time_since_epoch().count() + offset;
    span.end = end.time_since_epoch().count() + offset;
    span.function = invocation.function->name;
    span.request = invocation.id;
    return span;
  }

  void end(const Invocation& invocation, std::string error, bool cold) {
    const std::optional<TraceParent> context = context_of(invocation);
    if (!context) return;
    Span span = make_span(invocation, *context, invocation.arrival, clock_.now());
    span.name = "invocation";
    span.kind = Span::Kind::kServer;
    span.id = invocation.span;
    span.parent = invocation.caller_span;
    span.trace_state = invocation.tracestate;
    span.error = std::move(error);
    span.cold = cold;
    keep(std::move(span));
  }

  void keep(Span span) {
    bool half_full = false;
    {
      const std::scoped_lock lock(mutex_);
      if (waiting_.size() >= options_.buffer) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      if (span.id == 0) span.id = new_id();
      waiting_.push_back(std::move(span));
      half_full = waiting_.size() == options_.buffer / 2 + 1;
    }
    if (half_full) wake_.notify_one();
  }

  /// Wall time less monotonic time: the wall clock may be set, so it is looked at again and again.
  void set_offset() {
    offset_ = clock_.wall().time_since_epoch().count() - clock_.now().time_since_epoch().count();
  }

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, stop, options_.flush_interval,
                       [this] { return waiting_.size() > options_.buffer / 2; });
      }
      set_offset();
      flush();
    }
    flush();
  }

  void flush() {
    std::vector<Span> spans;
    {
      const std::scoped_lock lock(mutex_);
      spans.swap(waiting_);
    }
    for (std::size_t at = 0; at < spans.size(); at += kSpansPerLine) {
      const std::span<const Span> batch =
          std::span<const Span>(spans).subspan(at, std::min(kSpansPerLine, spans.size() - at));
      std::string line;
      append_otlp_line(line, options_.node, batch);
      const Result<void> appended = file_->append(line);
      (appended ? written_ : dropped_).fetch_add(batch.size(), std::memory_order_relaxed);
      if (!appended) {
        log_->log(LogLevel::kWarning, "trace_not_written", {{"reason", appended.error().message}});
      }
    }
  }

  const TraceOptions options_;
  const std::unique_ptr<TraceFile> file_;  // used by thread_ alone
  const std::shared_ptr<Observer> log_;
  Clock& clock_;
  std::atomic<std::int64_t> offset_{0};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::mutex mutex_;  // guards what follows
  SeededRandom chance_;
  std::vector<Span> waiting_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace

Result<std::shared_ptr<Tracer>> open_tracer(TraceOptions options, std::shared_ptr<Observer> log,
                                            Clock& clock) {
  auto file = std::make_unique<TraceFile>(options.file, options.file_max);
  if (Result<void> opened = file->open(); !opened) return Unexpected(std::move(opened).error());
  return std::shared_ptr<Tracer>(
      std::make_shared<FileTracer>(std::move(options), std::move(file), std::move(log), clock));
}

}  // namespace serverledge
