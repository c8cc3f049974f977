#include "serverledge/core/configuration.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <stdexcept>

namespace serverledge {
namespace {

std::string why(const Result<void>& result) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == ErrorCode::kInvalid);
  return result.error().message;
}

}  // namespace

TEST_CASE("without settings the defaults of the table are in force", "[configuration]") {
  const Configuration configuration;
  CHECK(configuration.integer("api.port") == 1323);
  CHECK(configuration.integer("container.pool.memory") == 1024);
  CHECK(configuration.duration("container.expiration") == std::chrono::seconds(600));
  CHECK(configuration.integer("scheduler.queue.capacity") == 0);
  CHECK(configuration.duration("container.timeout") == std::chrono::seconds(60));
  CHECK(configuration.bytes("api.body.max") == 6U << 20);
  CHECK(configuration.bytes("container.code.unpacked.max") == 512U << 20);
  CHECK(configuration.text("registry.area") == "ROME");
  CHECK_FALSE(configuration.boolean("sandbox.unsafe"));
  CHECK(configuration.list("code.url.schemes") == std::vector<std::string>{"https", "http"});
  CHECK(configuration.warnings().empty());
  CHECK_FALSE(configuration.is_set("api.port"));
}

TEST_CASE("what is decided at start is empty or 0 until somebody sets it", "[configuration]") {
  Configuration configuration;
  CHECK(configuration.text("store.path").empty());
  CHECK(configuration.number("container.pool.cpus") == 0);
  REQUIRE(configuration.set("container.pool.cpus", "0.5"));
  CHECK(configuration.number("container.pool.cpus") == 0.5);
  REQUIRE(configuration.set("container.pool.cpus", ""));
  CHECK_FALSE(configuration.is_set("container.pool.cpus"));
  CHECK(configuration.number("container.pool.cpus") == 0);
}

TEST_CASE("a later setting replaces an earlier one, and tells where it came from", "[configuration]") {
  Configuration configuration;
  REQUIRE(configuration.set("api.port", "80", "a.yaml"));
  REQUIRE(configuration.set("API.Port", " 81 ", "environment"));
  CHECK(configuration.integer("api.port") == 81);
  const auto all = configuration.effective();
  const auto port =
      std::find_if(all.begin(), all.end(), [](const auto& one) { return one.key == "api.port"; });
  REQUIRE(port != all.end());
  CHECK(port->value == "81");
  CHECK(port->origin == "environment");
  CHECK(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.key < b.key; }));
  CHECK(std::count_if(all.begin(), all.end(), [](const auto& one) { return one.origin == "default"; }) + 1 ==
        static_cast<std::ptrdiff_t>(all.size()));
}

TEST_CASE("an unknown key is refused, with the nearest known one", "[configuration]") {
  Configuration configuration;
  CHECK(
      why(configuration.set("container.pool.memroy", "5", "serverledge-conf.yaml")) ==
      "serverledge-conf.yaml: unknown configuration key \"container.pool.memroy\"; the nearest known one is "
      "\"container.pool.memory\"");
  CHECK(nearest_configuration_key("scheduler.queue.capacty") == "scheduler.queue.capacity");
  CHECK(nearest_configuration_key("api_port") == "api.port");
  for (const char* key :
       {"", ".", "api", "api.port.", "api.port.x", "workflow.offloading.policy.region.cost.*",
        "workflow.offloading.policy.region.cost."}) {
    INFO(key);
    CHECK_FALSE(configuration.set(key, "1").has_value());
  }
}

TEST_CASE("a value that does not fit is refused, with what would", "[configuration]") {
  Configuration configuration;
  CHECK(why(configuration.set("api.port", "http")) ==
        "code: api.port must be an integer from 0 to 65535, not \"http\"");
  CHECK(why(configuration.set("container.expiration", "-1")) ==
        "code: container.expiration must be a number of seconds of at least 0, not \"-1\"");
  CHECK(why(configuration.set("sandbox.unsafe", "maybe")) ==
        "code: sandbox.unsafe must be true or false, not \"maybe\"");
  CHECK(why(configuration.set("sandbox.network", "bridge")) ==
        "code: sandbox.network must be one of none, host, not \"bridge\"");
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, const char*>>{{"api.port", "65536"},
                                                        {"api.port", "80.0"},
                                                        {"api.port", "0x50"},
                                                        {"api.port", "80 81"},
                                                        {"api.port", ""},
                                                        {"container.timeout", "nan"},
                                                        {"container.timeout", "inf"},
                                                        {"container.timeout", "30s"},
                                                        {"container.timeout", "0"},
                                                        {"container.pool.memory", "0"},
                                                        {"container.pool.memory", "1e3"},
                                                        {"api.body.max", "9999999"}}) {
    INFO(key << " = " << value);
    CHECK_FALSE(configuration.set(key, value).has_value());
    CHECK_FALSE(configuration.is_set(key));
  }
}

TEST_CASE("values are read as the types of the table", "[configuration]") {
  Configuration configuration;
  REQUIRE(configuration.set("container.expiration", "0.25"));
  CHECK(configuration.duration("container.expiration") == std::chrono::milliseconds(250));
  REQUIRE(configuration.set("container.expiration", "1e300"));
  CHECK(configuration.duration("container.expiration") > std::chrono::hours(24 * 365 * 99));
  REQUIRE(configuration.set("api.body.max", "0.5"));
  CHECK(configuration.bytes("api.body.max") == 1U << 19);
  for (const char* yes : {"true", "True", "yes", "on", "1"}) {
    REQUIRE(configuration.set("sandbox.unsafe", yes));
    CHECK(configuration.boolean("sandbox.unsafe"));
    CHECK(configuration.text("sandbox.unsafe") == "true");
  }
  for (const char* no : {"false", "FALSE", "no", "off", "0"}) {
    REQUIRE(configuration.set("sandbox.unsafe", no));
    CHECK_FALSE(configuration.boolean("sandbox.unsafe"));
  }
  REQUIRE(configuration.set("code.url.schemes", " https , ,file,"));
  CHECK(configuration.list("code.url.schemes") == std::vector<std::string>{"https", "file"});
  REQUIRE(configuration.set("code.url.schemes", ""));
  CHECK(configuration.list("code.url.schemes").empty());
}

