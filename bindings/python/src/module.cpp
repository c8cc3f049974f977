#include <pybind11/pybind11.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "away_calls.hpp"
#include "policy_bridge.hpp"
#include "policy_types.hpp"
#include "serverledge/assembly/configuration_file.hpp"
#include "serverledge/assembly/open_node.hpp"
#include "serverledge/core/trace_context.hpp"
#include "serverledge/node/completion_queue.hpp"
#include "without_gil.hpp"

namespace py = pybind11;

namespace serverledge::python {
namespace {

/// How long a signal may wait for a thread that waits for a call.
constexpr Duration kSignalsEvery = std::chrono::milliseconds(50);

/// Raises the exception that serverledge.errors has for it. Needs the GIL.
[[noreturn]] void raise(const Error& error) {
  const py::object made = py::module_::import("serverledge.errors")
                              .attr("by_code")(to_string(error.code), error.message, error.detail);
  PyErr_SetObject(py::type::handle_of(made).ptr(), made.ptr());
  throw py::error_already_set();
}

template <typename T>
T value_or_raise(Result<T> result) {
  if (!result) raise(result.error());
  return std::move(*result);
}

void value_or_raise(const Result<void>& result) {
  if (!result) raise(result.error());
}

/// What a caller may say of a call.
struct CallOptions {
  int qos_class = 0;
  double max_response_time = 0;
  bool offload = true;
  bool output = false;
  std::string traceparent;
};

/// A call that was submitted, and its end.
class PendingCall {
 public:
  PendingCall() = default;
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;

  Result<void> submit(Node& node, Invocation invocation) {
    auto submitted = node.submit(std::move(invocation), queue_,
                                 [this](Result<ExecutionReport> outcome) { outcome_ = std::move(outcome); });
    if (!submitted) return Unexpected(std::move(submitted).error());
    call_ = std::move(*submitted);
    return {};
  }

  std::string id() const { return call_->id(); }
  bool cancel() { return call_->cancel(); }
  bool done() {
    const std::scoped_lock lock(mutex_);
    queue_.drain();
    return outcome_.has_value();
  }
  /// Whether it has ended by then. Looks up now and then: another thread may have drained, and Python may
  /// have a signal to handle.
  bool wait(double timeout) {
    const TimePoint deadline = later(system_clock().now(), from_seconds(timeout));
    while (!without_gil([this] { return done(); })) {
      const TimePoint now = system_clock().now();
      if (now >= deadline) return false;
      without_gil([&] { queue_.wait(std::min(deadline, later(now, kSignalsEvery))); });
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    return true;
  }
  /// The response object of a call that has ended.
  std::string answer() {
    const Result<ExecutionReport> outcome = [this] {
      const std::scoped_lock lock(mutex_);
      return *outcome_;
    }();
    if (!outcome) raise(outcome.error());
    return to_json(*outcome);
  }

 private:
  std::mutex mutex_;  // guards outcome_, which drain() sets
  std::optional<Result<ExecutionReport>> outcome_;
  std::shared_ptr<SubmittedCall> call_;
  CompletionQueue queue_;
};

/// A node in this process. Every method but those that only look may wait, and lets other threads run.
class EmbeddedNode {
 public:
  /// Settings as JSON, or the path of a file.
  EmbeddedNode(const std::string& settings, bool is_file, std::shared_ptr<PolicyBridge> bridge)
      : bridge_(std::move(bridge)), process_(::getpid()) {
    auto opened = without_gil([&] { return open(settings, is_file); });
    opened_ = value_or_raise(std::move(opened));
  }
  ~EmbeddedNode() {
    if (process_ != ::getpid()) {
      // A fork has the memory of the node and none of its threads, for which its destructor would wait.
      [[maybe_unused]] auto* leaked = new std::shared_ptr<OpenedNode>(std::move(opened_));
      [[maybe_unused]] auto* calls = main_calls_.release();
      return;
    }
    without_gil([this] { close(0); });
  }
  EmbeddedNode(const EmbeddedNode&) = delete;
  EmbeddedNode& operator=(const EmbeddedNode&) = delete;

