#include <cstring>
#include <string_view>

#include "handles.hpp"
#include "serverledge/assembly/configuration_file.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"

using namespace serverledge;     // NOLINT(google-build-using-namespace)
using namespace serverledge::c;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kOrigin = "embedded";

/// What an embedded node is by default: it leaves nothing on disk, and writes what went wrong alone.
Result<void> set_defaults(Configuration& configuration) {
  for (const auto& [key, value] : {std::pair{"store.path", ":memory:"}, std::pair{"log.level", "warning"}}) {
    if (configuration.is_set(key)) continue;
    if (Result<void> set = configuration.set(key, value, kOrigin); !set) return set;
  }
  return {};
}

serverledge_code open_with(Configuration configuration, serverledge_node** node, serverledge_error** error) {
  if (Result<void> set = set_defaults(configuration); !set) return fail(error, set.error());
  Result<std::unique_ptr<OpenedNode>> opened = open_node(configuration);
  if (!opened) return fail(error, std::move(opened).error());
  *node = new serverledge_node{std::move(*opened)};
  return SERVERLEDGE_OK;
}

std::string_view text_of(const char* text) { return text == nullptr ? std::string_view() : text; }

/// The body of `/create` that says the same.
Result<std::string> request_of(const serverledge_function& function) {
  if (function.signature != nullptr) {
    if (Result<void> checked = check_json(function.signature); !checked) {
      checked.error().message.insert(0, "signature: ");
      return Unexpected(std::move(checked).error());
    }
  }
  std::string request;
  JsonWriter json(request);
  json.begin_object();
  json.key("Name").string(text_of(function.name));
  json.key("Runtime").string(text_of(function.runtime));
  json.key("Handler").string(text_of(function.handler));
  json.key("MemoryMB").integer(function.memory_mb);
  json.key("CPUDemand").number(function.cpu_demand);
  json.key("MaxConcurrency").integer(function.max_concurrency);
  if (function.timeout != 0) json.key("TimeoutSec").number(function.timeout);
  if (function.code != nullptr) {
    const std::string_view code(static_cast<const char*>(function.code), function.code_size);
    json.key("TarFunctionCode").string(base64_encode(code));
  }
  if (function.custom_image != nullptr) json.key("CustomImage").string(function.custom_image);
  if (function.signature != nullptr) json.key("Signature").raw(function.signature);
  json.end_object();
  return request;
}

using Store = Result<FunctionPtr> (OpenedNode::*)(std::string_view);

serverledge_code store(serverledge_node* node, const serverledge_function* function, Store how,
                       serverledge_error** error) {
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (function == nullptr) return fail(error, "function");
    serverledge_function known = SERVERLEDGE_FUNCTION_INIT;
    std::memcpy(&known, function, std::min(function->size, sizeof known));
    const Result<std::string> request = request_of(known);
    if (!request) return fail(error, request.error());
    const Result<FunctionPtr> stored = (node->opened.get()->*how)(*request);
    return stored ? SERVERLEDGE_OK : fail(error, stored.error());
  });
}

}  // namespace

serverledge_code serverledge_node_open(const char* settings, serverledge_node** node,
                                       serverledge_error** error) {
  clear(node);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    Configuration configuration;
    if (settings != nullptr) {
      if (Result<void> json = check_json(settings); !json) {
        return fail(error, {ErrorCode::kInvalid, "settings: " + json.error().message, {}});
      }
      if (Result<void> set = set_from_text(configuration, settings, "settings.json"); !set)
        return fail(error, std::move(set).error());
    }
    return open_with(std::move(configuration), node, error);
  });
}

serverledge_code serverledge_node_open_file(const char* path, serverledge_node** node,
                                            serverledge_error** error) {
  clear(node);
  return guarded(error, [&] {
    if (path == nullptr) return fail(error, "path");
    if (node == nullptr) return fail(error, "node");
    LoadOptions options;
    options.file = path;
    Result<Configuration> configuration = load_configuration(options);
    if (!configuration) return fail(error, std::move(configuration).error());
    return open_with(std::move(*configuration), node, error);
  });
}

serverledge_code serverledge_node_listen(serverledge_node* node, serverledge_error** error) {
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (node->opened->port() != 0) return fail(error, {ErrorCode::kInvalid, "the node listens already", {}});
    const Result<void> started = node->opened->start();
    return started ? SERVERLEDGE_OK : fail(error, started.error());
  });
}

int serverledge_node_port(const serverledge_node* node) { return node == nullptr ? 0 : node->opened->port(); }

void serverledge_node_stop(serverledge_node* node, double drain) {
  if (node == nullptr) return;
  (void)guarded(nullptr, [&] {
    node->opened->stop(from_seconds(drain));
    return SERVERLEDGE_OK;
  });
}

void serverledge_node_free(serverledge_node* node) {
  serverledge_node_stop(node, 0);
  delete node;
}

serverledge_code serverledge_node_status(serverledge_node* node, char** json, serverledge_error** error) {
  clear(json);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (json == nullptr) return fail(error, "json");
    *json = copy_of(node->opened->status());
    return SERVERLEDGE_OK;
  });
}

serverledge_code serverledge_node_create(serverledge_node* node, const serverledge_function* function,
                                         serverledge_error** error) {
  return store(node, function, &OpenedNode::create_function, error);
}

serverledge_code serverledge_node_update(serverledge_node* node, const serverledge_function* function,
                                         serverledge_error** error) {
  return store(node, function, &OpenedNode::update_function, error);
}

serverledge_code serverledge_node_delete(serverledge_node* node, const char* name,
                                         serverledge_error** error) {
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (name == nullptr) return fail(error, "name");
    const Result<void> removed = node->opened->node().registry().remove(name);
    return removed ? SERVERLEDGE_OK : fail(error, removed.error());
  });
}

serverledge_code serverledge_node_list(serverledge_node* node, char** json, serverledge_error** error) {
  clear(json);
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (json == nullptr) return fail(error, "json");
    std::string text;
    JsonWriter list(text);
    list.begin_array();
    for (const FunctionPtr& function : node->opened->node().registry().list())
      list.raw(to_json(*function, {}));
    list.end_array();
    *json = copy_of(text);
    return SERVERLEDGE_OK;
  });
}

serverledge_code serverledge_node_prewarm(serverledge_node* node, const char* name, int count, int* started,
                                          serverledge_error** error) {
  if (started != nullptr) *started = 0;
  return guarded(error, [&] {
    if (node == nullptr) return fail(error, "node");
    if (name == nullptr) return fail(error, "name");
    if (count < 0) return fail(error, {ErrorCode::kInvalid, "count: expected 0 or more", {}});
    const Result<int> warm = node->opened->node().prewarm(name, count, false);
    if (!warm) return fail(error, warm.error());
    if (started != nullptr) *started = *warm;
    return SERVERLEDGE_OK;
  });
}
