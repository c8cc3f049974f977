#include "runtime/docker/image_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "net/percent.hpp"
#include "runtime/docker/registry_credentials.hpp"

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr auto kProgressInterval = std::chrono::seconds(5);
constexpr std::size_t kLineMax = std::size_t{64} << 10U;
constexpr std::size_t kLayersMax = 1000;

Image image_of(const JsonValue& answer) {
  Image image{text_member(answer, "Id"), text_member(answer, "Architecture"), {}, {}};
  const auto config = answer.find("Config");
  if (!config) return image;
  if (const auto volumes = config->find("Volumes")) {
    for (std::size_t i = 0; i < volumes->size(); ++i) image.volumes.emplace_back(volumes->key(i));
  }
  if (const auto labels = config->find("Labels")) {
    for (std::size_t i = 0; i < labels->size(); ++i) {
      image.labels.emplace(labels->key(i), labels->at(i).as_string().value_or(""));
    }
  }
  return image;
}

/// The query of a pull: name, and tag or digest.
std::string pull_query(std::string_view reference) {
  const std::size_t colon = reference.rfind(':');
  if (reference.find('@') != std::string_view::npos) return "fromImage=" + percent_encoded(reference);
  return fmt::format("fromImage={}&tag={}", percent_encoded(reference.substr(0, colon)),
                     percent_encoded(reference.substr(colon + 1)));
}

Unexpected unreadable_image() {
  return {ErrorCode::kUnavailable, "the container engine's answer about an image cannot be read"};
}

}  // namespace

bool has_own_executor(const Image& image) {
  const auto label = image.labels.find("serverledge.executor");
  return label != image.labels.end() && !label->second.empty();
}

std::string whole_reference(std::string_view reference) {
  std::string whole(reference);
  const std::size_t slash = reference.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? reference : reference.substr(slash + 1);
  if (last.find(':') == std::string_view::npos && last.find('@') == std::string_view::npos)
    whole += ":latest";
  return whole;
}

bool is_image_reference(std::string_view text) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-/:@").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, good) && text.front() != '/' &&
         text.front() != '.' && text.find("..") == std::string_view::npos &&
         text.find("//") == std::string_view::npos;
}

void PullProgress::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (line_.size() + piece.size() <= kLineMax) line_.append(piece);
    if (end == std::string_view::npos) return;
    take_line(line_);
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
}

void PullProgress::take_line(std::string_view line) {
  const Result<JsonDocument> document = JsonDocument::parse(line);
  if (!document) return;
  const JsonValue root = document->root();
  if (std::string error = text_member(root, "error"); !error.empty()) error_ = std::move(error);
  const std::string id = text_member(root, "id");
  const std::string status = text_member(root, "status");
  if (id.empty() || (layers_.size() >= kLayersMax && !layers_.contains(id))) return;
  if (status == "Pulling fs layer" || status == "Waiting") layers_[id];
  if (status == "Already exists" || status == "Pull complete") layers_[id].here = true;
  if (status != "Downloading") return;
  const auto detail = root.find("progressDetail");
  const auto current = detail ? detail->find("current") : std::nullopt;
  const auto total = detail ? detail->find("total") : std::nullopt;
  Layer& layer = layers_[id];
  layer.done = current ? current->as_double().value_or(0) : 0;
  layer.total = total ? total->as_double().value_or(0) : 0;
}

std::string PullProgress::text() const {
  std::size_t here = 0;
  double done = 0;
  double total = 0;
  for (const auto& [id, layer] : layers_) {
    here += layer.here ? 1 : 0;
    done += layer.here ? layer.total : layer.done;
    total += layer.total;
  }
  constexpr double kMegabyte = 1 << 20;
  return fmt::format("{} of {} layers, {:.1f} of {:.1f} MB", here, layers_.size(), done / kMegabyte,
                     total / kMegabyte);
}

