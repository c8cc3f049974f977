#include "assembly/container_runtimes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "assembly/node_settings.hpp"
#include "serverledge/runtime/docker_runtime.hpp"
#include "serverledge/runtime/routing_runtime.hpp"
#include "serverledge/runtime/sandbox_runtime.hpp"

namespace serverledge {
namespace {

using RuntimeResult = Result<std::unique_ptr<ContainerRuntime>>;

SandboxOptions sandbox_options(const Configuration& configuration, const std::string& code) {
  SandboxOptions options;
  options.libexec = configuration.text("sandbox.libexec");
  options.code = code;
  options.python = configuration.text("sandbox.python");
  options.node = configuration.text("sandbox.node");
  options.host_network = configuration.text("sandbox.network") == "host";
  options.unsafe = configuration.boolean("sandbox.unsafe");
  options.tmp_bytes = configuration.bytes("sandbox.tmp.size");
  options.processes = configuration.integer("sandbox.pids.max");
  options.output_bytes = configuration.bytes("container.output.max");
  options.result_bytes = configuration.bytes("container.result.max");
  options.python_stock = static_cast<int>(configuration.integer("sandbox.stock.python"));
  options.nodejs_stock = static_cast<int>(configuration.integer("sandbox.stock.nodejs"));
  options.stock_memory_mb = configuration.integer("sandbox.stock.memory");
  options.start_timeout = configuration.duration("container.start.timeout");
  return options;
}

constexpr const char* kUsualSocket = "/var/run/docker.sock";

/// Where `docker login` keeps what it was told; empty if that cannot be known.
std::string usual_docker_folder() {
  if (std::string folder = environment_variable("DOCKER_CONFIG"); !folder.empty()) return folder;
  const std::string home = environment_variable("HOME");
  return home.empty() ? std::string() : home + "/.docker";
}

std::string tls_folder(const Configuration& configuration) {
  if (configuration.is_set("container.docker.tls")) return configuration.text("container.docker.tls");
  if (environment_variable("DOCKER_TLS_VERIFY").empty()) return {};
  const std::string folder = environment_variable("DOCKER_CERT_PATH");
  return folder.empty() ? usual_docker_folder() : folder;
}

/// Where an engine should be; empty if nothing says that there is one.
std::string engine_host(const Configuration& configuration) {
  if (configuration.is_set("container.docker.host")) return configuration.text("container.docker.host");
  if (std::string host = environment_variable("DOCKER_HOST"); !host.empty()) return host;
  const bool wanted = configuration.text("container.runtime") == "docker";
  return wanted || ::access(kUsualSocket, R_OK | W_OK) == 0 ? fmt::format("unix://{}", kUsualSocket)
                                                            : std::string();
}

DockerOptions docker_options(const Configuration& configuration, std::string host) {
  DockerOptions options;
  options.host = std::move(host);
  options.tls_folder = tls_folder(configuration);
  options.config_folder = configuration.is_set("container.docker.config")
                              ? configuration.text("container.docker.config")
                              : usual_docker_folder();
  constexpr std::string_view kImage = "container.docker.image.";
  for (const Configuration::Effective& setting : configuration.effective()) {
    if (setting.key.starts_with(kImage) && !setting.key.ends_with('*'))
      options.images.emplace(setting.key.substr(kImage.size()), setting.value);
  }
  options.network = configuration.text("container.docker.network");
  options.user = configuration.text("container.docker.user");
  if (options.user == "image") options.user.clear();
  options.capabilities = configuration.list("container.docker.capabilities");
  options.new_privileges = configuration.boolean("container.docker.newprivileges");
  options.writable_root = configuration.boolean("container.docker.writableroot");
  options.init = configuration.boolean("container.docker.init");
  options.code = configuration.text("container.docker.code");
  options.tmp_bytes = configuration.bytes("container.docker.tmp.size");
  options.processes = configuration.integer("container.docker.pids.max");
  options.output_bytes = configuration.bytes("container.output.max");
  options.result_bytes = configuration.bytes("container.result.max");
  options.refresh_images = configuration.boolean("factory.images.refresh");
  options.pull_timeout = configuration.duration("container.docker.pull.timeout");
  return options;
}

RuntimeResult make_sandbox(const Configuration& configuration, const RuntimeSurroundings& around) {
  return make_sandbox_runtime(sandbox_options(configuration, around.code_folder), around.lock, around.archive,
                              around.code, around.observer, around.clock);
}

RuntimeResult make_docker(const Configuration& configuration, std::string host,
                          const RuntimeSurroundings& around) {
  return make_docker_runtime(docker_options(configuration, std::move(host)), around.lock, around.archive,
                             around.code, around.observer, around.clock, around.container_networks);
}

/// Only Docker was asked for, so it must be there.
RuntimeResult make_docker_alone(const Configuration& configuration, const RuntimeSurroundings& around) {
  const std::string host = engine_host(configuration);
  const DockerOptions options = docker_options(configuration, host);
  if (const Result<std::string> engine = probe_engine(options, around.clock); !engine) {
    return Unexpected(engine.error().code,
                      fmt::format("container.runtime: docker needs an engine: {} (container.docker.host, "
                                  "DOCKER_HOST)",
                                  engine.error().message),
                      engine.error().detail);
  }
  return make_docker(configuration, host, around);
}

}  // namespace

RuntimeResult make_container_runtime(const Configuration& configuration, const RuntimeSurroundings& around) {
  const std::string wanted = configuration.text("container.runtime");
  if (wanted == "docker") return make_docker_alone(configuration, around);
  RuntimeResult sandbox = make_sandbox(configuration, around);
  const std::string host = wanted == "auto" ? engine_host(configuration) : std::string();
  if (host.empty()) return sandbox;
  RuntimeResult docker = make_docker(configuration, host, around);
  if (!docker) return docker;
  if (sandbox) return make_routing_runtime(std::move(*sandbox), std::move(*docker));
  const bool unsupported = sandbox.error().code == ErrorCode::kUnsupported;
  if (!unsupported || !probe_engine(docker_options(configuration, host), around.clock)) return sandbox;
  around.observer.log(LogLevel::kWarning, "no sandboxes here: all functions run in containers of images",
                      {{"why", sandbox.error().message}});
  return docker;
}

}  // namespace serverledge
