#include "call_request.hpp"

#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

Unexpected wrong(std::string_view field, std::string_view expected) {
  return Unexpected(ErrorCode::kInvalid, std::string(field) + " must be " + std::string(expected));
}

// What is handed to the kernel ends at a NUL.
bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

std::optional<JsonValue> present(const JsonValue& root, std::string_view name) {
  const std::optional<JsonValue> value = root.find(name);
  return value && !value->is_null() ? value : std::nullopt;
}

Result<std::string> text_of(const JsonValue& root, std::string_view name) {
  const std::optional<JsonValue> value = present(root, name);
  if (!value) return std::string();
  const std::optional<std::string_view> text = value->as_string();
  if (!text || has_nul(*text)) return wrong(name, "a string without NUL");
  return std::string(*text);
}

Result<std::vector<std::string>> command_of(const JsonValue& root) {
  std::vector<std::string> words;
  const std::optional<JsonValue> command = present(root, "Command");
  if (!command) return words;
  if (!command->is_array()) return wrong("Command", "an array of strings");
  for (std::size_t i = 0; i < command->size(); ++i) {
    const std::optional<std::string_view> word = command->at(i).as_string();
    if (!word || has_nul(*word)) return wrong("Command", "an array of strings without NUL");
    words.emplace_back(*word);
  }
  return words;
}

}  // namespace

Result<CallRequest> parse_call(std::string_view body) {
  const Result<JsonDocument> document = JsonDocument::parse(body, {.max_depth = 512, .built_depth = 2});
  if (!document) return Unexpected(ErrorCode::kInvalid, "the body: " + document.error().message);
  const JsonValue root = document->root();
  if (!root.is_object()) return wrong("the body", "a JSON object");
  CallRequest request;
  Result<std::vector<std::string>> command = command_of(root);
  if (!command) return Unexpected(command.error());
  request.command = std::move(*command);
  for (const auto& [name, field] :
       {std::pair{"Handler", &request.handler}, {"HandlerDir", &request.handler_dir}}) {
    Result<std::string> text = text_of(root, name);
    if (!text) return Unexpected(text.error());
    *field = std::move(*text);
  }
  if (const auto params = present(root, "Params")) request.params = params->raw();
  if (const auto context = present(root, "Context")) {
    if (!context->is_object()) return wrong("Context", "an object");
    request.context = context->raw();
  }
  if (const auto asked = present(root, "ReturnOutput")) {
    if (!asked->as_bool()) return wrong("ReturnOutput", "true or false");
    request.return_output = *asked->as_bool();
  }
  return request;
}

}  // namespace serverledge
