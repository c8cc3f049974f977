#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "runtime/docker/engine.hpp"

namespace serverledge {

/// What is known of an image that the engine has.
struct Image {
  std::string id;
  std::string architecture;          ///< "amd64"
  std::vector<std::string> volumes;  ///< folders that it declares as volumes
  std::map<std::string, std::string> labels;
};

/// Whether the image says that its executor is of ours (docs/images.md).
bool has_own_executor(const Image& image);

/// The engine's images: looks for them by exact reference, and pulls what is missing. A pull is shared by all
/// that wait for it and goes on, on a thread of its own, when they have given up. Thread-safe; the destructor
/// ends what is being pulled.
class ImageStore {
 public:
  explicit ImageStore(std::shared_ptr<Engine> engine);
  ~ImageStore();
  ImageStore(const ImageStore&) = delete;
  ImageStore& operator=(const ImageStore&) = delete;

  /// The image as it is in the engine; kNotFound.
  Result<Image> find(const std::string& reference, TimePoint deadline);
  /// The image, pulled if it is missing, or with `force`, or once in our life where images are to be
  /// refreshed (then a local one serves if that fails). kDeadline naming how far the pull is; the registry's
  /// error.
  Result<Image> obtain(const std::string& reference, bool force, TimePoint deadline);
  /// Architectures that there are of an image: the local one's, else those that its registry has.
  Result<std::vector<std::string>> architectures(const std::string& reference, TimePoint deadline);

 private:
  struct Pull;
  /// Whether it is to be refreshed now: once in our life.
  bool is_due(const std::string& reference);
  Result<Image> refresh(const std::string& reference, TimePoint deadline);
  Result<void> pull(const std::string& reference, TimePoint deadline);
  void run(const std::string& reference, Pull& pull);
  void join_finished();

  const std::shared_ptr<Engine> engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Pull>> pulls_;  // that run
  std::vector<std::shared_ptr<Pull>> finished_;         // whose threads are to be joined
  std::set<std::string> refreshed_;
};

/// A reference with its tag: "alpine" is "alpine:latest"; a digest stays.
std::string whole_reference(std::string_view reference);

/// Whether the text can be the name of an image: it goes into paths of the API.
bool is_image_reference(std::string_view text);

/// Reads the lines of a pull: how far it is, and how it failed. Hostile-input safe.
class PullProgress {
 public:
  /// The next bytes of the stream.
  void take(std::string_view bytes);
  /// "3 of 5 layers, 12.3 of 40.1 MB".
  std::string text() const;
  /// The engine's error; empty if none has come.
  const std::string& error() const { return error_; }

 private:
  void take_line(std::string_view line);
  struct Layer {
    double done = 0;
    double total = 0;
    bool here = false;
  };
  std::string line_;
  std::map<std::string, Layer> layers_;
  std::string error_;
};

}  // namespace serverledge