/// One image on its way. Guarded by the store's mutex, but its thread.
struct ImageStore::Pull {
  PullProgress progress;
  TimePoint told{};
  bool done = false;
  Result<void> outcome;
  std::jthread thread;
};

ImageStore::ImageStore(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

ImageStore::~ImageStore() {
  engine_->client.cancel();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return pulls_.empty(); });
  lock.unlock();
  join_finished();
}

void ImageStore::join_finished() {
  std::vector<std::shared_ptr<Pull>> finished;
  {
    const std::scoped_lock lock(mutex_);
    finished.swap(finished_);
  }
  for (const std::shared_ptr<Pull>& pull : finished) pull->thread.join();
}

Result<Image> ImageStore::find(const std::string& reference, TimePoint deadline) {
  if (!is_image_reference(reference)) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("\"{:.100}\" is no name of an image", to_utf8(reference)));
  }
  const Result<HttpResponse> answer = engine_->client.request(
      {.path = "/images/" + whole_reference(reference) + "/json", .query = {}, .body = {}}, deadline);
  if (!answer) return Unexpected(answer.error());
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  if (!document) return unreadable_image();
  return image_of(document->root());
}

Result<Image> ImageStore::obtain(const std::string& reference, bool force, TimePoint deadline) {
  if (!is_image_reference(reference)) return find(reference, deadline);
  if (!force && is_due(reference)) return refresh(reference, deadline);
  if (!force) {
    Result<Image> image = find(reference, deadline);
    if (image || image.error().code != ErrorCode::kNotFound) return image;
  }
  if (Result<void> pulled = pull(reference, deadline); !pulled) return Unexpected(pulled.error());
  return find(reference, deadline);
}

bool ImageStore::is_due(const std::string& reference) {
  if (!engine_->options.refresh_images) return false;
  const std::scoped_lock lock(mutex_);
  return refreshed_.insert(reference).second;
}

Result<Image> ImageStore::refresh(const std::string& reference, TimePoint deadline) {
  // A registry that does not answer leaves half of the time for a start of what is here.
  const TimePoint now = engine_->clock.now();
  Result<void> pulled = pull(reference, now + (deadline - now) / 2);
  Result<Image> image = find(reference, deadline);
  if (pulled || (!image && image.error().code != ErrorCode::kNotFound)) return image;
  if (!image) {
    if (pulled.error().code == ErrorCode::kDeadline) pulled = pull(reference, deadline);
    return pulled ? find(reference, deadline) : Result<Image>(Unexpected(pulled.error()));
  }
  engine_->observer.log(LogLevel::kWarning, "an image could not be refreshed; the local one is used",
                        {{"image", reference}, {"error", pulled.error().message}});
  return image;
}

Result<void> ImageStore::pull(const std::string& reference, TimePoint deadline) {
  join_finished();
  std::unique_lock lock(mutex_);
  if (engine_->client.cancelled()) {
    return Unexpected(ErrorCode::kCancelled, "the container runtime has been shut down");
  }
  std::shared_ptr<Pull>& entry = pulls_[reference];
  if (!entry) {
    entry = std::make_shared<Pull>();
    entry->told = engine_->clock.now();
    try {
      entry->thread = std::jthread([this, reference, pull = entry.get()] { run(reference, *pull); });
    } catch (const std::system_error&) {
      pulls_.erase(reference);
      return Unexpected(ErrorCode::kNoResources, "no thread for pulling an image");
    }
  }
  const std::shared_ptr<Pull> pull = entry;
  while (!pull->done) {
    const Duration rest = deadline - engine_->clock.now();
    if (rest <= Duration::zero()) {
      return Unexpected(ErrorCode::kDeadline,
                        fmt::format("the image {} is still being pulled ({}), which goes on", reference,
                                    pull->progress.text()));
    }
    changed_.wait_for(lock, std::min<Duration>(rest, std::chrono::seconds(1)));
  }
  return pull->outcome;
}

