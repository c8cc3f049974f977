#include "runtime/docker/docker_runtime.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <utility>

#include "runtime/docker/folder_tar.hpp"
#include "runtime/docker/leftovers.hpp"
#include "serverledge/runtime/code_archive.hpp"

namespace serverledge {
namespace {

constexpr std::array kRuntimes{"python314", "nodejs17ng", "go125", "python312ml", "custom"};
constexpr auto kAnswerPatience = std::chrono::seconds(5);  // Podman runs programs to tell its version
constexpr auto kOpenPatience = std::chrono::seconds(10);
constexpr auto kRetryInterval = std::chrono::seconds(5);
constexpr auto kUpkeepPatience = std::chrono::seconds(1);
constexpr auto kShutdownPatience = std::chrono::seconds(5);

/// Names of the images that may serve a runtime, the preferred one first.
std::vector<std::string> usual_images(const std::string& runtime) {
  std::vector<std::string> images;
  if (runtime == "python314") images.emplace_back("serverledge-python310");
  if (runtime == "nodejs17ng") images.emplace_back("serverledge-nodejs17");
  images.push_back("grussorusso/serverledge-" + runtime);
  return images;
}

TarOwner owner_of(const std::string& user) {
  TarOwner owner;
  const char* end = user.data() + user.size();
  const auto uid = std::from_chars(user.data(), end, owner.uid);
  if (uid.ec == std::errc() && uid.ptr != end && *uid.ptr == ':')
    std::from_chars(uid.ptr + 1, end, owner.gid);
  return owner;
}

Unexpected shut_down() { return {ErrorCode::kCancelled, "the container runtime has been shut down"}; }

bool mentions(const Error& error, std::string_view words) {
  return error.message.find(words) != std::string::npos;
}

}  // namespace

DockerRuntime::DockerRuntime(std::shared_ptr<Engine> engine, Parts parts)
    : engine_(std::move(engine)), parts_(parts), images_(engine_), network_(*engine_, parts.networks) {
  const DockerOptions& options = engine_->options;
  if (options.new_privileges || options.writable_root || options.user.empty() ||
      !options.capabilities.empty()) {
    notices_.emplace_back(
        "containers have more rights than they need (container.docker.user, .capabilities, .newprivileges, "
        ".writableroot)");
  }
}

DockerRuntime::~DockerRuntime() {
  shutdown();
  if (networked_ && !engine_->given_up()) network_.remove(kShutdownPatience);
}

Result<void> DockerRuntime::open(TimePoint deadline) {
  if (opened_) return {};
  const std::scoped_lock lock(open_mutex_);
  if (opened_) return {};
  if (stopped_) return shut_down();
  const TimePoint until = std::min(deadline, later(engine_->clock.now(), kOpenPatience));
  Result<EngineVersion> version =
      engine_->client.connect(std::min(until, later(engine_->clock.now(), kAnswerPatience)));
  if (!version) return Unexpected(version.error());
  if (Result<void> done = remove_leftovers(*engine_, parts_.lock, until); !done) return done;
  opened_ = true;
  engine_->observer.log(LogLevel::kInfo, "using a container engine",
                        {{"engine", version->name}, {"api", version->api}});
  if (engine_->client.is_podman()) {
    engine_->observer.log(LogLevel::kWarning,
                          "Podman does not keep the containers of a network apart: functions can reach each "
                          "other's executors",
                          {});
  }
  return {};
}

Result<void> DockerRuntime::open_network(TimePoint deadline) {
  if (networked_) return {};
  const std::scoped_lock lock(open_mutex_);
  if (networked_) return {};
  if (stopped_) return shut_down();
  const TimePoint until = std::min(deadline, later(engine_->clock.now(), kOpenPatience));
  if (Result<void> done = network_.open(until); !done) return done;
  networked_ = true;
  return {};
}

std::vector<ContainerRuntime::Served> DockerRuntime::runtimes() const {
  std::vector<Served> served;
  for (const char* runtime : kRuntimes) {
    const auto chosen = engine_->options.images.find(runtime);
    std::string image =
        chosen != engine_->options.images.end() ? chosen->second : usual_images(runtime).front();
    if (std::string_view(runtime) == "custom") image = "its own";
    served.push_back({runtime, fmt::format("containers (image {})", image)});
  }
  return served;
}

Result<std::string> DockerRuntime::image_of(const Function& function, TimePoint deadline) {
  if (function.runtime == "custom") return function.custom_image;
  const auto chosen = engine_->options.images.find(function.runtime);
  if (chosen != engine_->options.images.end()) return chosen->second;
  const std::vector<std::string> usual = usual_images(function.runtime);
  for (const std::string& reference : usual) {
    if (reference == usual.back()) break;
    const Result<Image> image = images_.find(reference, deadline);
    if (image) return reference;
    if (image.error().code != ErrorCode::kNotFound) return Unexpected(image.error());
  }
  return usual.back();
}

Result<std::string> DockerRuntime::code_folder(const Function& function) {
  std::optional<std::string> folder = unpacked_code(parts_.archive, function);
  if (!folder) {
    const Result<std::string> bytes = parts_.code.code(function);
    if (!bytes) return bytes;
    Result<std::string> unpacked = parts_.archive.unpack(function, *bytes);
    if (!unpacked) return unpacked;
    folder = std::move(*unpacked);
  }
  return std::filesystem::absolute(*folder).string();
}

CodePlace DockerRuntime::code_place(const Function& function) const {
  if (function.code_digest.empty()) return CodePlace::kNone;
  const std::string& wanted = engine_->options.code;
  if (wanted == "volume" || needs_writable_code(function)) return CodePlace::kVolume;
  if (wanted == "bind") return CodePlace::kBind;
  const bool here = !engine_->client.target().unix_path.empty() && sees_folders_;
  return here ? CodePlace::kBind : CodePlace::kVolume;
}

Result<std::unique_ptr<Container>> DockerRuntime::create(const Function& function, TimePoint deadline) {
  Result<std::unique_ptr<Container>> container = create_once(function, deadline);
  if (container) return container;
  // What the engine had when we looked may be gone: someone cleaned up, or it lost its data.
  const Error& error = container.error();
  if (error.code == ErrorCode::kNotFound && mentions(error, "network")) {
    networked_ = false;
    container = create_once(function, deadline);
  } else if (error.code == ErrorCode::kInvalid && mentions(error, "bind source path") && sees_folders_ &&
             engine_->options.code == "auto") {
    sees_folders_ = false;
    container = create_once(function, deadline);
  }
  // Not found is for what the caller names.
  if (!container && container.error().code == ErrorCode::kNotFound)
    container.error().code = ErrorCode::kUnavailable;
  return container;
}

Result<std::unique_ptr<Container>> DockerRuntime::create_once(const Function& function, TimePoint deadline) {
  if (stopped_) return shut_down();
  if (Result<void> ready = open(deadline); !ready) return Unexpected(ready.error());
  if (Result<void> ready = open_network(deadline); !ready) return Unexpected(ready.error());
  const Result<std::string> reference = image_of(function, deadline);
  if (!reference) return Unexpected(reference.error());
  const Result<Image> image = images_.obtain(*reference, false, deadline);
  if (!image) return Unexpected(image.error());
  return create_with(function, *reference, *image, deadline);
}

Result<std::unique_ptr<Container>> DockerRuntime::create_with(const Function& function,
                                                              const std::string& reference,
                                                              const Image& image, TimePoint deadline) {
  ContainerSpec spec{function, image, reference, network_.name(), *engine_, code_place(function), {}};
  if (spec.code != CodePlace::kNone) {
    Result<std::string> folder = code_folder(function);
    if (!folder) return Unexpected(folder.error());
    spec.folder = std::move(*folder);
  }
  auto container = std::make_unique<DockerContainer>(engine_, function, engine_->next_name(function.name));
  if (Result<void> made = container->create(create_body(spec), deadline); !made)
    return Unexpected(made.error());
  if (spec.code == CodePlace::kVolume) {
    const TarOwner owner = needs_writable_code(function) ? owner_of(engine_->options.user) : TarOwner{};
    Result<std::string> tar = tar_of_folder(spec.folder, owner);
    if (!tar) return Unexpected(tar.error());
    if (Result<void> put = container->put_code(std::move(*tar), deadline); !put)
      return Unexpected(put.error());
  }
  if (Result<void> opened = container->open(deadline); !opened) return Unexpected(opened.error());
  if (needs_writable_code(function)) {
    if (Result<void> open = container->make_code_writable(deadline); !open) return Unexpected(open.error());
  }
  if (stopped_) return shut_down();
  return std::unique_ptr<Container>(std::move(container));
}

Result<void> DockerRuntime::prepare(const Function& function, bool force_pull, TimePoint deadline) {
  if (stopped_) return shut_down();
  if (code_place(function) != CodePlace::kNone) {
    const Result<std::string> folder = code_folder(function);
    if (!folder) return Unexpected(folder.error());
  }
  const Result<std::string> reference = image_of(function, deadline);
  if (!reference) return Unexpected(reference.error());
  const Result<Image> image = images_.obtain(*reference, force_pull, deadline);
  if (!image) return Unexpected(image.error());
  return {};
}

Result<std::vector<std::string>> DockerRuntime::architectures(const Function& function) {
  const TimePoint deadline = later(engine_->clock.now(), std::chrono::seconds(20));
  const Result<std::string> reference = image_of(function, deadline);
  if (!reference) return Unexpected(reference.error());
  Result<std::vector<std::string>> found = images_.architectures(*reference, deadline);
  const bool configured = engine_->options.images.contains(function.runtime);
  if (found || function.runtime == "custom" || configured) return found;
  return std::vector<std::string>{"amd64", "arm64"};  // the usual images are made for both
}

void DockerRuntime::watch() {
  const TimePoint now = engine_->clock.now();
  if (stopped_ || now < next_try_ || (opened_ && !engine_->has_pending())) return;
  next_try_ = later(now, kRetryInterval);
  if (!opened_) {
    static_cast<void>(open(later(now, kUpkeepPatience)));
    return;
  }
  engine_->remove_pending(kUpkeepPatience);
}

void DockerRuntime::shutdown() noexcept {
  stopped_ = true;
  engine_->client.cancel();
  engine_->kill_all();
  if (!opened_) return;
  remove_own_containers(*engine_, kShutdownPatience);
}

}  // namespace serverledge
