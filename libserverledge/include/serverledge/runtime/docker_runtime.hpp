#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/address_ranges.hpp"
#include "serverledge/runtime/node_lock.hpp"

namespace serverledge {

/// How the Docker runtime is set up.
struct DockerOptions {
  /// As in DOCKER_HOST: "unix:///path" or "tcp://host:port".
  std::string host = "unix:///var/run/docker.sock";
  /// Folder with ca.pem, cert.pem and key.pem: an engine reached by TCP is so by TLS. Empty: without.
  std::string tls_folder = {};
  /// Folder of Docker's config.json, whose credentials registries are shown. Empty: none.
  std::string config_folder = {};
  /// Image of a canonical runtime, where it is not the default one.
  std::map<std::string, std::string> images = {};
  /// "bridge": one of the node's own; "internal": the same without a way out; else an existing network's
  /// name.
  std::string network = "bridge";
  /// User and group that a container runs as, by numbers; empty: what its image says.
  std::string user = "65534:65534";
  std::vector<std::string> capabilities = {};  ///< that a container keeps; none by default
  bool new_privileges = false;                 ///< programs may gain rights (setuid)
  bool writable_root = false;                  ///< the image's files may be written to, without limit
  bool init = true;                            ///< the engine's small init is PID 1
  /// How code gets into a container: "bind" (of a folder of this machine), "volume" (filled through the API),
  /// "auto": a bind where the engine is reached by a Unix socket and sees our folder.
  std::string code = "auto";
  std::uint64_t tmp_bytes = std::uint64_t{64} << 20U;    ///< size of a container's /tmp
  std::int64_t processes = 256;                          ///< processes and threads of a container
  std::uint64_t output_bytes = std::uint64_t{1} << 20U;  ///< captured output of a call
  std::uint64_t result_bytes = std::uint64_t{6} << 20U;  ///< text of a result
  bool refresh_images = false;                           ///< pull each image anew at its first use
  Duration pull_timeout = std::chrono::minutes(10);      ///< for a whole image
};

/// The runtime whose containers are made of images by Docker, or by whatever else speaks its Engine API (see
/// docs/docker.md). The engine need not be there when this is called, nor stay: what needs it fails with
/// kUnavailable, and works once it is back. Removes what earlier lives of this node left in the engine, and
/// nodes of this machine that are dead. `networks` learns from which addresses containers speak.
///
/// kInvalid if an option makes no sense, naming its configuration key. `lock`, `archive`, `code`, `observer`,
/// `clock` and `networks` must outlive the runtime and all its containers.
Result<std::unique_ptr<ContainerRuntime>> make_docker_runtime(const DockerOptions& options,
                                                              const NodeLock& lock, CodeArchive& archive,
                                                              CodeSource& code, Observer& observer,
                                                              Clock& clock, AddressRanges& networks);

/// Whether an engine answers within two seconds where these options say, and which: "Docker 20.10.24".
/// kInvalid, kUnavailable, kDeadline, kUnsupported.
Result<std::string> probe_engine(const DockerOptions& options, Clock& clock);

}  // namespace serverledge
