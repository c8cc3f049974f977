#include "api/request_fields.hpp"

#include <fmt/format.h>

namespace serverledge {

RequestFields::RequestFields(std::string_view body, JsonLimits limits) {
  if (body.empty()) return;
  Result<JsonDocument> document = JsonDocument::parse(body, limits);
  if (!document) {
    failure_ = std::move(document).error();
    failure_->message = "the body is not a JSON object: " + failure_->message;
    return;
  }
  document_ = std::move(*document);
  if (!document_->root().is_object()) {
    failure_ =
        Error{ErrorCode::kInvalid,
              fmt::format("the body must be a JSON object, not {}", to_string(document_->root().type())),
              {}};
  }
}

std::optional<JsonValue> RequestFields::find(std::string_view name) const {
  if (failure_ || !document_) return std::nullopt;
  const std::optional<JsonValue> value = document_->root().find_any_case(name);
  return value && !value->is_null() ? value : std::nullopt;
}

void RequestFields::refuse(std::string_view name, std::string_view expectation) {
  if (!failure_) failure_ = Error{ErrorCode::kInvalid, fmt::format("{}: {}", name, expectation), {}};
}

void RequestFields::refuse_type(std::string_view name, std::string_view expected, JsonValue value) {
  refuse(name, fmt::format("expected {}, got {}", expected, to_string(value.type())));
}

std::string_view RequestFields::text(std::string_view name) {
  const std::optional<JsonValue> value = find(name);
  if (!value) return {};
  const std::optional<std::string_view> text = value->as_string();
  if (!text) refuse_type(name, "a string", *value);
  return text.value_or(std::string_view{});
}

bool RequestFields::boolean(std::string_view name, bool absent) {
  const std::optional<JsonValue> value = find(name);
  if (!value) return absent;
  const std::optional<bool> boolean = value->as_bool();
  if (!boolean) refuse_type(name, "true or false", *value);
  return boolean.value_or(absent);
}

std::int64_t RequestFields::integer(std::string_view name, std::int64_t absent, std::int64_t minimum,
                                    std::int64_t maximum) {
  const std::optional<JsonValue> value = find(name);
  if (!value) return absent;
  if (value->type() != JsonType::kNumber) {
    refuse_type(name, "an integer", *value);
    return absent;
  }
  const std::optional<std::int64_t> integer = value->as_int();
  if (!integer || *integer < minimum || *integer > maximum) {
    refuse(name,
           fmt::format("expected an integer from {} to {}, got {:.40}", minimum, maximum, value->raw()));
    return absent;
  }
  return *integer;
}

std::optional<double> RequestFields::number(std::string_view name) {
  const std::optional<JsonValue> value = find(name);
  if (!value) return std::nullopt;
  const std::optional<double> number = value->as_double();
  if (value->type() != JsonType::kNumber) {
    refuse_type(name, "a number", *value);
  } else if (!number) {
    refuse(name, fmt::format("expected a number that fits a double, got {:.40}", value->raw()));
  }
  return number;
}

std::optional<JsonValue> RequestFields::object(std::string_view name) {
  const std::optional<JsonValue> value = find(name);
  if (value && !value->is_object()) {
    refuse_type(name, "an object", *value);
    return std::nullopt;
  }
  return value;
}

}  // namespace serverledge
