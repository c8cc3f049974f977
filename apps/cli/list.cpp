#include "answer.hpp"
#include "command.hpp"

namespace serverledge::cli {

Action define_list(CLI::App& /*command*/) {
  return [](NodeClient& node) { return show(node.get("/function")); };
}

}  // namespace serverledge::cli
