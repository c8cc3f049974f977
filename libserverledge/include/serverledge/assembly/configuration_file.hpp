#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/configuration.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where settings come from, besides the defaults of the table.
struct LoadOptions {
  /// The file named on the command line: then no other is looked for.
  std::optional<std::string> file;
  /// Folders in which `serverledge-conf.yaml`, `.yml`, `.toml` and `.json` are looked for; the first that is
  /// there is read. "$HOME" stands for that variable of `environment`.
  std::vector<std::string> folders = {"/etc/serverledge", "$HOME", "."};
  /// The environment, by name. `SERVERLEDGE_CONTAINER_POOL_MEMORY` overrides `container.pool.memory`.
  std::map<std::string, std::string> environment;
};

/// The settings of the file, if there is one, overridden by those of the environment. kInvalid for what is
/// wrong in them, one line for each problem with its file and line, or its variable; kNotFound naming a file
/// that was named and is not there; kUnavailable for one that cannot be read. Of the variables that begin
/// with SERVERLEDGE_ only SERVERLEDGE_HOST and SERVERLEDGE_PORT (of the command line tool) may name no
/// setting.
Result<Configuration> load_configuration(const LoadOptions& options);

/// Sets what the text of a configuration file says: TOML if the name of the file ends so, else YAML (JSON is
/// YAML). Keys are nested or dotted; lists are for keys that are lists; null sets nothing. kInvalid as above;
/// then some of it may be set.
Result<void> set_from_text(Configuration& configuration, std::string_view text, const std::string& file);

/// This process's environment, for LoadOptions.
std::map<std::string, std::string> process_environment();

}  // namespace serverledge
