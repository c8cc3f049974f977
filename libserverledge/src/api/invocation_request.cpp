#include "api/invocation_request.hpp"

#include <limits>
#include <utility>

#include "api/request_fields.hpp"

namespace serverledge {

Result<void> read_invocation(std::string body, Invocation& invocation) {
  invocation.body = std::move(body);
  // The members of the params are the function's business: they are checked, but not taken apart.
  RequestFields fields(invocation.body, {.built_depth = 1});
  if (const std::optional<JsonValue> params = fields.object("Params")) {
    invocation.params_begin = params->offset();
    invocation.params_size = params->raw().size();
  }
  invocation.qos_class = static_cast<int>(
      fields.integer("QoSClass", 0, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
  invocation.max_response_time = from_seconds(fields.number("QoSMaxRespT").value_or(0));
  invocation.can_offload = fields.boolean("CanDoOffloading", true);
  invocation.asynchronous = fields.boolean("Async", false);
  invocation.return_output = fields.boolean("ReturnOutput", false);
  if (fields.failure()) return Unexpected(*fields.failure());
  return {};
}

}  // namespace serverledge
