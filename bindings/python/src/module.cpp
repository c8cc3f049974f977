#include <pybind11/pybind11.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "policy_bridge.hpp"
#include "serverledge/assembly/configuration_file.hpp"
#include "serverledge/assembly/open_node.hpp"
#include "serverledge/core/trace_context.hpp"
#include "serverledge/node/completion_queue.hpp"

namespace py = pybind11;

namespace serverledge::python {
namespace {

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

/// Runs what may wait, while other threads of Python go on.
template <typename Work>
auto without_gil(Work work) {
  const py::gil_scoped_release released;
  return work();
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
      without_gil([&] { queue_.wait(std::min(deadline, later(now, std::chrono::milliseconds(50)))); });
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

  std::string invoke(const std::string& name, std::string params, const CallOptions& options) {
    const auto node = take();
    Result<ExecutionReport> report = without_gil([&]() -> Result<ExecutionReport> {
      Result<Invocation> invocation = make_invocation(node->node(), name, std::move(params), options);
      if (!invocation) return Unexpected(std::move(invocation).error());
      return node->node().invoke(*invocation);
    });
    return to_json(value_or_raise(std::move(report)));
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
};

/// A node that may be offloaded to, as a policy sees it.
struct PeerInView {
  std::shared_ptr<const PeerSnapshot> snapshot;
  const PeerView* peer;
  TimePoint now;
};

/// What a policy chooses. (A struct of its own: pybind11 converts variants.)
struct ChosenPlace {
  Choice choice;
};

py::list peers_of(const View& view, const std::vector<PeerView>& peers) {
  py::list list;
  for (const PeerView& peer : peers) list.append(py::cast(PeerInView{view.node.peers, &peer, view.node.now}));
  return list;
}

/// The decision that a policy returned: one choice, or a sequence of them.
Decision to_decision(const py::object& said) {
  Decision decision;
  if (py::isinstance<ChosenPlace>(said)) {
    decision.add(said.cast<const ChosenPlace&>().choice);
    return decision;
  }
  if (!PySequence_Check(said.ptr()) || PyUnicode_Check(said.ptr())) {
    throw py::type_error("expected a choice or a sequence of choices, got " +
                         std::string(Py_TYPE(said.ptr())->tp_name));
  }
  const py::sequence choices(said);
  if (choices.size() > Decision::kMaxChoices) throw py::value_error("expected at most four choices");
  for (const py::handle choice : choices) {
    if (!py::isinstance<ChosenPlace>(choice)) {
      throw py::type_error("expected a sequence of choices, with a " +
                           std::string(Py_TYPE(choice.ptr())->tp_name) + " in it");
    }
    decision.add(choice.cast<const ChosenPlace&>().choice);
  }
  return decision;
}

/// The next task as (kind, first, second): 0 decide, 1 completed, 2 tick; None at the end.
py::object next_task(PolicyBridge& bridge) {
  std::optional<Task> task = without_gil([&] { return bridge.next(); });
  if (!task) return py::none();
  switch (task->kind) {
    case Task::Kind::kDecide:
      return py::make_tuple(0, task->arrival, task->view);
    case Task::Kind::kCompleted:
      return py::make_tuple(1, task->arrival, task->ending);
    case Task::Kind::kTick:
      break;
  }
  return py::make_tuple(2, task->view, py::none());
}

py::dict counts_of(const PolicyBridge& bridge) {
  const PolicyBridge::Counts counts = bridge.counts();
  py::dict said;
  said["asked"] = counts.asked;
  said["decided"] = counts.decided;
  said["late"] = counts.late;
  said["failed"] = counts.failed;
  said["dropped"] = counts.dropped;
  said["waited"] = seconds(counts.waited);
  return said;
}

void define_policy(py::module_& module) {
  py::class_<PolicyBridge, std::shared_ptr<PolicyBridge>>(module, "PolicyBridge")
      .def(py::init<bool, bool>())
      .def("next", &next_task)
      .def("answer", [](PolicyBridge& bridge, const py::object& said) { bridge.answer(to_decision(said)); })
      .def("fail", &PolicyBridge::fail)
      .def("end", &PolicyBridge::end)
      .def("counts", &counts_of);

  py::class_<ChosenPlace>(module, "Choice").def("__repr__", [](const ChosenPlace& chosen) -> std::string {
    if (const auto* offload = std::get_if<OffloadTo>(&chosen.choice))
      return "offload(" + offload->peer.key + ")";
    if (const auto* refusal = std::get_if<Refuse>(&chosen.choice)) return "refuse(" + refusal->reason + ")";
    return std::holds_alternative<RunHere>(chosen.choice) ? "RUN" : "WAIT";
  });
  module.attr("RUN") = py::cast(ChosenPlace{RunHere{}});
  module.attr("WAIT") = py::cast(ChosenPlace{WaitHere{}});
  module.def("offload", [](const PeerInView& peer) { return ChosenPlace{OffloadTo{peer.peer->peer}}; });
  module.def("refuse", [](std::string reason) { return ChosenPlace{Refuse{std::move(reason)}}; });
}

void define_views(py::module_& module) {
  using Get = py::return_value_policy;
  py::class_<Arrival, std::shared_ptr<Arrival>>(module, "Invocation")
      .def_readonly("id", &Arrival::id)
      .def_property_readonly("function", [](const Arrival& it) { return it.function->name; })
      .def_property_readonly("runtime", [](const Arrival& it) { return it.function->runtime; })
      .def_property_readonly("memory", [](const Arrival& it) { return it.function->memory_mb; })
      .def_property_readonly("cpu", [](const Arrival& it) { return it.function->cpu_demand; })
      .def_readonly("qos_class", &Arrival::qos_class)
      .def_property_readonly("max_response_time",
                             [](const Arrival& it) { return seconds(it.max_response_time); })
      .def_readonly("can_offload", &Arrival::can_offload)
      .def_readonly("asynchronous", &Arrival::asynchronous)
      .def_readonly("input_size", &Arrival::input_bytes);

  py::class_<PoolView>(module, "PoolView")
      .def_property_readonly("total_memory", [](const PoolView& it) { return it.total.memory_mb; })
      .def_property_readonly("busy_memory", [](const PoolView& it) { return it.busy.memory_mb; })
      .def_property_readonly("held_memory", [](const PoolView& it) { return it.held.memory_mb; })
      .def_property_readonly("total_cores", [](const PoolView& it) { return it.total.cores(); })
      .def_property_readonly("busy_cores", [](const PoolView& it) { return it.busy.cores(); })
      .def_readonly("warm", &PoolView::warm)
      .def_readonly("busy", &PoolView::busy_containers)
      .def_readonly("starting", &PoolView::starting)
      .def_readonly("queued", &PoolView::queued)
      .def_readonly("queue_capacity", &PoolView::queue_capacity);

  py::class_<FunctionEstimate>(module, "FunctionEstimate")
      .def_readonly("arrival_rate", &FunctionEstimate::arrival_rate)
      .def_property_readonly("duration", [](const FunctionEstimate& it) { return seconds(it.duration); })
      .def_property_readonly("init_time", [](const FunctionEstimate& it) { return seconds(it.init_time); })
      .def_readonly("cold_probability", &FunctionEstimate::cold_probability)
      .def_readonly("input_size", &FunctionEstimate::input_bytes)
      .def_readonly("output_size", &FunctionEstimate::output_bytes)
      .def_readonly("completions", &FunctionEstimate::completions);

  py::class_<PeerInView>(module, "Peer")
      .def_property_readonly("key", [](const PeerInView& it) { return it.peer->peer.key; })
      .def_property_readonly("area", [](const PeerInView& it) { return it.peer->peer.area; })
      .def_property_readonly("host", [](const PeerInView& it) { return it.peer->peer.host; })
      .def_property_readonly("port", [](const PeerInView& it) { return it.peer->peer.port; })
      .def_property_readonly("architecture", [](const PeerInView& it) { return it.peer->peer.arch; })
      .def_property_readonly("available_memory",
                             [](const PeerInView& it) { return it.peer->available.memory_mb; })
      .def_property_readonly("available_cores",
                             [](const PeerInView& it) { return it.peer->available.cores(); })
      .def_property_readonly("round_trip", [](const PeerInView& it) { return seconds(it.peer->round_trip); })
      .def_property_readonly("known", [](const PeerInView& it) { return it.peer->known(); })
      .def_property_readonly("avoided", [](const PeerInView& it) { return it.peer->avoided(it.now); })
      .def("warm", [](const PeerInView& it, const std::string& name) { return it.peer->warm(name); })
      .def("refuses",
           [](const PeerInView& it, const std::string& name) { return it.peer->refuses(name, it.now); });

  py::class_<View, std::shared_ptr<View>>(module, "NodeView")
      .def_property_readonly("now", [](const View& it) { return seconds(it.node.now.time_since_epoch()); })
      .def_property_readonly(
          "pool", [](const View& it) -> const PoolView& { return it.node.pool; }, Get::reference_internal)
      .def_property_readonly(
          "function", [](const View& it) -> const FunctionEstimate& { return it.node.function; },
          Get::reference_internal)
      .def_property_readonly("neighbours",
                             [](const View& it) { return peers_of(it, it.node.peers->neighbours); })
      .def_property_readonly("cloud", [](const View& it) { return peers_of(it, it.node.peers->cloud); })
      .def_readonly("architecture", &View::architecture)
      .def_property_readonly("runnable_here", [](const View& it) { return it.node.runnable_here; });

  py::class_<Ending, std::shared_ptr<Ending>>(module, "Report")
      .def_readonly("failure", &Ending::failure)
      .def_readonly("area", &Ending::area)
      .def_readonly("node", &Ending::node)
      .def_readonly("warm", &Ending::warm)
      .def_property_readonly("init_time", [](const Ending& it) { return seconds(it.init_time); })
      .def_property_readonly("queueing_time", [](const Ending& it) { return seconds(it.queueing_time); })
      .def_property_readonly("offload_latency", [](const Ending& it) { return seconds(it.offload_latency); })
      .def_property_readonly("duration", [](const Ending& it) { return seconds(it.duration); })
      .def_property_readonly("response_time", [](const Ending& it) { return seconds(it.response_time); });
}

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
  define_policy(module);
  define_views(module);
  define_node(module);
}

}  // namespace serverledge::python

PYBIND11_MODULE(_native, module) { serverledge::python::define_module(module); }
