// Function records: whatever is read is written in a form that reads back as the same function.
#include <string_view>

#include "require.hpp"
#include "serverledge/core/function.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto read = serverledge::function_from_json({reinterpret_cast<const char*>(data), size});
  if (!read) {
    REQUIRE(read.error().code == serverledge::ErrorCode::kInvalid && !read.error().message.empty());
    return 0;
  }
  REQUIRE(read->function.max_concurrency >= 1 && read->function.memory_mb >= 0);
  const std::string written = to_json(read->function, read->code_base64);
  const auto again = serverledge::function_from_json(written);
  REQUIRE(again);
  REQUIRE(again->function == read->function && again->code_base64 == read->code_base64);
  REQUIRE(to_json(again->function, again->code_base64) == written);
  return 0;
}
