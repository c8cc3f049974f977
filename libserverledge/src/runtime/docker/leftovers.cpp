#include "runtime/docker/leftovers.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "net/file_descriptor.hpp"
#include "net/percent.hpp"
#include "runtime/docker/container_network.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr auto kLeftoverPatience = std::chrono::seconds(10);

/// What a node has made in the engine.
struct Owned {
  std::string object;  // id
  std::string node;
  std::string host;
};

/// What carries a label, by the list at `path`.
Result<std::vector<Owned>> list(Engine& engine, const char* path, const std::string& label, bool cleaning,
                                TimePoint deadline) {
  const std::string filters = fmt::format(R"({{"label":["{}"]}})", label);
  const Result<HttpResponse> answer = engine.client.request(
      {.path = path, .query = "all=1&filters=" + percent_encoded(filters), .body = {}, .cleaning = cleaning},
      deadline);
  if (!answer) return Unexpected(answer.error());
  const Result<JsonDocument> document = JsonDocument::parse(answer->body);
  if (!document) return Unexpected(ErrorCode::kUnavailable, "the engine's list cannot be read");
  std::vector<Owned> owned;
  for (std::size_t i = 0; i < document->root().size(); ++i) {
    const JsonValue row = document->root().at(i);
    const auto labels = row.find("Labels");
    if (!labels) continue;
    owned.push_back({text_member(row, "Id"), text_member(*labels, "serverledge.node"),
                     text_member(*labels, "serverledge.host")});
  }
  return owned;
}

bool is_node_id(const std::string& text) {
  return text.size() == 16 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// Whether nobody holds the lock of a node of this machine.
bool is_dead(const std::string& run_root, const std::string& node) {
  if (!is_node_id(node)) return false;
  const FileDescriptor file(::open((run_root + '/' + node + ".lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno == ENOENT;
  return ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

}  // namespace

Result<void> remove_leftovers(Engine& engine, const NodeLock& lock, TimePoint deadline) {
  const auto is_leftover = [&](const Owned& owned) {
    return owned.node == engine.node_id ||
           (owned.host == engine.host && is_dead(lock.run_root(), owned.node));
  };
  const auto containers = list(engine, "/containers/json", "serverledge.node", false, deadline);
  if (!containers) return Unexpected(containers.error());
  int removed = 0;
  for (const Owned& owned : *containers) {
    if (is_leftover(owned)) removed += engine.remove(owned.object, kLeftoverPatience) ? 1 : 0;
  }
  const auto networks = list(engine, "/networks", "serverledge.node", false, deadline);
  if (!networks) return Unexpected(networks.error());
  for (const Owned& owned : *networks) {
    // Its own is kept: it may be as it should be.
    if (owned.node == engine.node_id || !is_leftover(owned)) continue;
    const Result<HttpResponse> gone = engine.client.request(
        {.method = "DELETE", .path = "/networks/" + owned.object, .query = {}, .body = {}}, deadline);
    removed += gone ? 1 : 0;
  }
  if (removed > 0) {
    engine.observer.log(LogLevel::kInfo, "leftovers of earlier nodes were removed from the container engine",
                        {{"count", std::to_string(removed)}});
  }
  return {};
}

void remove_own_containers(Engine& engine, Duration patience) noexcept {
  const std::string label = "serverledge.node=" + engine.node_id;
  const auto own = list(engine, "/containers/json", label, true, later(engine.clock.now(), patience));
  if (!own) return engine.give_up();  // its next start finds them
  for (const Owned& owned : *own) engine.remove(owned.object, patience);
}

}  // namespace serverledge