void ImageStore::run(const std::string& reference, Pull& pull) {
  engine_->observer.log(LogLevel::kInfo, "pulling an image", {{"image", reference}});
  const HttpBodySink sink = [&](std::string_view piece) {
    std::string progress;
    {
      const std::scoped_lock lock(mutex_);
      pull.progress.take(piece);
      const TimePoint now = engine_->clock.now();
      if (now - pull.told < kProgressInterval) return;
      pull.told = now;
      progress = pull.progress.text();
    }
    engine_->observer.log(LogLevel::kInfo, "pulling an image",
                          {{"image", reference}, {"progress", progress}});
  };
  const auto ask = [&]() -> Result<HttpResponse> {
    Result<std::string> auth =
        registry_auth(engine_->options.config_folder, reference,
                      later(engine_->clock.now(), engine_->options.pull_timeout), engine_->clock);
    if (!auth) return Unexpected(auth.error());
    return engine_->client.request({.method = "POST",
                                    .path = "/images/create",
                                    .query = pull_query(whole_reference(reference)),
                                    .body = {},
                                    .registry_auth = std::move(*auth),
                                    .patience = engine_->options.pull_timeout},
                                   TimePoint::max(), sink);
  };
  const Result<HttpResponse> answer = ask();
  Result<void> outcome;
  if (!answer) {
    outcome = Unexpected(
        answer.error().code == ErrorCode::kCancelled ? ErrorCode::kCancelled : ErrorCode::kUnavailable,
        fmt::format("the image {} cannot be pulled: {}", reference, answer.error().message),
        answer.error().detail);
  } else if (!pull.progress.error().empty()) {
    const bool full = pull.progress.error().find("no space left on device") != std::string::npos;
    outcome = Unexpected(full ? ErrorCode::kDiskFull : ErrorCode::kUnavailable,
                         fmt::format("the image {} cannot be pulled: {}", reference,
                                     to_utf8(pull.progress.error()).substr(0, 1000)));
  }
  engine_->observer.log(outcome ? LogLevel::kInfo : LogLevel::kWarning,
                        outcome ? "an image was pulled" : "an image could not be pulled",
                        {{"image", reference}, {"error", outcome ? "" : outcome.error().message}});
  const std::scoped_lock lock(mutex_);
  pull.outcome = std::move(outcome);
  pull.done = true;
  finished_.push_back(pulls_.at(reference));
  pulls_.erase(reference);
  changed_.notify_all();
}

Result<std::vector<std::string>> ImageStore::architectures(const std::string& reference, TimePoint deadline) {
  const Result<Image> image = find(reference, deadline);
  if (image) return std::vector<std::string>{image->architecture};
  if (image.error().code != ErrorCode::kNotFound) return Unexpected(image.error());
  Result<std::string> auth =
      registry_auth(engine_->options.config_folder, reference, deadline, engine_->clock);
  if (!auth) return Unexpected(auth.error());
  const Result<HttpResponse> answer =
      engine_->client.request({.path = "/distribution/" + whole_reference(reference) + "/json",
                               .query = {},
                               .body = {},
                               .registry_auth = std::move(*auth)},
                              deadline);
  if (!answer) {
    return Unexpected(answer.error().code,
                      fmt::format("the image {} is not here, and no registry tells of it: {}", reference,
                                  answer.error().message),
                      answer.error().detail);
  }
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  const auto platforms = document ? document->root().find("Platforms") : std::nullopt;
  if (!platforms) return unreadable_image();
  std::vector<std::string> found;
  for (std::size_t i = 0; i < platforms->size(); ++i) {
    std::string architecture = text_member(platforms->at(i), "architecture");
    const bool known = architecture == "amd64" || architecture == "arm64";
    if (known && std::ranges::find(found, architecture) == found.end())
      found.push_back(std::move(architecture));
  }
  if (!found.empty()) return found;
  return Unexpected(ErrorCode::kUnsupported,
                    fmt::format("the image {} is neither for amd64 nor for arm64", reference));
}

}  // namespace serverledge
