// Configuration files: the first byte chooses TOML or YAML, the rest is the text. Whatever it is, it is
// accepted or refused with a place in the file; what is accepted says the same when it is read again.
#include <string>

#include "require.hpp"
#include "serverledge/assembly/configuration_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using serverledge::Configuration;
  if (size == 0) return 0;
  const std::string file = data[0] % 2 == 0 ? "f.yaml" : "f.toml";
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  Configuration configuration;
  const auto set = serverledge::set_from_text(configuration, text, file);
  if (!set) {
    REQUIRE(set.error().code == serverledge::ErrorCode::kInvalid);
    REQUIRE(set.error().message.starts_with(file + ":"));
    return 0;
  }
  const auto before = configuration.effective();
  REQUIRE(serverledge::set_from_text(configuration, text, file));
  const auto after = configuration.effective();
  REQUIRE(before.size() == after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    REQUIRE(before[i].key == after[i].key);
    REQUIRE(before[i].value == after[i].value);
    REQUIRE(before[i].origin == after[i].origin);
  }
  return 0;
}
