// A whole node, its launcher in the folder that is named or, without one, where the library looks for it.
#include <cstdio>

#include <serverledge/assembly/open_node.hpp>

using namespace serverledge;

int main(int argc, char** argv) {
  Configuration configuration;
  if (!configuration.set("store.path", ":memory:")) return 1;
  if (argc > 1 && !configuration.set("sandbox.libexec", argv[1])) return 1;
  Result<std::unique_ptr<OpenedNode>> node = open_node(configuration);
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().message.c_str());
    return 1;
  }
  Function function;
  function.name = "answer";
  function.runtime = "python314";
  function.handler = "answer.handler";
  function.memory_mb = 64;
  Result<FunctionPtr> stored =
      (*node)->create_function(std::move(function), "def handler(params, context):\n    return 42\n");
  if (!stored) {
    std::fprintf(stderr, "%s\n", stored.error().message.c_str());
    return 1;
  }
  Invocation invocation;
  invocation.function = std::move(*stored);
  const Result<ExecutionReport> report = (*node)->node().invoke(invocation);
  if (!report || report->failure) {
    std::fprintf(stderr, "%s\n", report ? report->failure->message.c_str() : report.error().message.c_str());
    return 1;
  }
  std::printf("%s\n", report->result.c_str());
}
