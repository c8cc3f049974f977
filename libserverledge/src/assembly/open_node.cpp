#include "serverledge/assembly/open_node.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "assembly/cluster_parts.hpp"
#include "assembly/container_runtimes.hpp"
#include "assembly/listening.hpp"
#include "assembly/node_settings.hpp"
#include "assembly/observers.hpp"
#include "assembly/stores.hpp"
#include "serverledge/api/http_api.hpp"
#include "serverledge/cluster/stored_registry.hpp"
#include "serverledge/cluster/stored_results.hpp"
#include "serverledge/net/http_server.hpp"
#include "serverledge/policy/keep_alive_policy.hpp"
#include "serverledge/runtime/code_archive.hpp"
#include "serverledge/runtime/code_download.hpp"
#include "serverledge/runtime/node_lock.hpp"

namespace serverledge {

/// The parts of a node in the order in which they are built; they end in the opposite one.
struct OpenedNode::Parts {
  Clock* clock = nullptr;
  std::shared_ptr<Observer> observer;
  Observers observers;
  std::optional<NodeLock> lock;
  std::unique_ptr<KeyValueStore> disk;  // with a cluster: what the node keeps itself
  std::unique_ptr<KeyValueStore> store;
  std::unique_ptr<FunctionRegistry> registry;
  std::unique_ptr<StoredResults> results;
  std::unique_ptr<CodeArchive> archive;
  std::shared_ptr<AddressRanges> container_networks = std::make_shared<AddressRanges>();
  std::unique_ptr<ContainerRuntime> runtime;
  std::unique_ptr<ClusterParts> cluster;  // null: a node on its own
  SeededRandom chance{entropy()};
  std::unique_ptr<Node> node;
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<HttpApi> api;
  std::function<std::unique_ptr<PushgatewayPusher>()> make_pusher;  // empty: metrics are off
  std::unique_ptr<PushgatewayPusher> pusher;

  std::string listening;  // the address
  std::vector<std::string> notices;
  std::atomic<int> port{0};
  std::mutex stopping;
  TimePoint next_collection{};

  /// About once a second, on the node's upkeep thread.
  void keep_up();
  /// Says what an operator should know of a node that has just begun to listen there.
  void tell_start(const std::string& address) const;
};

namespace {

constexpr const char* kMemory = ":memory:";
/// How long answers may take to be written when the node stops.
constexpr Duration kAnswerTime = std::chrono::seconds(2);
/// How often unpacked code that no function has any more is looked for.
constexpr Duration kCollectionInterval = std::chrono::minutes(1);

Result<std::unique_ptr<OffloadingPolicy>> make_policy(const Configuration& configuration, Random& chance) {
  const std::string name = configuration.text("scheduler.policy");
  if (auto policy = make_offloading_policy(
          name, {.random = &chance, .fallback_local = configuration.boolean("scheduler.fallback.local")}))
    return policy;
  return Unexpected(ErrorCode::kInvalid, fmt::format("scheduler.policy: there is no policy {}; there are {}",
                                                     name, fmt::join(offloading_policy_names(), ", ")));
}

/// Where unpacked code is kept: beside the store, or with the node's own things if nothing is to last.
std::string code_folder(const std::string& store, const NodeLock& lock) {
  return (store == kMemory ? lock.folder() : store) + "/code";
}

}  // namespace

void OpenedNode::Parts::keep_up() {
  const TimePoint now = clock->now();
  results->pump(now);
  if (now < next_collection) return;
  next_collection = now + kCollectionInterval;
  std::vector<std::string> digests;
  for (const FunctionPtr& function : registry->list()) digests.push_back(function->code_digest);
  archive->collect(digests);
}

void OpenedNode::Parts::tell_start(const std::string& address) const {
  for (const ContainerRuntime::Served& served : runtime->runtimes()) {
    observer->log(LogLevel::kInfo, "serving", {{"runtime", served.runtime}, {"by", served.description}});
  }
  for (const std::string& notice : notices) observer->log(LogLevel::kWarning, "notice", {{"text", notice}});
  observer->log(LogLevel::kInfo, "listening", {{"address", "http://" + address}});
}

/// Builds the parts one after the other, each on those before it.
class NodeBuilder {
 public:
  NodeBuilder(const Configuration& configuration, Overrides& overrides, OpenedNode::Parts& parts)
      : configuration_(configuration), overrides_(overrides), parts_(parts) {}

  Result<void> build() {
    for (const auto step :
         {&NodeBuilder::open_store, &NodeBuilder::open_runtime, &NodeBuilder::open_machine}) {
      if (Result<void> done = (this->*step)(); !done) return done;
    }
    open_door();
    gather_notices();
    return {};
  }

