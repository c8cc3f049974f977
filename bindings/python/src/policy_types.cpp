#include "policy_types.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "policy_bridge.hpp"
#include "without_gil.hpp"

namespace py = pybind11;

namespace serverledge::python {
namespace {

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
  py::detail::make_caster<ChosenPlace> place;  // finds the type once for all
  // A list or tuple is not tried as a choice: pybind11 looks long before it says that something is none.
  if (!PyList_Check(said.ptr()) && !PyTuple_Check(said.ptr()) && place.load(said, false)) {
    decision.add(py::detail::cast_op<const ChosenPlace&>(place).choice);
    return decision;
  }
  if (!PySequence_Check(said.ptr()) || PyUnicode_Check(said.ptr())) {
    throw py::type_error("expected a choice or a sequence of choices, got " +
                         std::string(Py_TYPE(said.ptr())->tp_name));
  }
  const py::sequence choices(said);
  if (choices.size() > Decision::kMaxChoices) throw py::value_error("expected at most four choices");
  for (const py::handle choice : choices) {
    if (!place.load(choice, false)) {
      throw py::type_error("expected a sequence of choices, with a " +
                           std::string(Py_TYPE(choice.ptr())->tp_name) + " in it");
    }
    decision.add(py::detail::cast_op<const ChosenPlace&>(place).choice);
  }
  return decision;
}

/// A task as (kind, first, second): 0 decide, 1 completed, 2 tick; None at the end.
py::object told(const std::optional<Task>& task) {
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

py::object next_task(PolicyBridge& bridge) {
  return told(without_gil([&] { return bridge.next(); }));
}

/// The GIL is given away once for both: that, and each way from one language to the other, takes as long as
/// many a policy.
py::object answer_and_next_task(PolicyBridge& bridge, const py::object& said) {
  Decision decision = to_decision(said);
  return told(without_gil([&] {
    bridge.answer(std::move(decision));
    return bridge.next();
  }));
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
      .def("answer_and_next", &answer_and_next_task)
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

}  // namespace

void define_policy_types(py::module_& module) {
  define_policy(module);
  define_views(module);
}

}  // namespace serverledge::python
