#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// One row of the table of configuration keys: the only place where a key, its default and its meaning stand.
struct ConfigurationKey {
  enum class Type { kText, kInteger, kNumber, kBoolean, kSeconds, kMegabytes, kList };
  std::string_view name;  ///< dotted: "container.pool.memory"
  Type type = Type::kText;
  std::string_view default_value;  ///< as text; empty: decided at start, as `description` says
  std::string_view description;    ///< one or two sentences with the unit
  double minimum = 0;              ///< of numbers
  double maximum = 0;              ///< of numbers; 0: none
  std::string_view choices = {};   ///< comma-separated, if only these are allowed
  bool unused = false;             ///< accepted for the Go implementation's sake, with a warning
};

/// The table, ordered by name. A key that ends in ".*" stands for a family (`container.docker.image.*`).
const std::vector<ConfigurationKey>& configuration_keys();
/// The name in the table that needs the fewest letters changed to become `name`.
std::string_view nearest_configuration_key(std::string_view name);
/// The environment variable that overrides a key: "SERVERLEDGE_CONTAINER_POOL_MEMORY".
std::string environment_name(std::string_view key);
/// The table as Markdown, for docs/configuration.md.
std::string configuration_reference();

/// Effective settings: the defaults of the table, overridden in order by files, the environment, and code.
/// A value; thread-compatible.
class Configuration {
 public:
  /// Sets a key, in any case, from text (a list: separated by commas). kInvalid if the key is unknown (naming
  /// the nearest known one) or the value does not fit. An empty text for a key that is decided at start
  /// unsets it. `origin` says where it came from ("file.yaml", "environment", "code").
  Result<void> set(std::string_view key, std::string_view value, std::string_view origin = "code");

  /// The effective value. Asking for a key that is not in the table, or as another type, is a bug and throws
  /// std::logic_error; `text` reads any type. What is decided at start reads as empty, or 0, until somebody
  /// sets it.
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  Duration duration(std::string_view key) const;    ///< of a key in seconds
  std::uint64_t bytes(std::string_view key) const;  ///< of a key in MB (2^20 bytes)
  std::vector<std::string> list(std::string_view key) const;
  /// Whether someone set it (its default is not in force).
  bool is_set(std::string_view key) const;

  struct Effective {
    std::string key;
    std::string value;
    std::string origin;  ///< "default" or where it was set
  };
  /// Every key of the table with its value and origin, ordered by name.
  std::vector<Effective> effective() const;
  /// One sentence for each key that was set and has no effect here.
  std::vector<std::string> warnings() const;

 private:
  struct Setting {
    std::string value;
    std::string origin;
  };
  std::string effective_text(std::string_view key, const ConfigurationKey& row) const;

  std::map<std::string, Setting, std::less<>> settings_;
};

}  // namespace serverledge
