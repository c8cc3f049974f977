#include <memory>

#include "answer.hpp"
#include "command.hpp"
#include "function_record.hpp"

namespace serverledge::cli {

Action define_delete(CLI::App& command) {
  auto name = std::make_shared<std::string>();
  command.add_option("-f,--function", *name, "Name of the function")->required();
  return [name](NodeClient& node) {
    FunctionRecord record;
    record.name = *name;
    return show(node.post("/delete", to_json(record), kRegistryLimit));
  };
}

}  // namespace serverledge::cli