TEST_CASE("asking for an unknown key or as another type is a bug that shows", "[configuration]") {
  const Configuration configuration;
  CHECK_THROWS_AS(configuration.text("api.prot"), std::logic_error);
  CHECK_THROWS_AS(configuration.integer("registry.area"), std::logic_error);
  CHECK_THROWS_AS(configuration.duration("api.port"), std::logic_error);
  CHECK_THROWS_AS(configuration.boolean("api.port"), std::logic_error);
  CHECK_THROWS_AS(configuration.bytes("container.pool.memory"), std::logic_error);
  CHECK_THROWS_AS(configuration.list("api.port"), std::logic_error);
  CHECK_THROWS_AS(configuration.is_set("api.prot"), std::logic_error);
}

TEST_CASE("a key without effect is accepted with one warning", "[configuration]") {
  Configuration configuration;
  REQUIRE(configuration.set("loadbalancer.policy", "RoundRobin", "a.yaml"));
  REQUIRE(configuration.set("loadbalancer.policy", "MAB", "b.yaml"));
  REQUIRE(configuration.set("workflow.offloading.policy.region.cost.paris", "2.5", "b.yaml"));
  REQUIRE(configuration.set("api.port", "1"));
  CHECK(configuration.warnings() ==
        std::vector<std::string>{
            "b.yaml: loadbalancer.policy has no effect in this version",
            "b.yaml: workflow.offloading.policy.region.cost.paris has no effect in this version"});
  CHECK(configuration.number("workflow.offloading.policy.region.cost.paris") == 2.5);
  CHECK(configuration.number("workflow.offloading.policy.region.cost.rome") == 0);
}

TEST_CASE("every key of the Go implementation is known", "[configuration]") {
  Configuration configuration;
  for (const char* key : {"etcd.address",
                          "api.port",
                          "api.ip",
                          "factory.images.refresh",
                          "container.pool.memory",
                          "container.pool.cpus",
                          "janitor.interval",
                          "container.expiration",
                          "offloading.cache.validity",
                          "node.architecture",
                          "cache.size",
                          "cache.cleanup",
                          "cache.expiration",
                          "registry.area",
                          "registry.node.id",
                          "registry.remote.area",
                          "registry.udp.port",
                          "registry.nearby.interval",
                          "registry.monitoring.interval",
                          "scheduler.policy",
                          "scheduler.queue.capacity",
                          "scheduler.fallback.local",
                          "metrics.enabled",
                          "metrics.prometheus.host",
                          "metrics.prometheus.port",
                          "metrics.prometheus.pushgateway.host",
                          "metrics.prometheus.pushgateway.port",
                          "metrics.retriever.interval",
                          "metrics.dump.json.file",
                          "metrics.load.json.file",
                          "tracing.enabled",
                          "tracing.outfile",
                          "workflow.always_save_progress",
                          "workflow.offloading.policy",
                          "workflow.offloading.policy.optimizer.host",
                          "workflow.offloading.policy.optimizer.port",
                          "workflow.offloading.policy.ilp.placement.ttl",
                          "workflow.offloading.policy.ilp.obj.violations",
                          "workflow.offloading.policy.ilp.obj.data",
                          "workflow.offloading.policy.ilp.obj.cost",
                          "workflow.offloading.policy.ilp.obj.reclaimed",
                          "workflow.offloading.policy.node2datastore.bandwidth",
                          "workflow.offloading.policy.cloud2datastore.bandwidth",
                          "workflow.offloading.policy.threshold",
                          "workflow.offloading.policy.threshold.offloaded.max",
                          "workflow.profiling.saveinput",
                          "lb.mode",
                          "lb.replicas",
                          "lb.refresh_interval",
                          "lb.arch_awareness",
                          "mab.policy",
                          "mab.ucb1.c",
                          "mab.linucb.alpha",
                          "mab.linucb.lambda",
                          "loadbalancer.policy",
                          "loadbalancer.targets.interval",
                          "workflow.offloading.policy.region.cost.rome"}) {
    INFO(key);
    CHECK_NOTHROW(configuration.text(key));
  }
}

TEST_CASE("the table is in order, and its defaults fit its own rows", "[configuration]") {
  const auto& keys = configuration_keys();
  std::set<std::string> variables;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    INFO(keys[i].name);
    if (i > 0) CHECK(keys[i - 1].name < keys[i].name);
    CHECK(keys[i].description.ends_with("."));
    CHECK(keys[i].description.find('|') == std::string_view::npos);
    CHECK(variables.insert(environment_name(keys[i].name)).second);
    Configuration configuration;
    if (!keys[i].name.ends_with(".*"))
      CHECK(configuration.set(keys[i].name, keys[i].default_value).has_value());
  }
}

TEST_CASE("the environment variable of a key is its name in capitals", "[configuration]") {
  CHECK(environment_name("container.pool.memory") == "SERVERLEDGE_CONTAINER_POOL_MEMORY");
  CHECK(environment_name("lb.refresh_interval") == "SERVERLEDGE_LB_REFRESH_INTERVAL");
}

}  // namespace serverledge
