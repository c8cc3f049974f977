#include <cstdint>
#include <memory>

#include "answer.hpp"
#include "command.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

// Images may have to be pulled first.
constexpr Duration kPrewarmLimit = std::chrono::minutes(30);

struct PrewarmOptions {
  std::string function;
  std::int64_t count = 1;
  bool force_pull = false;
};

}  // namespace

Action define_prewarm(CLI::App& command) {
  auto options = std::make_shared<PrewarmOptions>();
  command.add_option("-f,--function", options->function, "Name of the function")->required();
  command
      .add_option("-c,--count", options->count, "Containers to start; 0: only prepare for starting some (1)")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--force_pull", options->force_pull, "Pull the function's image also if it is there");
  return [options](NodeClient& node) {
    std::string body;
    JsonWriter writer(body);
    writer.begin_object();
    writer.key("Function").string(options->function);
    writer.key("Instances").integer(options->count);
    writer.key("ForceImagePull").boolean(options->force_pull);
    writer.end_object();
    return show(node.post("/prewarm", std::move(body), kPrewarmLimit));
  };
}

}  // namespace serverledge::cli