  void stop(double drain) {
    if (process_ != ::getpid()) return;
    without_gil([&] { close(drain); });
  }

  double drain() const { return drain_; }

  std::string listen() {
    const auto node = take();
    if (node->port() == 0) value_or_raise(without_gil([&] { return node->start(); }));
    return node->address();
  }

  std::string address() const { return take()->address(); }

  void store(const std::string& request, bool replace) {
    const auto node = take();
    value_or_raise(without_gil(
        [&] { return replace ? node->update_function(request) : node->create_function(request); }));
  }

  void remove(const std::string& name) {
    const auto node = take();
    value_or_raise(without_gil([&] { return node->node().registry().remove(name); }));
  }

  py::list functions() const {
    const auto node = take();
    const auto records = without_gil([&] { return node->node().registry().list(); });
    py::list names;
    for (const FunctionPtr& function : records) names.append(function->name);
    return names;
  }

  int prewarm(const std::string& name, int count) {
    const auto node = take();
    return value_or_raise(without_gil([&] { return node->node().prewarm(name, count, false); }));
  }

  std::string status() const {
    const auto node = take();
    return without_gil([&] { return node->status(); });
  }

  /// The main thread of Python, which alone handles signals, has its calls made by another: it must be able
  /// to leave one for as long as that lasts.
  std::string invoke(const std::string& name, std::string params, const CallOptions& options) {
    const auto node = take();
    auto work = [node, name, params = std::move(params),
                 options](std::stop_token gone) mutable -> Result<ExecutionReport> {
      Result<Invocation> invocation = make_invocation(node->node(), name, std::move(params), options);
      if (!invocation) return Unexpected(std::move(invocation).error());
      invocation->caller_gone = std::move(gone);
      return node->node().invoke(*invocation);
    };
    if (::gettid() != process_) return to_json(value_or_raise(without_gil([&] { return work({}); })));
    const auto call = without_gil([&] { return main_calls_->begin(std::move(work)); });
    while (!without_gil([&] { return call->wait(later(system_clock().now(), kSignalsEvery)); })) {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    return to_json(value_or_raise(call->take()));
  }

  std::unique_ptr<PendingCall> submit(const std::string& name, std::string params,
                                      const CallOptions& options) {
    const auto node = take();
    auto call = std::make_unique<PendingCall>();
    value_or_raise(without_gil([&]() -> Result<void> {
      Result<Invocation> invocation = make_invocation(node->node(), name, std::move(params), options);
      if (!invocation) return Unexpected(std::move(invocation).error());
      invocation->asynchronous = true;
      return call->submit(node->node(), std::move(*invocation));
    }));
    return call;
  }

  /// The response object of a call that was accepted for later; None while it has not ended.
  py::object poll(const std::string& id) const {
    const auto node = take();
    const auto found = value_or_raise(without_gil([&] { return node->node().results().find(id); }));
    if (found.state == ResultStore::State::kPending) return py::none();
    if (found.state == ResultStore::State::kUnknown)
      raise({ErrorCode::kNotFound, "there is no such request, or its answer is too old", {}});
    return py::str(found.answer);
  }

 private:
  Result<std::shared_ptr<OpenedNode>> open(const std::string& settings, bool is_file) {
    Configuration configuration;
    if (is_file) {
      LoadOptions options;
      options.file = settings;
      Result<Configuration> loaded = load_configuration(options);
      if (!loaded) return Unexpected(std::move(loaded).error());
      configuration = std::move(*loaded);
    } else if (Result<void> set = set_from_text(configuration, settings, "config"); !set) {
      return Unexpected(std::move(set).error());
    }
    // An embedded node leaves nothing on disk, and writes what went wrong alone, unless it is told otherwise.
    for (const auto& [key, value] :
         {std::pair{"store.path", ":memory:"}, std::pair{"log.level", "warning"}}) {
      if (configuration.is_set(key)) continue;
      if (Result<void> set = configuration.set(key, value, "embedded"); !set)
        return Unexpected(std::move(set).error());
    }
    drain_ = seconds(configuration.duration("api.drain"));
    Overrides overrides;
    if (bridge_) {
      bridge_->set_timeout(configuration.duration("policy.timeout"));
      overrides.policy = std::make_unique<BridgedPolicy>(bridge_);
    }
    Result<std::unique_ptr<OpenedNode>> opened = open_node(configuration, std::move(overrides));
    if (!opened) return Unexpected(std::move(opened).error());
    return std::shared_ptr<OpenedNode>(std::move(*opened));
  }

  /// The node, for one call; it lives on until that has ended.
  std::shared_ptr<OpenedNode> take() const {
    if (bridge_ && bridge_->on_policy_thread())
      raise({ErrorCode::kInvalid, "a policy must not call the node that it decides for", {}});
    if (process_ != ::getpid())
      raise({ErrorCode::kUnavailable,
             "the node lives in the process that opened it, not in a fork of that",
             {}});
    const std::scoped_lock lock(mutex_);
    if (!opened_) raise({ErrorCode::kCancelled, "the node is closed", {}});
    return opened_;
  }

  void close(double drain) {
    std::shared_ptr<OpenedNode> node;
    {
      const std::scoped_lock lock(mutex_);
      node = opened_;
    }
    if (!node) return;
    node->stop(from_seconds(drain));
    main_calls_->end_threads();
    const std::scoped_lock lock(mutex_);
    opened_.reset();
  }

  static Result<Invocation> make_invocation(Node& node, const std::string& name, std::string params,
                                            const CallOptions& options) {
    Invocation invocation;
    invocation.arrival = node.clock().now();
    Result<FunctionPtr> function = node.registry().find(name);
    if (!function) return Unexpected(std::move(function).error());
    invocation.function = std::move(*function);
    invocation.body = std::move(params);
    invocation.params_size = invocation.body.size();
    invocation.qos_class = options.qos_class;
    invocation.max_response_time = from_seconds(options.max_response_time);
    invocation.can_offload = options.offload;
    invocation.return_output = options.output;
    if (parse_traceparent(options.traceparent)) invocation.traceparent = options.traceparent;
    return invocation;
  }

  const std::shared_ptr<PolicyBridge> bridge_;
  const pid_t process_;
  double drain_ = 0;
  mutable std::mutex mutex_;  // guards opened_
  std::shared_ptr<OpenedNode> opened_;
  std::unique_ptr<AwayCalls> main_calls_ = std::make_unique<AwayCalls>();
};

void define_node(py::module_& module) {
  py::class_<CallOptions>(module, "CallOptions")
      .def(py::init(
          [](int qos_class, double max_response_time, bool offload, bool output, std::string traceparent) {
            return CallOptions{qos_class, max_response_time, offload, output, std::move(traceparent)};
          }));

  py::class_<PendingCall>(module, "PendingCall")
      .def_property_readonly("id", &PendingCall::id)
      .def("done", &PendingCall::done)
      .def("wait", &PendingCall::wait)
      .def("cancel", &PendingCall::cancel)
      .def("answer", &PendingCall::answer);

  py::class_<EmbeddedNode>(module, "Node")
      .def(py::init<const std::string&, bool, std::shared_ptr<PolicyBridge>>())
      .def("stop", &EmbeddedNode::stop)
      .def_property_readonly("drain", &EmbeddedNode::drain)
      .def("listen", &EmbeddedNode::listen)
      .def_property_readonly("address", &EmbeddedNode::address)
      .def("store", &EmbeddedNode::store)
      .def("remove", &EmbeddedNode::remove)
      .def("functions", &EmbeddedNode::functions)
      .def("prewarm", &EmbeddedNode::prewarm)
      .def("status", &EmbeddedNode::status)
      .def("invoke", &EmbeddedNode::invoke)
      .def("submit", &EmbeddedNode::submit)
      .def("poll", &EmbeddedNode::poll);
}

}  // namespace

void define_module(py::module_& module) {
  module.attr("version") = SERVERLEDGE_VERSION;
  define_policy_types(module);
  define_node(module);
}

}  // namespace serverledge::python

PYBIND11_MODULE(_native, module) { serverledge::python::define_module(module); }
