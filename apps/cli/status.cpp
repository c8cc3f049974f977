#include "answer.hpp"
#include "command.hpp"

namespace serverledge::cli {

Action define_status(CLI::App& /*command*/) {
  return [](NodeClient& node) { return show(node.get("/status")); };
}

}  // namespace serverledge::cli
