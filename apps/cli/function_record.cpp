#include "function_record.hpp"

#include <vector>

#include "serverledge/core/json.hpp"

namespace serverledge::cli {
namespace {

void write(JsonWriter& writer, const char* key, const std::vector<Parameter>& parameters) {
  writer.key(key).begin_array();
  for (const auto& parameter : parameters) {
    writer.begin_object().key("Name").string(parameter.name).key("Type").string(parameter.type).end_object();
  }
  writer.end_array();
}

}  // namespace

std::string to_json(const FunctionRecord& record) {
  std::string json;
  JsonWriter writer(json);
  writer.begin_object();
  writer.key("Name").string(record.name);
  writer.key("Runtime").string(record.runtime);
  writer.key("MemoryMB").integer(record.memory_mb);
  writer.key("CPUDemand").number(record.cpu_demand);
  writer.key("MaxConcurrency").integer(record.max_concurrency);
  writer.key("Handler").string(record.handler);
  writer.key("TarFunctionCode").string(record.code_base64);
  writer.key("CustomImage").string(record.custom_image);
  writer.key("SupportedArchs").null();
  writer.key("Signature");
  if (record.signature) {
    writer.begin_object();
    write(writer, "Inputs", record.signature->inputs);
    write(writer, "Outputs", record.signature->outputs);
    writer.end_object();
  } else {
    writer.null();
  }
  if (record.timeout_sec) writer.key("TimeoutSec").number(*record.timeout_sec);
  writer.end_object();
  return json;
}

}  // namespace serverledge::cli
