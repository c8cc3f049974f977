#include <algorithm>
#include <iterator>

#include "serverledge/core/configuration.hpp"

namespace serverledge {
namespace {

using enum ConfigurationKey::Type;

// One row a key: name, type, default, meaning, minimum, maximum (0: none), choices. docs/configuration.md is
// made of these two tables.
constexpr ConfigurationKey kKeys[] = {
    {"api.body.max", kMegabytes, "6",
     "Largest request body in MB, except that of /create and /update; a larger one is answered with 413.",
     0.001, 2047},
    {"api.code.max", kMegabytes, "64",
     "Largest function code in MB, packed, as sent to /create or fetched from a URL.", 0.001, 2047},
    {"api.concurrency", kInteger, "512",
     "Requests that are worked on at a time; more get 503. A synchronous invocation counts until its answer "
     "is there.",
     1, 100000},
    {"api.drain", kSeconds, "10",
     "How long running invocations may go on after SIGTERM before they are ended."},
    {"api.ip", kText, "",
     "Address under which other nodes reach this one. Default: that of the route to etcd."},
    {"api.listen", kText, "",
     "Address to listen on. Default: 127.0.0.1, or 0.0.0.0 when etcd.address is set; nothing authenticates "
     "callers."},
    {"api.port", kInteger, "1323", "TCP port of the HTTP API; 0 takes any free one.", 0, 65535},
    {"async.capacity", kInteger, "10000", "Asynchronous invocations that may wait at a time; more get 429.",
     1},
    {"async.ttl", kSeconds, "1800", "How long the result of an asynchronous invocation is kept.", 1},
    {"async.workers", kInteger, "64",
     "Asynchronous invocations that run at a time; their threads are started on demand.", 1, 10000},
    {"code.url.schemes", kList, "https,http",
     "Schemes allowed where a function's code is given as a URL; empty allows no URL."},
    {"code.url.timeout", kSeconds, "30", "How long fetching a function's code from a URL may take.", 0.001},
    {"container.code.unpacked.max", kMegabytes, "512", "Largest function code in MB, unpacked.", 0.001},
    {"container.docker.capabilities", kList, "",
     "Linux capabilities that a Docker container keeps, e.g. NET_BIND_SERVICE. Default: none."},
    {"container.docker.code", kText, "auto",
     "How code gets into a Docker container: bind (a folder of this machine), volume (sent through the "
     "engine's API), or auto (bind where the engine is reached by a Unix socket and sees the folder).",
     0, 0, "auto,bind,volume"},
    {"container.docker.config", kText, "",
     "Folder of Docker's config.json, with the credentials that docker login has left for registries. "
     "Default: "
     "DOCKER_CONFIG, else ~/.docker."},
    {"container.docker.host", kText, "",
     "Where the container engine is: unix:///path or tcp://host:port. Default: DOCKER_HOST, else "
     "unix:///var/run/docker.sock."},
    {"container.docker.image.*", kText, "",
     "Image of a canonical runtime (the name in place of *), e.g. python314. Default: the local "
     "serverledge-python310 and serverledge-nodejs17 if they are there, else "
     "grussorusso/serverledge-<runtime>."},
    {"container.docker.init", kBoolean, "true",
     "Run the engine's small init as first process of a Docker container."},
    {"container.docker.network", kText, "bridge",
     "Network of Docker containers: bridge (the node's own, without traffic between containers), internal "
     "(the same without a way out), or the name of a network that there is."},
    {"container.docker.newprivileges", kBoolean, "false",
     "Let programs in Docker containers gain rights (setuid)."},
    {"container.docker.pids.max", kInteger, "256",
     "Processes and threads that one Docker container may have.", 4, 32768},
    {"container.docker.pull.timeout", kSeconds, "600", "How long pulling one image may take.", 1},
    {"container.docker.tls", kText, "",
     "Folder with ca.pem, cert.pem and key.pem, for an engine that is reached by TCP with TLS. Default: "
     "where "
     "DOCKER_TLS_VERIFY is set, DOCKER_CERT_PATH, else Docker's folder."},
    {"container.docker.tmp.size", kMegabytes, "64",
     "Size in MB of a Docker container's /tmp, the only place it can write to.", 0.1},
    {"container.docker.user", kText, "65534:65534",
     "User and group, by number, that Docker containers run as; image: as their images say."},
    {"container.docker.writableroot", kBoolean, "false",
     "Let Docker containers write to the files of their image, on the machine's disk and without limit."},
    {"container.expiration", kSeconds, "600", "How long an idle container is kept warm."},
    {"container.keepalive.policy", kText, "ttl",
     "Which idle container goes first when memory is short: ttl (the one idle longest) or greedydual (by "
     "size, cost of a start and use).",
     0, 0, "ttl,greedydual"},
    {"container.output.max", kMegabytes, "1",
     "Most output in MB that is kept of one invocation with ReturnOutput; what is cut off is told.", 0.001,
     1024},
    {"container.pool.cpus", kNumber, "", "Cores that containers may use. Default: the cores of the machine.",
     0.001, 100000},
    {"container.pool.memory", kInteger, "1024", "Memory in MB that containers may use.", 1},
    {"container.result.max", kMegabytes, "6", "Largest result in MB that a function may return.", 0.001,
     1024},
    {"container.runtime", kText, "auto",
     "What containers are made of: sandbox (Linux namespaces, no daemon), docker, or auto (the sandbox where "
     "it can be had; a container engine, where there is one, for custom images and all else).",
     0, 0, "auto,sandbox,docker"},
    {"container.start.timeout", kSeconds, "30",
     "How long a container may take to start, with the import of the function.", 0.001},
    {"container.starts", kInteger, "", "Containers that may be starting at a time. Default: twice the cores.",
     1, 10000},
    {"container.timeout", kSeconds, "60", "How long an invocation may run if its function has no TimeoutSec.",
     0.001},
    {"etcd.address", kList, "",
     "Addresses of etcd's members, host:port or https://host:port, for a cluster. Default: none, the "
     "embedded "
     "store."},
    {"etcd.ca", kText, "",
     "File (PEM) of the authority that signed etcd's certificate; with it, etcd is reached by TLS. Default: "
     "those that this machine trusts."},
    {"etcd.cert", kText, "", "File (PEM) of this node's certificate for etcd, if etcd asks for one."},
    {"etcd.key", kText, "", "File (PEM) of the key that belongs to etcd.cert."},
    {"etcd.password", kText, "", "Password of etcd.user."},
    {"etcd.user", kText, "", "User of etcd. Default: none, no authentication."},
    {"factory.images.refresh", kBoolean, "false",
     "Pull images anew when a node first uses them; a local one serves where that fails."},
    {"janitor.interval", kSeconds, "30", "How often idle containers are checked for expiry.", 0.001},
    {"lb.bound", kNumber, "1.25",
     "Calls that the load balancer lets a node have at a time, as a multiple of the average over its nodes; "
     "what a function has beyond that spills over to the next node.",
     1, 1000},
    {"lb.spare", kInteger, "4", "Calls that it lets a node have in any case, before a function spills over.",
     1, 100000},
    {"log.format", kText, "text", "Form of the log lines on stderr.", 0, 0, "text,json"},
    {"log.level", kText, "info", "What is logged: this and worse.", 0, 0, "debug,info,warning,error"},
    {"metrics.enabled", kBoolean, "false", "Count what happens and serve it to Prometheus at /metrics."},
    {"metrics.functions.max", kInteger, "100",
     "Functions that have metrics of their own; all others are counted together, as function _other.", 0,
     100000},
    {"metrics.prometheus.pushgateway.host", kText, "",
     "Pushgateway that the metrics are pushed to, if metrics.enabled. Default: none."},
    {"metrics.prometheus.pushgateway.interval", kSeconds, "30", "How often they are pushed.", 0.1},
    {"metrics.prometheus.pushgateway.port", kInteger, "9091", "Port of the Pushgateway.", 1, 65535},
    {"node.architecture", kText, "", "Architecture of this node's functions. Default: the machine's.", 0, 0,
     "amd64,arm64"},
    {"policy.timeout", kSeconds, "0.02",
     "How long an invocation waits for the decision of a policy written in Python; then it is decided as by "
     "localonly.",
     0.0001, 60},
    {"registry.area", kText, "ROME",
     "Area of the cluster that this node belongs to; it is told in every answer."},
    {"registry.lease", kSeconds, "120",
     "How long this node's registration outlives its last renewal; it is renewed four times as often.", 2,
     3600},
    {"registry.nearby.interval", kSeconds, "20",
     "How often other nodes are asked for their status; those that calls may be offloaded to every 2 s at "
     "least.",
     0.05, 3600},
    {"registry.neighbours", kInteger, "2",
     "Nearest nodes of the area, of each architecture, that calls may be offloaded to.", 0, 1000},
    {"registry.node.id", kText, "", "Key of this node. Default: random, kept under store.path."},
    {"registry.remote.area", kText, "", "Area to offload to vertically, usually the cloud. Default: none."},
    {"registry.udp.port", kInteger, "9876", "UDP port of the status exchange; 0 takes any free one.", 0,
     65535},
    {"sandbox.libexec", kText, "",
     "Folder of the launcher and the workers. Default: ../libexec/serverledge beside the library."},
    {"sandbox.network", kText, "none",
     "Network of a sandbox: none (loopback of its own) or host (the machine's).", 0, 0, "none,host"},
    {"sandbox.node", kText, "/usr/bin/node", "Node.js that runs JavaScript functions."},
    {"sandbox.pids.max", kInteger, "64", "Processes and threads that one sandbox may have.", 4, 32768},
    {"sandbox.python", kText, "/usr/bin/python3", "Python that runs Python functions."},
    {"sandbox.stock.memory", kInteger, "64",
     "Memory in MB that one Node.js instance of the stock is charged with (a Python one: 8).", 1},
    {"sandbox.stock.nodejs", kInteger, "2",
     "Started Node.js instances kept in stock for cold starts; they go first when memory is short.", 0, 1000},
    {"sandbox.stock.python", kInteger, "2",
     "Forked Python instances kept in stock for cold starts; they go first when memory is short.", 0, 1000},
    {"sandbox.tmp.size", kMegabytes, "64", "Size in MB of a sandbox's /tmp, the only place it can write to.",
     0.1},
    {"sandbox.unsafe", kBoolean, "false",
     "Run functions even where the machine lacks something that isolates them. Only for functions that you "
     "trust."},
    {"scheduler.fallback.local", kBoolean, "false",
     "With cloudonly: run on this node what the cloud does not take, instead of refusing it."},
    {"scheduler.policy", kText, "default",
     "Where an invocation runs. default, localonly: on this node. edgeonly: on a neighbour, else here. "
     "edgecloud: here, "
     "else in the cloud. cloudonly: in the cloud. nearest: here, else on a neighbour, else in the cloud."},
    {"scheduler.queue.capacity", kInteger, "0",
     "Synchronous invocations that may wait for resources at a time; more get 429. 0: no queue."},
    {"scheduler.queue.timeout", kSeconds, "30",
     "How long an invocation without QoSMaxRespT may wait in the queue.", 0.001},
    {"store.path", kText, "",
     "Folder for functions, results and unpacked code, or :memory: for none. Default: /var/lib/serverledge "
     "as root, else $XDG_STATE_HOME/serverledge or ~/.local/state/serverledge."},
    {"submit.capacity", kInteger, "10000",
     "Invocations that the program around an embedded node has submitted (C++, C and Python) and that have "
     "not ended; more are refused.",
     1},
    {"submit.workers", kInteger, "64",
     "Submitted invocations that run at a time; their threads are started on demand.", 1, 10000},
    {"tracing.enabled", kBoolean, "false", "Write the spans of every invocation to a file."},
    {"tracing.file.max", kMegabytes, "100",
     "Size in MB at which the file of traces is renamed to end in .1 and begun anew.", 0.001},
    {"tracing.outfile", kText, "",
     "File of traces, as lines of OTLP-JSON. Default: traces-<unix time>.json in the working directory."},
};

// Keys of the Go implementation that are accepted, with a warning, and have no effect.
constexpr ConfigurationKey kKeysWithoutEffect[] = {
    {"cache.cleanup", kSeconds, "60",
     "Of the Go implementation's function cache; functions are kept current by a watch here."},
    {"cache.expiration", kSeconds, "60",
     "Of the Go implementation's function cache; functions are kept current by a watch here."},
    {"cache.size", kInteger, "100",
     "Of the Go implementation's function cache; functions are kept current by a watch here."},
    {"lb.arch_awareness", kBoolean, "false", "Choose the architecture first, then a node of it."},
    {"lb.mode", kText, "RoundRobin",
     "How the load balancer chooses an architecture: RoundRobin, MAB or Random."},
    {"lb.refresh_interval", kSeconds, "30",
     "Of the Go implementation's load balancer; here the answers of the nodes tell how they are."},
    {"lb.replicas", kInteger, "128",
     "Points of each node on the ring of the Go implementation's load balancer; here every function has an "
     "order of the nodes of its own, which needs no ring."},
    {"loadbalancer.policy", kText, "", "Never had an effect."},
    {"loadbalancer.targets.interval", kText, "", "Never had an effect."},
    {"mab.linucb.alpha", kNumber, "0.1", "Exploration of LinUCB."},
    {"mab.linucb.lambda", kNumber, "0.0", "Weight of memory pressure in LinUCB's reward."},
    {"mab.policy", kText, "UCB1", "Bandit of the load balancer."},
    {"mab.ucb1.c", kNumber, "0.8", "Exploration of UCB1."},
    {"metrics.dump.json.file", kText, "", "File to write the metrics of functions to."},
    {"metrics.load.json.file", kText, "", "File to read the metrics of functions from."},
    {"metrics.prometheus.host", kText, "127.0.0.1", "Prometheus server to query."},
    {"metrics.prometheus.port", kInteger, "9090", "Its port.", 0, 65535},
    {"metrics.retriever.interval", kSeconds, "60", "How often Prometheus is queried."},
    {"offloading.cache.validity", kSeconds, "60",
     "Of the Go implementation's choice of a neighbour; here each call chooses anew, by fresh load."},
    {"registry.monitoring.interval", kSeconds, "30",
     "Of the Go implementation's reading of the registry; here a watch tells of every change."},
    {"workflow.always_save_progress", kBoolean, "false", "Save the progress of a workflow after each step."},
    {"workflow.offloading.policy", kText, "disable",
     "Where the steps of a workflow run: disable, ilp, heftless or threshold."},
    {"workflow.offloading.policy.cloud2datastore.bandwidth", kNumber, "1000",
     "Bandwidth from the cloud to the store."},
    {"workflow.offloading.policy.ilp.obj.cost", kNumber, "0.3", "Weight in the objective of the optimizer."},
    {"workflow.offloading.policy.ilp.obj.data", kNumber, "0.3", "Weight in the objective of the optimizer."},
    {"workflow.offloading.policy.ilp.obj.reclaimed", kNumber, "0.1",
     "Weight in the objective of the optimizer."},
    {"workflow.offloading.policy.ilp.obj.violations", kNumber, "0.3",
     "Weight in the objective of the optimizer."},
    {"workflow.offloading.policy.ilp.placement.ttl", kNumber, "2",
     "How long a placement of the optimizer is used."},
    {"workflow.offloading.policy.node2datastore.bandwidth", kNumber, "40.0",
     "Bandwidth from a node to the store."},
    {"workflow.offloading.policy.optimizer.host", kText, "localhost", "Optimizer to ask for placements."},
    {"workflow.offloading.policy.optimizer.port", kInteger, "8080", "Its port.", 0, 65535},
    {"workflow.offloading.policy.region.cost.*", kNumber, "0", "Cost of an area (the name in place of *)."},
    {"workflow.offloading.policy.threshold", kNumber, "0.75",
     "Share of memory in use beyond which steps are offloaded."},
    {"workflow.offloading.policy.threshold.offloaded.max", kInteger, "5", "Steps offloaded at a time."},
    {"workflow.profiling.saveinput", kBoolean, "false", "Save the inputs of steps for profiling."},
};

}  // namespace

const std::vector<ConfigurationKey>& configuration_keys() {
  static const std::vector<ConfigurationKey> keys = [] {
    std::vector<ConfigurationKey> all(std::begin(kKeys), std::end(kKeys));
    for (ConfigurationKey key : kKeysWithoutEffect) {
      key.unused = true;
      all.push_back(key);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
  }();
  return keys;
}

}  // namespace serverledge
