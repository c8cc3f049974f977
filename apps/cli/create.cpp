#include <fmt/format.h>

#include <limits>
#include <memory>

#include "answer.hpp"
#include "command.hpp"
#include "function_record.hpp"
#include "serverledge/net/base64.hpp"
#include "source_archive.hpp"

namespace serverledge::cli {
namespace {

struct CreateOptions {
  FunctionRecord record;
  std::string source;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  bool update = false;
};

// "n:Int" pairs as parameters of a signature.
Result<std::vector<Parameter>> typed(const std::vector<std::string>& arguments, const char* option) {
  std::vector<Parameter> parameters;
  for (const auto& argument : arguments) {
    const auto colon = argument.find(':');
    if (colon == std::string::npos || colon == 0) {
      return Unexpected(ErrorCode::kInvalid,
                        fmt::format("{} must be <name>:<type>, not '{}'", option, argument));
    }
    Parameter parameter{argument.substr(0, colon), argument.substr(colon + 1)};
    if (!is_signature_type(parameter.type)) {
      return Unexpected(
          ErrorCode::kInvalid,
          fmt::format("{} {}: there is no type '{}', only Int, Float, Text, Bool, ArrayInt, ArrayFloat, "
                      "ArrayBool, ArrayText, ArrayArrayInt, ArrayArrayFloat and Void",
                      option, parameter.name, parameter.type));
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

// The options that belong together. An empty text if they are right.
std::string contradiction(const CreateOptions& options) {
  const bool custom = options.record.runtime == "custom";
  if (custom && options.record.custom_image.empty()) return "runtime custom needs --custom_image";
  if (custom && !options.source.empty())
    return "--src has no effect with runtime custom: the image holds the code";
  if (!custom && !options.record.custom_image.empty()) return "--custom_image needs --runtime custom";
  if (!custom && options.source.empty())
    return "--src is required: the function's file, directory, archive or URL";
  return {};
}

int create(const CreateOptions& options, NodeClient& node) {
  if (const auto wrong = contradiction(options); !wrong.empty()) return fail(kUsage, wrong);
  const auto inputs = typed(options.inputs, "--input");
  if (!inputs) return fail(kSignature, inputs.error().message);
  const auto outputs = typed(options.outputs, "--output");
  if (!outputs) return fail(kSignature, outputs.error().message);
  FunctionRecord record = options.record;
  record.signature = Signature{*inputs, *outputs};
  if (!options.source.empty()) {
    const auto code = read_source(options.source);
    if (!code) return fail(kSource, code.error().message);
    record.code_base64 = base64_encode(*code);
  }
  const auto answer = node.post(options.update ? "/update" : "/create", to_json(record), kRegistryLimit);
  if (answer && answer->status == 409) {
    return fail(kServer, fmt::format("function '{}' exists already; --update replaces it", record.name));
  }
  return show(answer);
}

}  // namespace

Action define_create(CLI::App& command) {
  auto options = std::make_shared<CreateOptions>();
  FunctionRecord& record = options->record;
  record.runtime = "python314";
  record.memory_mb = 128;
  record.max_concurrency = 1;
  command.add_flag("-u,--update", options->update, "Replace the function if it exists");
  command.add_option("-f,--function", record.name, "Name of the function")->required();
  command.add_option("--runtime", record.runtime, "python314 (the default), nodejs17ng, ..., or custom");
  command.add_option("--handler", record.handler, "What to call: module.function (Python), module (Node.js)");
  command.add_option("--memory", record.memory_mb, "Memory limit of one container, in MB (128)");
  command.add_option("-C,--max_concurrency", record.max_concurrency, "Calls at a time in one container (1)")
      ->check(CLI::Range(0, int{std::numeric_limits<std::int16_t>::max()}));
  command.add_option("--cpu", record.cpu_demand, "Cores of a running container; 0: no limit (0)");
  command.add_option("--timeout", record.timeout_sec,
                     "Longest duration of a call, in seconds (the node's default)");
  command.add_option("--src", options->source,
                     "A file, a directory, a .tar or .tar.gz, or a URL of one of these two");
  command.add_option("--custom_image", record.custom_image, "Image of a function with --runtime custom");
  add_repeatable(command, "-i,--input", options->inputs, "An input <name>:<type>. May be repeated");
  add_repeatable(command, "-o,--output", options->outputs, "An output <name>:<type>. May be repeated");
  return [options](NodeClient& node) { return create(*options, node); };
}

}  // namespace serverledge::cli