 private:
  Result<void> open_store() {
    parts_.clock = overrides_.clock != nullptr ? overrides_.clock : &system_clock();
    Result<std::string> path = store_path(configuration_);
    if (!path) return Unexpected(std::move(path).error());
    store_path_ = std::move(*path);
    Result<NodeLock> lock = NodeLock::acquire(store_path_ == kMemory ? std::string() : store_path_);
    if (!lock) return Unexpected(named("store.path", std::move(lock).error()));
    parts_.lock = std::move(*lock);
    if (Result<void> watched = watch(); !watched) return watched;
    if (overrides_.store) {
      parts_.store = std::move(overrides_.store);
    } else {
      Result<Stores> stores = open_stores(configuration_, store_path_, *parts_.clock);
      if (!stores) return Unexpected(std::move(stores).error());
      parts_.disk = std::move(stores->disk);
      parts_.store = std::move(stores->shared);
    }
    parts_.registry = make_stored_registry(*parts_.store, *parts_.clock, *parts_.observer, parts_.disk.get());
    if (std::string refusal = parts_.store->refusal(); !refusal.empty())
      return Unexpected(ErrorCode::kUnavailable, std::move(refusal));
    parts_.results = std::make_unique<StoredResults>(*parts_.store, *parts_.clock, *parts_.observer,
                                                     configuration_.duration("async.ttl"));
    return {};
  }

  Result<void> watch() {
    node_key_ = configuration_.is_set("registry.node.id") ? configuration_.text("registry.node.id")
                                                          : parts_.lock->id();
    Result<Observers> observers =
        make_observers(configuration_, std::move(overrides_.observer), node_key_, *parts_.clock);
    if (!observers) return Unexpected(std::move(observers).error());
    parts_.observers = std::move(*observers);
    parts_.observer = parts_.observers.all;
    return {};
  }

  Result<void> open_runtime() {
    const std::string folder = code_folder(store_path_, *parts_.lock);
    CodeArchiveOptions options;
    options.folder = folder;
    options.packed_max = configuration_.bytes("api.code.max");
    options.unpacked_max = configuration_.bytes("container.code.unpacked.max");
    Result<std::unique_ptr<CodeArchive>> archive = make_code_archive(options, *parts_.clock);
    if (!archive) return Unexpected(named("store.path", std::move(archive).error()));
    parts_.archive = std::move(*archive);
    if (overrides_.runtime) {
      parts_.runtime = std::move(overrides_.runtime);
      return {};
    }
    Result<std::unique_ptr<ContainerRuntime>> runtime =
        make_container_runtime(configuration_, {folder, *parts_.lock, *parts_.archive, *parts_.registry,
                                                *parts_.observer, *parts_.clock, *parts_.container_networks});
    if (!runtime) return Unexpected(std::move(runtime).error());
    parts_.runtime = std::move(*runtime);
    return {};
  }

  Result<void> open_machine() {
    Result<std::unique_ptr<OffloadingPolicy>> policy =
        overrides_.policy ? std::move(overrides_.policy) : make_policy(configuration_, parts_.chance);
    if (!policy) return Unexpected(std::move(policy).error());
    NodeOptions options = node_options(configuration_, node_key_);
    if (configuration_.is_set("etcd.address")) {
      auto cluster = ClusterParts::make(configuration_, node_key_, options.invoker.architecture,
                                        *parts_.store, *parts_.observer, *parts_.clock);
      if (!cluster) return Unexpected(std::move(cluster).error());
      parts_.cluster = std::move(*cluster);
    }
    parts_.node = std::make_unique<Node>(
        std::move(options),
        NodeParts{.runtime = *parts_.runtime,
                  .registry = *parts_.registry,
                  .results = *parts_.results,
                  .observer = *parts_.observer,
                  .clock = *parts_.clock,
                  .policy = std::move(*policy),
                  .keep_alive = make_keep_alive_policy(configuration_.text("container.keepalive.policy"),
                                                       configuration_.duration("container.expiration")),
                  .peers = parts_.cluster ? &parts_.cluster->peers() : nullptr,
                  .link = parts_.cluster ? &parts_.cluster->link() : nullptr,
                  .on_upkeep = [&parts = parts_] { parts.keep_up(); }});
    return {};
  }

