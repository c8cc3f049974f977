#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// One setting as a file has it: a dotted key, and its value or (a list) values as text.
struct FileSetting {
  std::string key;
  std::vector<std::string> values;
  bool list = false;
  int line = 0;  ///< from 1
};

/// The settings of a YAML or TOML text, in its order (TOML: by key). kInvalid with "<file>:<line>: what is
/// wrong".
Result<std::vector<FileSetting>> read_yaml_settings(std::string_view text, const std::string& file);
Result<std::vector<FileSetting>> read_toml_settings(std::string_view text, const std::string& file);

/// What both readers allow: enough for every file that a person writes.
constexpr int kDeepestSetting = 32;
constexpr std::size_t kMostSettings = 10'000;

}  // namespace serverledge
