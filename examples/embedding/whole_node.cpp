// A whole node in a program: store, sandbox, policies, and the HTTP interface of a node. Needs
// serverledge::serverledge.
#include <cstdio>
#include <string>

#include <serverledge/assembly/open_node.hpp>

using namespace serverledge;

namespace {

constexpr const char* kSource = R"(
def handler(params, context):
    return {"greeting": f"Hello, {params['name']}!"}
)";

Result<void> run() {
  Configuration configuration;
  for (const auto& [key, value] : {std::pair{"store.path", ":memory:"}, {"api.port", "0"}}) {
    if (Result<void> set = configuration.set(key, value); !set) return set;
  }
  Result<std::unique_ptr<OpenedNode>> opened = open_node(configuration);
  if (!opened) return Unexpected(opened.error());
  OpenedNode& node = **opened;

  Function function;
  function.name = "greet";
  function.runtime = "python314";
  function.handler = "greet.handler";
  function.memory_mb = 64;
  Result<FunctionPtr> greet = node.update_function(std::move(function), kSource);
  if (!greet) return Unexpected(greet.error());

  // In the process, on this thread; no byte goes through a socket of the node's.
  Invocation invocation;
  invocation.function = *greet;
  invocation.body = R"({"name": "Ada"})";
  invocation.params_size = invocation.body.size();
  const Result<ExecutionReport> report = node.node().invoke(invocation);
  if (!report) return Unexpected(report.error());
  std::printf("%s\n", report->failure ? report->failure->message.c_str() : report->result.c_str());

  // For others, over HTTP, as long as the program likes.
  if (Result<void> started = node.start(); !started) return started;
  std::printf("listening on %s\n", node.address().c_str());
  node.stop(std::chrono::seconds(10));
  return {};
}

}  // namespace

int main() {
  if (const Result<void> ran = run(); !ran) {
    std::fprintf(stderr, "%s\n", ran.error().message.c_str());
    return 1;
  }
}
