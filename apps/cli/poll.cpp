#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "answer.hpp"
#include "command.hpp"
#include "net/percent.hpp"

namespace serverledge::cli {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(20);
constexpr Duration kLongestPause = std::chrono::milliseconds(500);

struct PollOptions {
  std::string request;
  double wait = 0;
};

// A node says that an unfinished request is pending. One of the Go implementation answers an empty 404 for
// it, as it does for a request that it does not know.
bool may_be_pending(const HttpResponse& answer) {
  return answer.status == 404 && (answer.body.empty() || answer.body.starts_with("pending"));
}

int poll(const PollOptions& options, NodeClient& node) {
  const std::string path = "/poll/" + percent_encoded(options.request);
  const TimePoint deadline = later(system_clock().now(), from_seconds(options.wait));
  auto answer = node.get(path);
  for (Duration pause = kFirstPause; answer && may_be_pending(*answer);
       pause = std::min(2 * pause, kLongestPause)) {
    const Duration left = deadline - system_clock().now();
    if (left <= Duration::zero()) break;
    std::this_thread::sleep_for(std::min(pause, left));
    answer = node.get(path);
  }
  if (!answer || !may_be_pending(*answer)) return show(answer);
  return fail(kServer,
              answer->body.empty()
                  ? fmt::format("request {} is unknown or has not finished", options.request)
                  : fmt::format("request {} has not finished; --wait SECONDS waits for it", options.request));
}

}  // namespace

Action define_poll(CLI::App& command) {
  auto options = std::make_shared<PollOptions>();
  command.add_option("--request", options->request, "The id that 'invoke --async' printed")->required();
  command
      .add_option("--wait", options->wait,
                  "Ask again until it has finished, for at most that many seconds (0)")
      ->check(CLI::NonNegativeNumber);
  return [options](NodeClient& node) { return poll(*options, node); };
}

}  // namespace serverledge::cli
