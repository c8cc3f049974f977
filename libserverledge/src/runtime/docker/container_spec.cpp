#include "runtime/docker/container_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::int64_t kCpuPeriod = 50'000;  // microseconds
constexpr std::int64_t kOpenFiles = 4096;
constexpr std::int64_t kPodmanProcesses = 16'384;
constexpr std::int64_t kBytesPerFile = 4096;  // of /tmp: how many files it takes

void add_environment(JsonWriter& json, const Function& function, const DockerOptions& options) {
  json.key("Env").begin_array();
  if (function.runtime != "custom") {
    json.string("HANDLER=" + function.handler).string("HANDLER_DIR=/app");
  }
  json.string(fmt::format("EXECUTOR_OUTPUT_LIMIT={}", options.output_bytes));
  json.string(fmt::format("EXECUTOR_RESULT_LIMIT={}", options.result_bytes));
  json.string("HOME=/tmp").end_array();
}

void add_user_limit(JsonWriter& json, const char* name, std::int64_t value) {
  json.begin_object().key("Name").string(name).key("Soft").integer(value).key("Hard").integer(value);
  json.end_object();
}

void add_limits(JsonWriter& json, const ContainerSpec& spec) {
  const Function& function = spec.function;
  const DockerOptions& options = spec.engine.options;
  const std::int64_t memory = function.memory_mb << 20U;
  json.key("Memory").integer(memory).key("MemorySwap").integer(memory);
  if (function.cpu_demand > 0) {
    json.key("CpuPeriod").integer(kCpuPeriod);
    json.key("CpuQuota")
        .integer(std::max<std::int64_t>(1000,
                                        std::llround(function.cpu_demand * static_cast<double>(kCpuPeriod))));
  }
  json.key("PidsLimit").integer(options.processes + std::max(1, function.max_concurrency));
  json.key("Ulimits").begin_array();
  add_user_limit(json, "nofile", kOpenFiles);
  add_user_limit(json, "core", 0);
  // That of all containers together, which Podman raises unless it is told one: it may not have the right to.
  if (spec.engine.client.is_podman()) add_user_limit(json, "nproc", kPodmanProcesses);
  json.end_array();
}

void add_rights(JsonWriter& json, const ContainerSpec& spec, const DockerOptions& options) {
  json.key("CapDrop").begin_array().string("ALL").end_array();
  json.key("CapAdd").begin_array();
  for (const std::string& capability : options.capabilities) json.string(capability);
  json.end_array().key("SecurityOpt").begin_array();
  if (!options.new_privileges) json.string("no-new-privileges");
  json.end_array().key("ReadonlyRootfs").boolean(!options.writable_root);
  // Images of ours have an init already.
  json.key("Init").boolean(options.init && !has_own_executor(spec.image));
}

void add_mounts(JsonWriter& json, const ContainerSpec& spec, const DockerOptions& options) {
  json.key("Tmpfs").begin_object().key("/tmp");
  std::string tmp = fmt::format("rw,exec,nosuid,nodev,size={},mode=1777", options.tmp_bytes);
  // Podman does not know it; what files take beside their contents is bounded with the memory, too.
  if (!spec.engine.client.is_podman())
    tmp += fmt::format(",nr_inodes={}", std::max<std::uint64_t>(100, options.tmp_bytes / kBytesPerFile));
  json.string(tmp);
  json.end_object().key("Mounts").begin_array();
  if (spec.code == CodePlace::kBind) {
    json.begin_object().key("Type").string("bind").key("Source").string(spec.folder);
    json.key("Target").string("/app").key("ReadOnly").boolean(true).end_object();
  }
  // Else an image's volumes would be folders of the machine's disk without a bound.
  for (const std::string& folder : spec.image.volumes) {
    const bool ours = folder == "/tmp" || (folder == "/app" && spec.code != CodePlace::kNone);
    if (ours || options.writable_root) continue;
    json.begin_object().key("Type").string("tmpfs").key("Target").string(folder).key("TmpfsOptions");
    json.begin_object().key("SizeBytes").integer(static_cast<std::int64_t>(options.tmp_bytes));
    json.key("Mode").integer(01777).end_object().end_object();
  }
  json.end_array();
}

void add_log(JsonWriter& json) {
  // Enough to see why an executor did not start.
  json.key("LogConfig").begin_object().key("Type").string("json-file").key("Config").begin_object();
  json.key("max-size").string("256k").key("max-file").string("1").end_object().end_object();
}

}  // namespace

bool needs_writable_code(const Function& function) { return function.runtime == "go125"; }

std::string create_body(const ContainerSpec& spec) {
  const DockerOptions& options = spec.engine.options;
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("Image").string(spec.reference).key("Hostname").string("function");
  if (!options.user.empty()) json.key("User").string(options.user);
  add_environment(json, spec.function, options);
  json.key("Labels").begin_object();
  spec.engine.add_labels(json);
  json.key("serverledge.function").string(spec.function.name).end_object();
  json.key("Healthcheck").begin_object().key("Test").begin_array().string("NONE").end_array().end_object();
  if (spec.code == CodePlace::kVolume) {
    json.key("Volumes").begin_object().key("/app").begin_object().end_object().end_object();
  }
  json.key("HostConfig").begin_object().key("NetworkMode").string(spec.network);
  add_limits(json, spec);
  add_rights(json, spec, options);
  add_mounts(json, spec, options);
  add_log(json);
  json.end_object().end_object();
  return body;
}

}  // namespace serverledge
