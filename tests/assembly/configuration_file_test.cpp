#include "serverledge/assembly/configuration_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "support/temporary_folder.hpp"

namespace serverledge {
namespace {

using test::TemporaryFolder;

Configuration read(const std::string& text, const std::string& file) {
  Configuration configuration;
  const auto set = set_from_text(configuration, text, file);
  if (!set) FAIL(set.error().message);
  return configuration;
}

std::string problem_of(const std::string& text, const std::string& file = "conf.yaml") {
  Configuration configuration;
  const auto set = set_from_text(configuration, text, file);
  if (set) return "none";
  CHECK(set.error().code == ErrorCode::kInvalid);
  return set.error().message;
}

std::string origin_of(const Configuration& configuration, const std::string& key) {
  for (const auto& effective : configuration.effective()) {
    if (effective.key == key) return effective.origin;
  }
  return "none";
}

void write(const std::string& file, const std::string& text) { std::ofstream(file) << text; }

/// The same settings in every form that is understood.
const std::pair<const char*, const char*> kForms[] = {
    {"dotted.yaml",
     "api.port: 8080\ncontainer.pool.memory: 2048\nsandbox.unsafe: true\ncontainer.expiration: 1.5\n"
     "registry.area: 'MI LANO'\ncode.url.schemes: [https, file]\n"},
    {"nested.yml",
     "api:\n  port: 8080\ncontainer:\n  pool:\n    memory: 2048\n  expiration: 1.5\nsandbox: {unsafe: yes}\n"
     "registry:\n  area: \"MI LANO\" # a comment\ncode:\n  url.schemes:\n    - https\n    - file\n"},
    {"mixed.json",
     "{\n\t\"api\": {\"port\": 8080},\n\t\"container.pool.memory\": 2048,\n\t\"sandbox.unsafe\": true,\n"
     "\t\"container.expiration\": 1.5, \"registry\": {\"area\": \"MI LANO\"},\n\t\"code.url.schemes\": "
     "[\"https\", \"file\"]\n}\n"},
    {"nested.toml",
     "sandbox.unsafe = true\n\n[api]\nport = 8080\n[container]\npool.memory = 2048\nexpiration = "
     "1.5\n[registry]\n"
     "area = \"MI LANO\"\n[code.url]\nschemes = [\"https\", \"file\"]\n"},
    {"dotted.TOML",
     "\"api.port\" = 8080\n\"container.pool.memory\" = 2048\n\"sandbox.unsafe\" = true\n"
     "\"container.expiration\" = 1.5\n\"registry.area\" = 'MI LANO'\n\"code.url.schemes\" = [\"https\", "
     "\"file\"]\n"},
};

TEST_CASE("YAML, JSON and TOML, keys nested or dotted, all say the same", "[configuration_file]") {
  for (const auto& [file, text] : kForms) {
    INFO(file);
    const Configuration configuration = read(text, file);
    CHECK(configuration.integer("api.port") == 8080);
    CHECK(configuration.integer("container.pool.memory") == 2048);
    CHECK(configuration.boolean("sandbox.unsafe"));
    CHECK(configuration.duration("container.expiration") == from_seconds(1.5));
    CHECK(configuration.text("registry.area") == "MI LANO");
    CHECK(configuration.list("code.url.schemes") == std::vector<std::string>{"https", "file"});
    CHECK_THAT(origin_of(configuration, "api.port"), Catch::StartsWith(std::string(file) + ":"));
    CHECK(origin_of(configuration, "async.ttl") == "default");
  }
}

TEST_CASE("Where a setting came from names file and line", "[configuration_file]") {
  CHECK(origin_of(read("# first\n\napi:\n  port: 1\n", "a/conf.yaml"), "api.port") == "a/conf.yaml:4");
  CHECK(origin_of(read("[api]\n\nport = 1\n", "conf.toml"), "api.port") == "conf.toml:3");
}

TEST_CASE("An empty file, and keys without a value, set nothing, an empty list is one",
          "[configuration_file]") {
  for (const char* text : {"", "---\n", "# nothing\n", "api:\n", "api: {}\napi.port: ~\nregistry.area:\n"}) {
    INFO(text);
    const Configuration configuration = read(text, "conf.yaml");
    CHECK_FALSE(configuration.is_set("api.port"));
    CHECK(configuration.text("registry.area") == "ROME");
  }
  CHECK_FALSE(read("", "conf.toml").is_set("api.port"));
  CHECK(read("code.url.schemes: []", "conf.yaml").list("code.url.schemes").empty());
  CHECK(read("code.url.schemes: https", "conf.yaml").list("code.url.schemes") ==
        std::vector<std::string>{"https"});
}

TEST_CASE("A family takes any last part", "[configuration_file]") {
  const Configuration configuration =
      read("workflow.offloading.policy.region.cost:\n  rome: 0.5\n  milan: 2\n", "conf.yaml");
  CHECK(configuration.number("workflow.offloading.policy.region.cost.rome") == 0.5);
  CHECK(configuration.number("workflow.offloading.policy.region.cost.milan") == 2);
}

TEST_CASE("An unknown key is an error with file, line and the nearest known key", "[configuration_file]") {
  CHECK_THAT(problem_of("api:\n  port: 1\n  prot: 2\n"), Catch::StartsWith("conf.yaml:3: ") &&
                                                             Catch::Contains("api.prot") &&
                                                             Catch::Contains("\"api.port\""));
  CHECK_THAT(problem_of("[api]\nprot = 2\n", "conf.toml"), Catch::StartsWith("conf.toml:2: ") &&
                                                               Catch::Contains("api.prot") &&
                                                               Catch::Contains("\"api.port\""));
  CHECK_THAT(problem_of("api.port:\n  x: 1\n"), Catch::Contains("api.port.x"));
}

TEST_CASE("A value that does not fit is an error with file, line and what fits", "[configuration_file]") {
  CHECK_THAT(problem_of("\napi.port: many\n"),
             Catch::StartsWith("conf.yaml:2: api.port must be an integer") && Catch::Contains("many"));
  CHECK_THAT(problem_of("api.port: [1, 2]\n"), Catch::Contains("conf.yaml:1: api.port is not a list"));
  CHECK_THAT(problem_of("code.url.schemes: ['a,b']\n"), Catch::Contains("comma"));
  CHECK_THAT(problem_of("code.url.schemes:\n- https\n- {a: b}\n"), Catch::StartsWith("conf.yaml:3: "));
  CHECK_THAT(problem_of("code.url.schemes = [\n\"https\",\n[\"x\"]]\n", "conf.toml"),
             Catch::StartsWith("conf.toml:3: "));
  CHECK_THAT(problem_of("api.port = 2026-01-02\n", "conf.toml"),
             Catch::StartsWith("conf.toml:1: ") && Catch::Contains("date"));
}

TEST_CASE("A key that is set twice is an error, in whatever form", "[configuration_file]") {
  CHECK_THAT(problem_of("api.port: 1\napi.port: 2\n"),
             Catch::Contains("conf.yaml:2: api.port is set already in line 1"));
  CHECK_THAT(problem_of("api:\n  port: 1\nAPI.Port: 2\n"),
             Catch::Contains("conf.yaml:3: API.Port is set already in line 2"));
  CHECK_THAT(problem_of("\"api.port\" = 1\n[api]\nport = 2\n", "conf.toml"),
             Catch::Contains("is set already in line"));
}

TEST_CASE("Everything that is wrong is told at once, a line for each", "[configuration_file]") {
  CHECK_THAT(problem_of("api.port: x\nnothing: 1\nasync.ttl: -1\n"), Catch::Contains("conf.yaml:1: ") &&
                                                                         Catch::Contains("\nconf.yaml:2: ") &&
                                                                         Catch::Contains("\nconf.yaml:3: "));
}

TEST_CASE("A text that cannot be read is an error with file and line", "[configuration_file]") {
  for (const char* text :
       {"api: [1, 2\n", "api: 'x\n", "\tapi: 1\n", "a: b: c\n", "api: *nowhere\n", "- a\n- b\n",
        "just a text\n", "api.port: 1\n---\napi.port: 2\n", "? [a]\n: 1\n", "api: &a {b: *a}\n"}) {
    INFO(text);
    CHECK_THAT(problem_of(text), Catch::Matches("conf\\.yaml:[0-9]+: [^\n]+"));
  }
  for (const char* text :
       {"api = [1\n", "[api\n", "api.port = 1\napi.port = 2\n", "port\n", "a = 'x\n", "\"\" = 1\n"}) {
    INFO(text);
    CHECK_THAT(problem_of(text, "conf.toml"), Catch::Matches("conf\\.toml:[0-9]+: [^\n]+"));
  }
  CHECK_THAT(problem_of("registry.area: \xff\xfe"), Catch::Contains("UTF-8"));
}

TEST_CASE("Text after the settings is refused, also where the YAML parser would read it for ever",
          "[configuration_file]") {
  for (const char* text :
       {"{api.port: 1}}\n", "{\n}},\n\"a\": [1]\n}\n", "api.port: 1\n---\napi.port: 2\n", "--- {}\n...\n]"}) {
    INFO(text);
    CHECK_THAT(problem_of(text), Catch::Matches("conf\\.yaml:[0-9]+: [^\n]+"));
  }
  CHECK(problem_of("--- {}\n...\n") == "none");
}

TEST_CASE("Aliases that blow up are refused and cost little", "[configuration_file]") {
  std::string text = "a0: &a0 {x: 1, y: 2}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text +=
        "a" + std::to_string(i) + ": &a" + std::to_string(i) + " {x: " + before + ", y: " + before + "}\n";
  }
  CHECK_THAT(problem_of(text), Catch::Contains("too many or too deeply nested"));
  CHECK_THAT(problem_of(std::string(100'000, '[')), Catch::StartsWith("conf.yaml:"));
  CHECK_THAT(problem_of("a = " + std::string(100'000, '['), "conf.toml"), Catch::StartsWith("conf.toml:"));
}

TEST_CASE("The file named on the command line is read and no other, without one it is an error that names it",
          "[configuration_file]") {
  const TemporaryFolder folder;
  write(folder.file("mine.yaml"), "api.port: 1\n");
  write(folder.file("serverledge-conf.yaml"), "api.port: 2\nregistry.area: MILAN\n");
  LoadOptions options{folder.file("mine.yaml"), {folder.path().string()}, {}};
  const auto loaded = load_configuration(options);
  REQUIRE(loaded);
  CHECK(loaded->integer("api.port") == 1);
  CHECK_FALSE(loaded->is_set("registry.area"));
  options.file = folder.file("missing.yaml");
  const auto missing = load_configuration(options);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK_THAT(missing.error().message, Catch::Contains(folder.file("missing.yaml")));
  options.file = folder.path().string();
  CHECK_THAT(load_configuration(options).error().message, Catch::Contains(folder.path().string()));
}

TEST_CASE("Otherwise the folders are searched in order, and the first file wins", "[configuration_file]") {
  const TemporaryFolder etc;
  const TemporaryFolder home;
  const LoadOptions options{
      {}, {etc.path().string(), "$HOME", "/nonexistent"}, {{"HOME", home.path().string()}}};
  const auto port = [&] {
    const auto loaded = load_configuration(options);
    REQUIRE(loaded);
    return loaded->integer("api.port");
  };
  CHECK(port() == 1323);
  write(home.file("serverledge-conf.json"), "{\"api.port\": 4}");
  CHECK(port() == 4);
  write(home.file("serverledge-conf.toml"), "api.port = 3");
  CHECK(port() == 3);
  write(home.file("serverledge-conf.yml"), "api.port: 2");
  CHECK(port() == 2);
  write(home.file("serverledge-conf.yaml"), "api.port: 1");
  CHECK(port() == 1);
  write(etc.file("serverledge-conf.toml"), "api.port = 5");
  CHECK(port() == 5);
}

TEST_CASE("The default folders are those of the contract", "[configuration_file]") {
  CHECK(LoadOptions{}.folders == std::vector<std::string>{"/etc/serverledge", "$HOME", "."});
}

TEST_CASE("A file that cannot be read, or is no text file, is an error and not passed over",
          "[configuration_file]") {
  const TemporaryFolder folder;
  const LoadOptions options{{}, {folder.path().string()}, {}};
  const std::string file = folder.file("serverledge-conf.yaml");
  std::filesystem::create_directory(file);
  CHECK_THAT(load_configuration(options).error().message, Catch::Contains(file));
  std::filesystem::remove(file);
  write(file, std::string(2 << 20, '#'));
  CHECK_THAT(load_configuration(options).error().message, Catch::Contains(file) && Catch::Contains("large"));
}

TEST_CASE("The environment overrides files", "[configuration_file]") {
  const TemporaryFolder folder;
  write(folder.file("conf.yaml"), "api.port: 1\nregistry.area: MILAN\n");
  const LoadOptions options{folder.file("conf.yaml"),
                            {},
                            {{"SERVERLEDGE_API_PORT", "2"},
                             {"SERVERLEDGE_CODE_URL_SCHEMES", "https, file"},
                             {"SERVERLEDGE_LB_REFRESH_INTERVAL", "9"},
                             {"SERVERLEDGE_WORKFLOW_ALWAYS_SAVE_PROGRESS", "true"},
                             {"SERVERLEDGE_WORKFLOW_OFFLOADING_POLICY_REGION_COST_ROME", "0.5"},
                             {"SERVERLEDGE_HOST", "of the command line tool"},
                             {"SERVERLEDGE_PORT", "too"},
                             {"SERVER", "other"}}};
  const auto loaded = load_configuration(options);
  if (!loaded) FAIL(loaded.error().message);
  CHECK(loaded->integer("api.port") == 2);
  CHECK(origin_of(*loaded, "api.port") == "SERVERLEDGE_API_PORT");
  CHECK(loaded->text("registry.area") == "MILAN");
  CHECK(loaded->list("code.url.schemes") == std::vector<std::string>{"https", "file"});
  CHECK(loaded->text("lb.refresh_interval") == "9");
  CHECK(loaded->boolean("workflow.always_save_progress"));
  CHECK(loaded->number("workflow.offloading.policy.region.cost.rome") == 0.5);
}

TEST_CASE("Every key of the table has a variable of its own", "[configuration_file]") {
  std::map<std::string, std::string> environment;
  for (const ConfigurationKey& key : configuration_keys()) {
    if (key.name.ends_with(".*")) continue;
    INFO(key.name);
    CHECK(environment.emplace(environment_name(key.name), key.default_value).second);
  }
  const auto loaded = load_configuration({{}, {}, environment});
  if (!loaded) FAIL(loaded.error().message);
  for (const ConfigurationKey& key : configuration_keys()) {
    if (key.name.ends_with(".*") || key.default_value.empty()) continue;
    CHECK(origin_of(*loaded, std::string(key.name)) == environment_name(key.name));
  }
}

TEST_CASE("An unknown variable is an error that names the nearest, a wrong value names its variable",
          "[configuration_file]") {
  const auto unknown = load_configuration({{}, {}, {{"SERVERLEDGE_API_PROT", "1"}}});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == ErrorCode::kInvalid);
  CHECK_THAT(unknown.error().message,
             Catch::Contains("SERVERLEDGE_API_PROT") && Catch::Contains("is SERVERLEDGE_API_PORT"));
  const auto wrong = load_configuration({{}, {}, {{"SERVERLEDGE_API_PORT", "many"}}});
  REQUIRE_FALSE(wrong);
  CHECK_THAT(wrong.error().message, Catch::StartsWith("SERVERLEDGE_API_PORT: api.port must be"));
}

TEST_CASE("The process's environment is read by name", "[configuration_file]") {
  REQUIRE(::setenv("SERVERLEDGE_REGISTRY_AREA", "a=b", 1) == 0);
  CHECK(process_environment().at("SERVERLEDGE_REGISTRY_AREA") == "a=b");
  ::unsetenv("SERVERLEDGE_REGISTRY_AREA");
  CHECK_FALSE(process_environment().contains("SERVERLEDGE_REGISTRY_AREA"));
}

}  // namespace
}  // namespace serverledge
