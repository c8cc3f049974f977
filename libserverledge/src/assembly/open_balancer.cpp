#include "serverledge/assembly/open_balancer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "assembly/listening.hpp"
#include "assembly/node_settings.hpp"
#include "assembly/observers.hpp"
#include "assembly/own_address.hpp"
#include "assembly/stores.hpp"
#include "serverledge/balance/load_balancer.hpp"
#include "serverledge/cluster/stored_directory.hpp"
#include "serverledge/cluster/stored_registry.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/observe/balancer_metrics.hpp"

namespace serverledge {

/// The parts in the order in which they are built; they end in the opposite one.
struct OpenedBalancer::Parts {
  explicit Parts(const Configuration& configuration) : address(configuration) {}

  OwnAddress address;
  Clock* clock = nullptr;
  std::shared_ptr<Observer> observer;
  std::unique_ptr<KeyValueStore> store;
  std::unique_ptr<FunctionRegistry> functions;
  std::unique_ptr<NodeDirectory> directory;
  std::unique_ptr<BalancerMetrics> metrics;  // null: off
  std::unique_ptr<LoadBalancer> balancer;
  std::unique_ptr<HttpServer> server;

  Enlistment self;
  std::string listening;  // the address
  std::vector<std::string> notices;
  std::atomic<int> port{0};
  std::atomic<TimePoint> drain_until{TimePoint::max()};
  std::mutex stopping;
};

namespace {

/// How often a stop looks whether it is to be shorter.
constexpr Duration kDrainSlice = std::chrono::milliseconds(100);

/// There is one in every process: it needs no place on disk to be found again after a restart.
std::string key_of_balancer(const Configuration& configuration) {
  if (configuration.is_set("registry.node.id")) return configuration.text("registry.node.id");
  return fmt::format("lb{:016x}", entropy());
}

LoadBalancerOptions balancer_options(const Configuration& configuration) {
  LoadBalancerOptions options;
  options.area = configuration.text("registry.area");
  options.balancing.bound = configuration.number("lb.bound");
  options.balancing.spare = static_cast<std::size_t>(configuration.integer("lb.spare"));
  options.body_max = configuration.bytes("api.body.max");
  options.code_max = configuration.bytes("api.code.max");
  options.queue_time = configuration.duration("scheduler.queue.timeout");
  options.start_time = configuration.duration("container.start.timeout");
  options.call_time = configuration.duration("container.timeout");
  options.change_time = configuration.duration("container.docker.pull.timeout") +
                        configuration.duration("code.url.timeout") + std::chrono::seconds(30);
  return options;
}

/// Where the nodes that it knows are kept; empty: nowhere, which it can do without.
std::string kept_in(const Configuration& configuration) {
  const Result<std::string> path = store_path(configuration);
  return path && *path != ":memory:" ? *path + "/members" : std::string();
}

BalancerSample sample_of(const OpenedBalancer::Parts& parts) {
  BalancerSample sample;
  for (const Balancer::State& target : parts.balancer->targets())
    sample.targets.push_back({target.peer.key, target.up, target.calls});
  sample.store_up = parts.store->healthy();
  const HttpServerLoad load = parts.server->load();
  sample.connections = load.connections;
  sample.http_threads = load.threads;
  sample.http_running = load.running;
  return sample;
}

void count_requests(OpenedBalancer::Parts& parts, LoadBalancerOptions& options) {
  parts.metrics = std::make_unique<BalancerMetrics>();
  options.on_answer = [&metrics = *parts.metrics](const BalancedRequest& request) {
    metrics.answered(request.route, request.outcome, request.status, request.took);
  };
  options.on_retry = [&metrics = *parts.metrics](std::string_view reason) { metrics.retried(reason); };
  options.metrics = [&parts] { return parts.metrics->text(sample_of(parts)); };
}

Result<void> open_parts(const Configuration& configuration, OpenedBalancer::Parts& parts) {
  parts.functions = make_stored_registry(*parts.store, *parts.clock, *parts.observer);
  if (std::string refusal = parts.store->refusal(); !refusal.empty())
    return Unexpected(ErrorCode::kUnavailable, std::move(refusal));
  StoredDirectoryOptions directory;
  directory.areas.push_back(configuration.text("registry.area"));
  directory.lease = configuration.duration("registry.lease");
  directory.kept_in = kept_in(configuration);
  parts.directory = make_stored_directory(std::move(directory), *parts.store, *parts.observer);
  HttpServerOptions server = server_options(configuration, parts.observer);
  parts.listening = server.address;
  parts.server = std::make_unique<HttpServer>(std::move(server), *parts.clock);
  LoadBalancerOptions options = balancer_options(configuration);
  if (configuration.boolean("metrics.enabled")) count_requests(parts, options);
  options.obstacle = [&store = *parts.store] { return store.refusal(); };
  parts.balancer = std::make_unique<LoadBalancer>(std::move(options), *parts.server, *parts.directory,
                                                  *parts.functions, *parts.clock, *parts.observer);
  return {};
}

}  // namespace

OpenedBalancer::OpenedBalancer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

OpenedBalancer::~OpenedBalancer() { stop(Duration::zero()); }

Result<void> OpenedBalancer::start() {
  Parts& parts = *parts_;
  const Result<int> port = start_listening(*parts.server);
  if (!port) return Unexpected(port.error());
  parts.port = *port;
  parts.self.port = *port;
  parts.directory->enlist(parts.self);
  for (const std::string& notice : parts.notices)
    parts.observer->log(LogLevel::kWarning, "notice", {{"text", notice}});
  parts.observer->log(LogLevel::kInfo, "balancing", {{"area", parts.self.area}});
  parts.observer->log(LogLevel::kInfo, "listening", {{"address", "http://" + address()}});
  return {};
}

void OpenedBalancer::stop(Duration drain) {
  Parts& parts = *parts_;
  TimePoint until = later(parts.clock->now(), drain);
  TimePoint before = parts.drain_until.load();
  while (until < before && !parts.drain_until.compare_exchange_weak(before, until)) {
  }
  const std::scoped_lock lock(parts.stopping);
  parts.balancer->leave();
  parts.directory->withdraw();
  for (TimePoint now = parts.clock->now();; now = parts.clock->now()) {
    const Duration left = std::max(parts.drain_until.load() - now, Duration::zero());
    if (parts.server->drain(std::min(left, kDrainSlice)) == 0 || left == Duration::zero()) break;
  }
  parts.server->stop();
}

std::string OpenedBalancer::address() const { return address_here(parts_->listening, parts_->port); }

int OpenedBalancer::port() const { return parts_->port; }

Result<void> check_balancer_configuration(const Configuration& configuration) {
  if (!configuration.is_set("etcd.address")) {
    return Unexpected(ErrorCode::kInvalid,
                      "etcd.address: a load balancer finds its nodes in etcd; say where that is, e.g. "
                      "127.0.0.1:2379");
  }
  if (auto good = check_registry_name("registry.area", configuration.text("registry.area")); !good)
    return good;
  if (!configuration.is_set("registry.node.id")) return {};
  return check_registry_name("registry.node.id", configuration.text("registry.node.id"));
}

Result<std::unique_ptr<OpenedBalancer>> open_balancer(const Configuration& configuration,
                                                      BalancerOverrides overrides) {
  if (Result<void> checked = check_balancer_configuration(configuration); !checked)
    return Unexpected(std::move(checked).error());
  auto parts = std::make_unique<OpenedBalancer::Parts>(configuration);
  parts->clock = overrides.clock != nullptr ? overrides.clock : &system_clock();
  const std::string key = key_of_balancer(configuration);
  parts->observer =
      overrides.observer ? std::move(overrides.observer) : log_observer(configuration, *parts->clock);
  if (overrides.store) {
    parts->store = std::move(overrides.store);
  } else {
    Result<std::unique_ptr<KeyValueStore>> store = open_cluster_store(configuration, *parts->clock);
    if (!store) return Unexpected(std::move(store).error());
    parts->store = std::move(*store);
  }
  if (Result<void> opened = open_parts(configuration, *parts); !opened)
    return Unexpected(std::move(opened).error());
  parts->self = {.key = key,
                 .area = configuration.text("registry.area"),
                 .arch = node_options(configuration, key).invoker.architecture,
                 .port = 0,
                 // Of the contract's form; nobody asks a balancer for its status.
                 .udp_port = std::max(1, static_cast<int>(configuration.integer("registry.udp.port"))),
                 .balancer = true,
                 .address = [&address = parts->address] { return address.get(); }};
  parts->notices = parts->address.notices("this load balancer", "only this machine can send calls to it");
  parts->notices.push_back(listening_notice(parts->listening, "on the nodes"));
  return std::unique_ptr<OpenedBalancer>(new OpenedBalancer(std::move(parts)));
}

}  // namespace serverledge
