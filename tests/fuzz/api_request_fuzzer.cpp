// Feeds bodies to the parsers of /invoke and /create: what they accept must be what the node promises to its
// inside.

#include <cstdint>
#include <string>

#include "api/archive_double.hpp"
#include "api/function_request.hpp"
#include "api/invocation_request.hpp"
#include "require.hpp"
#include "serverledge/core/json.hpp"
#include "support/scripted_runtime.hpp"

namespace {

using namespace serverledge;

void check_invocation(const std::string& body) {
  Invocation invocation;
  if (!read_invocation(body, invocation)) return;
  const std::string_view params = invocation.params();
  REQUIRE(params.starts_with('{') && params.ends_with('}'));
  REQUIRE(check_json(params).has_value());
}

void check_function(const std::string& body) {
  testing::ScriptedRuntime runtime;
  test::ArchiveDouble archive;
  const FunctionRequirements requirements{runtime, archive, Resources{1024, 4000},
                                          [](const std::string&) -> Result<std::string> {
                                            return Unexpected(ErrorCode::kUnavailable, "no network");
                                          }};
  RequestFields fields(body);
  Result<Function> function = read_function(fields, requirements);
  if (!function || !read_code(fields, *function, requirements)) return;
  REQUIRE(is_function_name(function->name));
  REQUIRE(function->memory_mb >= 1 && function->memory_mb <= 1024);
  REQUIRE(function->cpu_demand >= 0 && function->cpu_demand <= 4);
  REQUIRE(function->max_concurrency >= 1);
  REQUIRE(!function->timeout_sec || *function->timeout_sec > 0);
  const Result<StoredFunction> stored = function_from_json(to_json(*function, {}));
  REQUIRE(stored.has_value() && stored->function.name == function->name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  check_invocation(body);
  check_function(body);
  return 0;
}
