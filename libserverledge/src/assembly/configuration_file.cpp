#include "serverledge/assembly/configuration_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "assembly/settings_text.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kVariablePrefix = "SERVERLEDGE_";
constexpr std::string_view kFileName = "serverledge-conf";
constexpr std::array<std::string_view, 4> kExtensions{".yaml", ".yml", ".toml", ".json"};
constexpr std::size_t kLargestFile = std::size_t{1} << 20;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lower(c); });
  return out;
}

/// All that is wrong, a line for each.
class Problems {
 public:
  void add(std::string problem) { lines_.push_back(std::move(problem)); }
  void add(const Result<void>& done) {
    if (!done) add(done.error().message);
  }
  Result<void> result() const {
    if (lines_.empty()) return {};
    return Unexpected(ErrorCode::kInvalid, fmt::format("{}", fmt::join(lines_, "\n")));
  }

 private:
  std::vector<std::string> lines_;
};

bool is_list(std::string_view key) {
  const auto& keys = configuration_keys();
  return std::any_of(keys.begin(), keys.end(), [&](const ConfigurationKey& known) {
    return known.name == key && known.type == ConfigurationKey::Type::kList;
  });
}

/// The value of a setting as `Configuration::set` takes it.
Result<std::string> value_of(const FileSetting& setting) {
  if (!setting.list) return setting.values.front();
  if (!is_list(lower(setting.key))) {
    return Unexpected(ErrorCode::kInvalid, fmt::format("{} is not a list but a single value", setting.key));
  }
  for (const std::string& value : setting.values) {
    if (value.find(',') != std::string::npos) {
      return Unexpected(ErrorCode::kInvalid,
                        fmt::format("{}: an element must not contain a comma: \"{}\"", setting.key, value));
    }
  }
  return fmt::format("{}", fmt::join(setting.values, ","));
}

/// Reads a file whole; nothing if there is none.
Result<std::optional<std::string>> read_file(const std::string& file) {
  const auto failed = [&](int error_number) {
    return Unexpected(ErrorCode::kUnavailable, fmt::format("cannot read the configuration file {}: {}", file,
                                                           std::generic_category().message(error_number)));
  };
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<std::string>{};
    return failed(errno);
  }
  std::string text(kLargestFile + 1, '\0');
  std::size_t size = 0;
  ssize_t got = 0;
  do {
    got = ::read(descriptor, text.data() + size, text.size() - size);
    if (got > 0) size += static_cast<std::size_t>(got);
  } while ((got > 0 && size < text.size()) || (got < 0 && errno == EINTR));
  const int failure = got < 0 ? errno : 0;
  ::close(descriptor);
  if (failure != 0) return failed(failure);
  if (size > kLargestFile) return failed(EFBIG);
  text.resize(size);
  return std::optional(std::move(text));
}

/// The file that the settings are to be read from, with its text; nothing if there is none.
struct Source {
  std::string file;
  std::string text;
};
Result<std::optional<Source>> find_source(const LoadOptions& options) {
  if (options.file) {
    auto text = read_file(*options.file);
    if (!text) return Unexpected(std::move(text).error());
    if (!*text) {
      return Unexpected(ErrorCode::kNotFound,
                        fmt::format("there is no configuration file {}", *options.file));
    }
    return std::optional(Source{*options.file, std::move(**text)});
  }
  for (const std::string& named : options.folders) {
    std::string folder = named;
    if (named == "$HOME") {
      const auto home = options.environment.find("HOME");
      if (home == options.environment.end() || home->second.empty()) continue;
      folder = home->second;
    }
    for (const std::string_view extension : kExtensions) {
      const std::string file = fmt::format("{}/{}{}", folder, kFileName, extension);
      auto text = read_file(file);
      if (!text) return Unexpected(std::move(text).error());
      if (*text) return std::optional(Source{file, std::move(**text)});
    }
  }
  return std::optional<Source>{};
}

/// The key that a variable overrides; nothing if there is none.
std::optional<std::string> key_of_variable(std::string_view variable) {
  for (const ConfigurationKey& key : configuration_keys()) {
    std::string_view name = key.name;
    const bool family = name.ends_with(".*");
    if (family) name.remove_suffix(1);
    const std::string expected = environment_name(name);
    if (!family && expected == variable) return std::string(name);
    if (family && variable.size() > expected.size() && variable.starts_with(expected)) {
      return std::string(name) + lower(variable.substr(expected.size()));
    }
  }
  return std::nullopt;
}

Result<void> set_from_environment(Configuration& configuration,
                                  const std::map<std::string, std::string>& environment) {
  Problems problems;
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(kVariablePrefix)) continue;
    if (variable == "SERVERLEDGE_HOST" || variable == "SERVERLEDGE_PORT") continue;
    if (const auto key = key_of_variable(variable)) {
      problems.add(configuration.set(*key, value, variable));
      continue;
    }
    std::string key = lower(variable.substr(kVariablePrefix.size()));
    std::replace(key.begin(), key.end(), '_', '.');
    problems.add(fmt::format("{}: this environment variable names no setting; the nearest that does is {}",
                             variable, environment_name(nearest_configuration_key(key))));
  }
  return problems.result();
}

}  // namespace

Result<void> set_from_text(Configuration& configuration, std::string_view text, const std::string& file) {
  if (!is_utf8(text)) return Unexpected(ErrorCode::kInvalid, fmt::format("{}: it is not UTF-8 text", file));
  const auto settings =
      lower(file).ends_with(".toml") ? read_toml_settings(text, file) : read_yaml_settings(text, file);
  if (!settings) return Unexpected(settings.error());
  Problems problems;
  std::map<std::string, int> lines;
  for (const FileSetting& setting : *settings) {
    const std::string origin = fmt::format("{}:{}", file, setting.line);
    const auto [before, first] = lines.emplace(lower(setting.key), setting.line);
    if (!first) {
      problems.add(fmt::format("{}: {} is set already in line {}", origin, setting.key, before->second));
      continue;
    }
    const auto value = value_of(setting);
    if (!value) {
      problems.add(fmt::format("{}: {}", origin, value.error().message));
      continue;
    }
    problems.add(configuration.set(setting.key, *value, origin));
  }
  return problems.result();
}

Result<Configuration> load_configuration(const LoadOptions& options) {
  Configuration configuration;
  auto source = find_source(options);
  if (!source) return Unexpected(std::move(source).error());
  if (*source) {
    if (auto set = set_from_text(configuration, (*source)->text, (*source)->file); !set) {
      return Unexpected(std::move(set).error());
    }
  }
  if (auto set = set_from_environment(configuration, options.environment); !set) {
    return Unexpected(std::move(set).error());
  }
  return configuration;
}

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

}  // namespace serverledge
