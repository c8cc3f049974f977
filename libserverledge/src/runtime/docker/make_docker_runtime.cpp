#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "runtime/docker/docker_runtime.hpp"
#include "runtime/docker/engine_address.hpp"

namespace serverledge {
namespace {

Unexpected refuse(const char* key, std::string_view why) {
  return {ErrorCode::kInvalid, fmt::format("container.docker.{}: {}", key, why)};
}

/// Whether it is "uid:gid", in numbers.
bool is_user(std::string_view text) {
  unsigned number = 0;
  const char* end = text.data() + text.size();
  const auto uid = std::from_chars(text.data(), end, number);
  if (uid.ec != std::errc() || uid.ptr == end || *uid.ptr != ':') return false;
  const auto gid = std::from_chars(uid.ptr + 1, end, number);
  return gid.ec == std::errc() && gid.ptr == end;
}

Result<void> check(const DockerOptions& options) {
  if (options.network == "none" || options.network == "host" || options.network.empty()) {
    return refuse(
        "network",
        "an executor is reached by TCP at an address of its container: expected bridge, internal or "
        "the name of a network");
  }
  if (!options.user.empty() && !is_user(options.user))
    return refuse("user", "expected numbers uid:gid, or nothing for the image's own");
  for (const auto& [runtime, image] : options.images) {
    const std::string key = "image." + runtime;
    if (canonical_runtime(runtime) != runtime || runtime == "custom")
      return refuse(key.c_str(), "there is no canonical runtime of this name");
    if (!is_image_reference(image)) return refuse(key.c_str(), "expected the name of an image");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ContainerRuntime>> make_docker_runtime(const DockerOptions& options,
                                                              const NodeLock& lock, CodeArchive& archive,
                                                              CodeSource& code, Observer& observer,
                                                              Clock& clock, AddressRanges& networks) {
  if (Result<void> good = check(options); !good) return Unexpected(good.error());
  Result<EngineAddress> address = engine_address(options.host, options.tls_folder);
  if (!address) return refuse("host", address.error().message);
  auto engine = std::make_shared<Engine>(options, std::move(*address), lock, observer, clock);
  auto runtime =
      std::make_unique<DockerRuntime>(std::move(engine), DockerRuntime::Parts{lock, archive, code, networks});
  // It may come later; what this gives is then found out by the first function that wants it.
  const Result<void> opened = runtime->open(later(clock.now(), std::chrono::seconds(10)));
  if (!opened) {
    observer.log(LogLevel::kWarning, "the container engine is not ready",
                 {{"error", opened.error().message}, {"detail", opened.error().detail}});
  }
  return std::unique_ptr<ContainerRuntime>(std::move(runtime));
}

Result<std::string> probe_engine(const DockerOptions& options, Clock& clock) {
  Result<EngineAddress> address = engine_address(options.host, options.tls_folder);
  if (!address) return Unexpected(address.error());
  EngineClient client(std::move(address->target), std::move(address->tls), clock);
  Result<EngineVersion> version = client.connect(later(clock.now(), std::chrono::seconds(2)));
  if (!version) return Unexpected(version.error());
  return std::move(version->name);
}

}  // namespace serverledge
