#include "observe/span.hpp"

#include "serverledge/core/json.hpp"
#include "serverledge/core/trace_context.hpp"

namespace serverledge {
namespace {

void text_attribute(JsonWriter& json, std::string_view key, std::string_view value) {
  json.begin_object().key("key").string(key);
  json.key("value").begin_object().key("stringValue").string(value).end_object().end_object();
}

void flag_attribute(JsonWriter& json, std::string_view key, bool value) {
  json.begin_object().key("key").string(key);
  json.key("value").begin_object().key("boolValue").boolean(value).end_object().end_object();
}

void write_span(JsonWriter& json, const Span& span) {
  json.begin_object();
  json.key("traceId").string(hex(span.trace[0]) + hex(span.trace[1]));
  json.key("spanId").string(hex(span.id));
  if (span.parent != 0) json.key("parentSpanId").string(hex(span.parent));
  if (!span.trace_state.empty()) json.key("traceState").string(span.trace_state);
  json.key("name").string(span.name);
  json.key("kind").integer(static_cast<int>(span.kind));
  json.key("startTimeUnixNano").string(std::to_string(span.begin));
  json.key("endTimeUnixNano").string(std::to_string(span.end));
  json.key("attributes").begin_array();
  text_attribute(json, "function", span.function);
  text_attribute(json, "request", span.request);
  if (!span.peer.empty()) text_attribute(json, "peer", span.peer);
  if (span.kind == Span::Kind::kServer) flag_attribute(json, "faas.coldstart", span.cold);
  json.end_array();
  if (!span.error.empty()) {
    json.key("status").begin_object().key("code").integer(2).key("message").string(span.error).end_object();
  }
  json.end_object();
}

}  // namespace

void append_otlp_line(std::string& out, std::string_view node, std::span<const Span> spans) {
  JsonWriter json(out);
  json.begin_object().key("resourceSpans").begin_array().begin_object();
  json.key("resource").begin_object().key("attributes").begin_array();
  text_attribute(json, "service.name", "serverledge");
  text_attribute(json, "service.instance.id", node);
  json.end_array().end_object();
  json.key("scopeSpans").begin_array().begin_object();
  json.key("scope").begin_object().key("name").string("serverledge").end_object();
  json.key("spans").begin_array();
  for (const Span& span : spans) write_span(json, span);
  json.end_array().end_object().end_array().end_object().end_array().end_object();
  out.push_back('\n');
}

}  // namespace serverledge
