#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "answer.hpp"
#include "command.hpp"
#include "net/percent.hpp"
#include "parameters.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

// The node ends a call long before: by the function's own limit.
constexpr Duration kCallLimit = std::chrono::hours(24);

struct InvokeOptions {
  std::string function;
  double max_response_time = -1;
  int qos_class = 0;
  std::vector<std::string> arguments;
  std::string params_file;
  bool asynchronous = false;
  bool return_output = false;
  bool raw = false;
};

std::string request_body(const InvokeOptions& options, const std::string& params) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object();
  writer.key("Params").raw(params);
  writer.key("QoSClass").integer(options.qos_class);
  writer.key("QoSMaxRespT").number(options.max_response_time);
  writer.key("CanDoOffloading").boolean(true);
  writer.key("Async").boolean(options.asynchronous);
  writer.key("ReturnOutput").boolean(options.return_output);
  writer.end_object();
  return body;
}

void print_line(std::FILE* file, std::string_view text) {
  fmt::print(file, "{}{}", text, text.ends_with('\n') ? "" : "\n");
}

// Just the function's result on stdout; what it printed and why it failed on stderr.
int show_raw(const Result<HttpResponse>& answer) {
  if (!answer) return fail(kServer, answer.error().message);
  const auto report = report_from_json(answer->body);
  if (report && !report->output.empty()) print_line(stderr, report->output);
  if (answer->status != 200) return fail(kServer, refusal(*answer));
  if (!report)
    return fail(kServer, "the node's answer is not one of an execution: " + report.error().message);
  if (report->failure) return fail(kServer, "the function failed: " + report->failure->message);
  print_line(stdout, report->result);
  return kOk;
}

int invoke(const InvokeOptions& options, NodeClient& node) {
  const auto params = parameters(options.arguments, options.params_file);
  if (!params) return fail(kUsage, params.error().message);
  const auto answer =
      node.post("/invoke/" + percent_encoded(options.function), request_body(options, *params), kCallLimit);
  return options.raw ? show_raw(answer) : show(answer);
}

}  // namespace

Action define_invoke(CLI::App& command) {
  auto options = std::make_shared<InvokeOptions>();
  command.add_option("-f,--function", options->function, "Name of the function")->required();
  command.add_option("--resptime", options->max_response_time,
                     "Longest wait until the call starts, in seconds; past that it is rejected (-1: none)");
  command.add_option("-c,--class", options->qos_class, "Class of service: a higher one goes first (0)");
  add_repeatable(command, "-p,--param", options->arguments,
                 "A parameter <name>:<value>; the value is sent as a string. May be repeated");
  command.add_option("-j,--params_file", options->params_file,
                     "File with a JSON object that holds the parameters");
  auto* asynchronous =
      command.add_flag("-a,--async", options->asynchronous, "Do not wait: print the id to ask 'poll' with");
  command.add_flag("-o,--return_output", options->return_output,
                   "Have what the function prints in the answer");
  command
      .add_flag("--raw", options->raw, "Print just the function's result (and what it printed, on stderr)")
      ->excludes(asynchronous);
  return [options](NodeClient& node) { return invoke(*options, node); };
}

}  // namespace serverledge::cli