  void open_door() {
    HttpServerOptions options = server_options(configuration_, parts_.observer);
    parts_.listening = options.address;
    options.refused = parts_.container_networks;
    parts_.server = std::make_unique<HttpServer>(std::move(options), *parts_.clock);
    HttpApiOptions api;
    api.body_max = configuration_.bytes("api.body.max");
    api.code_max = configuration_.bytes("api.code.max");
    if (parts_.cluster) api.code_inline_max = kLargestInlineCode;
    CodeDownloadOptions download;
    download.schemes = configuration_.list("code.url.schemes");
    download.size_max = api.code_max;
    download.timeout = configuration_.duration("code.url.timeout");
    api.download = [download, clock = parts_.clock](const std::string& url) {
      return download_code(url, download, *clock);
    };
    if (parts_.observers.metrics) api.metrics = offer_metrics();
    api.obstacle = [&store = *parts_.store] { return store.refusal(); };
    if (ClusterParts* cluster = parts_.cluster.get()) {
      api.coordinates = [cluster] { return cluster->coordinates(); };
    }
    parts_.api = std::make_unique<HttpApi>(*parts_.node, *parts_.archive, *parts_.server, std::move(api));
  }

  /// The text of the metrics; and prepares its pushing.
  std::function<std::string()> offer_metrics() {
    std::function<std::string()> text =
        [metrics = parts_.observers.metrics,
         watched = WatchedParts{.node = *parts_.node,
                                .store = *parts_.store,
                                .server = *parts_.server,
                                .peers = parts_.cluster ? &parts_.cluster->peers() : nullptr,
                                .tracer = parts_.observers.tracer.get()}] {
          return metrics->text(sample_of(watched));
        };
    parts_.make_pusher = [configuration = configuration_, key = node_key_, text, &parts = parts_] {
      return make_pusher(configuration, key, text, *parts.observer, *parts.clock);
    };
    return text;
  }

  void gather_notices() {
    parts_.notices = configuration_.warnings();
    std::ranges::move(parts_.runtime->notices(), std::back_inserter(parts_.notices));
    if (parts_.cluster) std::ranges::move(parts_.cluster->notices(), std::back_inserter(parts_.notices));
    parts_.notices.push_back(listening_notice(parts_.listening, "here"));
  }

  const Configuration& configuration_;
  Overrides& overrides_;
  OpenedNode::Parts& parts_;
  std::string store_path_;
  std::string node_key_;
};

OpenedNode::OpenedNode(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

OpenedNode::~OpenedNode() { stop(Duration::zero()); }

Result<void> OpenedNode::start() {
  Parts& parts = *parts_;
  const Result<int> port = start_listening(*parts.server);
  if (!port) return Unexpected(port.error());
  parts.port = *port;
  if (parts.cluster) {
    if (Result<void> joined = parts.cluster->join(*parts.node, *port); !joined) {
      parts.server->stop();
      return joined;
    }
  }
  parts.api->set_ready(true);
  if (parts.make_pusher) {
    const std::scoped_lock lock(parts.stopping);
    parts.pusher = parts.make_pusher();
  }
  parts.tell_start(address());
  return {};
}

void OpenedNode::stop(Duration drain) {
  if (parts_->cluster) parts_->cluster->leave();
  parts_->node->stop(drain);
  // The calls have ended; what is left is to write their answers.
  const std::scoped_lock lock(parts_->stopping);
  parts_->pusher.reset();  // pushes a last time
  parts_->server->drain(kAnswerTime);
  parts_->server->stop();
  if (parts_->cluster) parts_->cluster->close();
}

std::string OpenedNode::address() const { return address_here(parts_->listening, parts_->port); }

int OpenedNode::port() const { return parts_->port; }
Node& OpenedNode::node() { return *parts_->node; }
Result<FunctionPtr> OpenedNode::create_function(std::string_view request) {
  return parts_->api->create(request);
}
Result<FunctionPtr> OpenedNode::update_function(std::string_view request) {
  return parts_->api->update(request);
}
Result<FunctionPtr> OpenedNode::create_function(Function function, std::string_view code) {
  return parts_->api->create(std::move(function), code);
}
Result<FunctionPtr> OpenedNode::update_function(Function function, std::string_view code) {
  return parts_->api->update(std::move(function), code);
}
std::string OpenedNode::status() const { return parts_->api->status(); }
const std::vector<std::string>& OpenedNode::notices() const { return parts_->notices; }

Result<void> check_configuration(const Configuration& configuration) {
  SeededRandom chance{0};
  if (auto policy = make_policy(configuration, chance); !policy) return Unexpected(policy.error());
  return {};
}

Result<std::unique_ptr<OpenedNode>> open_node(const Configuration& configuration, Overrides overrides) {
  if (Result<void> checked = check_configuration(configuration); !checked) {
    return Unexpected(std::move(checked).error());
  }
  auto parts = std::make_unique<OpenedNode::Parts>();
  if (Result<void> built = NodeBuilder(configuration, overrides, *parts).build(); !built) {
    return Unexpected(std::move(built).error());
  }
  return std::unique_ptr<OpenedNode>(new OpenedNode(std::move(parts)));
}

}  // namespace serverledge
