// Settings: the first byte chooses a key of the table (or says that the first line is the key), the rest is
// the value. Whatever is accepted can be read as the type of its key and set again; whatever is not leaves no
// trace.
#include <string>

#include "require.hpp"
#include "serverledge/core/configuration.hpp"

namespace {

using serverledge::Configuration;
using serverledge::ConfigurationKey;

void read_back(const Configuration& configuration, const ConfigurationKey& row, const std::string& key) {
  using Type = ConfigurationKey::Type;
  switch (row.type) {
    case Type::kText:
      break;
    case Type::kInteger:
      REQUIRE(static_cast<double>(configuration.integer(key)) >= row.minimum);
      break;
    case Type::kNumber:
      REQUIRE(configuration.number(key) >= row.minimum);
      break;
    case Type::kBoolean:
      configuration.boolean(key);
      break;
    case Type::kSeconds:
      REQUIRE(configuration.duration(key) >= serverledge::Duration::zero());
      break;
    case Type::kMegabytes:
      REQUIRE(configuration.bytes(key) < (1ULL << 63));
      break;
    case Type::kList:
      for (const std::string& part : configuration.list(key)) REQUIRE(!part.empty());
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const auto& rows = serverledge::configuration_keys();
  std::string value(reinterpret_cast<const char*>(data + 1), size - 1);
  std::string key;
  const std::size_t choice = data[0] % (rows.size() + 1);
  if (choice < rows.size()) {
    key = rows[choice].name;
    if (key.ends_with(".*")) key.back() = 'x';
  } else {
    key = value.substr(0, value.find('\n'));
    value.erase(0, key.size());
  }

  Configuration configuration;
  const auto set = configuration.set(key, value, "fuzzer");
  if (!set) {
    REQUIRE(!set.error().message.empty());
    for (const auto& row : configuration.effective()) REQUIRE(row.origin == "default");
    return 0;
  }
  if (choice == rows.size() || !configuration.is_set(key)) return 0;
  read_back(configuration, rows[choice], key);
  Configuration again;
  REQUIRE(again.set(key, configuration.text(key)));
  REQUIRE(again.text(key) == configuration.text(key));
  return 0;
}
