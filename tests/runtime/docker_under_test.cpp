#include "runtime/docker_under_test.hpp"

#include <catch2/catch.hpp>

#include "support/eventually.hpp"
#include "support/skip.hpp"

namespace serverledge::test {

std::unique_ptr<RuntimeUnderTest> make_runtime_under_test() {
  const DockerEngine engine = DockerEngine::of_fixture();
  require_image(engine, "serverledge-python310");
  require_image(engine, "serverledge-nodejs17");
  return std::make_unique<DockerUnderTest>(
      engine.host(), DockerSetup{.adjust = [](DockerOptions& options) { options.processes = 64; }});
}

void require_image(const DockerEngine& engine, const std::string& reference) {
  if (!engine.has_image(reference))
    skip_test("the engine has no image " + reference + ": run examples/images/build.sh");
}

void LogKeeper::log(LogLevel /*level*/, std::string_view event, std::initializer_list<LogField> fields) {
  const std::scoped_lock lock(mutex_);
  text_.append(event);
  for (const LogField& field : fields) text_.append(" ").append(field.first).append("=").append(field.second);
  text_ += '\n';
}

std::string LogKeeper::text() const {
  const std::scoped_lock lock(mutex_);
  return text_;
}

DockerUnderTest::DockerUnderTest(const std::string& host, const DockerSetup& setup)
    : store_(setup.store.empty() ? folder_.file("store") : setup.store) {
  Result<NodeLock> lock =
      NodeLock::acquire(store_, setup.run_root.empty() ? folder_.file("run") : setup.run_root);
  if (!lock) FAIL(lock.error().message);
  lock_.emplace(std::move(*lock));
  Result<std::unique_ptr<CodeArchive>> archive =
      make_code_archive({.folder = store_ + "/code"}, system_clock());
  if (!archive) FAIL(archive.error().message);
  archive_ = std::move(*archive);
  DockerOptions options;
  options.host = host;
  if (setup.adjust) setup.adjust(options);
  Result<std::unique_ptr<ContainerRuntime>> runtime =
      make_docker_runtime(options, *lock_, *archive_, codes_, observer_, system_clock(), networks_);
  if (!runtime) FAIL(runtime.error().message);
  runtime_ = std::move(*runtime);
}

bool DockerUnderTest::leaves_nothing(const DockerEngine& engine) {
  return eventually([&] {
    runtime_->watch();
    return engine.containers(label()).empty();
  });
}

void DockerUnderTest::stop() {
  runtime_.reset();
  lock_.reset();
}

Function DockerUnderTest::custom(const std::string& image) {
  Function function;
  function.name = "main";
  function.runtime = "custom";
  function.memory_mb = 64;
  function.custom_image = image;
  return function;
}

void check_echoes(Container& container) {
  for (int n = 0; n < 3; ++n) {
    const std::string params = "{\"n\":" + std::to_string(n) + "}";
    const Reply reply = call(container, params);
    REQUIRE_FALSE(reply.failure);
    CHECK(reply.result == params);
  }
}

}  // namespace serverledge::test
