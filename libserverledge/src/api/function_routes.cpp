#include "api/function_routes.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/answers.hpp"
#include "serverledge/core/json.hpp"

namespace serverledge {
namespace {

/// What `/create` and `/update` answer when they refuse: the contract has a text for some, and nothing for
/// 409.
HttpResponse refusal(const Error& error) {
  switch (error.code) {
    case ErrorCode::kExists:
      return {409, {}, {}, {}};
    case ErrorCode::kNotFound:
    case ErrorCode::kUnprocessable:
      return HttpResponse::text(http_status(error.code), error.message);
    default:
      return error_answer(error);
  }
}

/// What whoever stores a function in a cluster should know: which nodes will not run it, and why.
std::vector<std::string> warnings_of(const Function& function, const FunctionRequirements& requirements,
                                     std::size_t code_inline_max) {
  std::vector<std::string> warnings;
  if (!requirements.in_cluster) return warnings;
  if (const std::vector<std::string> reasons = obstacles(function, requirements); !reasons.empty())
    warnings.push_back(fmt::format("this node cannot run the function: {}", fmt::join(reasons, "; ")));
  if (code_inline_max > 0 && function.code_size > code_inline_max) {
    warnings.push_back(fmt::format(
        "code over {} bytes lies in pieces beside the record: nodes of the Go implementation do not "
        "serve this function",
        code_inline_max));
  }
  return warnings;
}

HttpResponse stored_answer(const Function& function, const std::vector<std::string>& warnings) {
  if (warnings.empty()) return named_answer("Created", function.name);
  const std::string all = fmt::format("{}", fmt::join(warnings, ". "));
  std::string body;
  JsonWriter(body)
      .begin_object()
      .key("Created")
      .string(function.name)
      .key("Warning")
      .string(all)
      .end_object();
  HttpResponse answer = json_answer(200, std::move(body));
  answer.headers.add("Warning", fmt::format("299 - \"{}\"", all));
  return answer;
}

}  // namespace

Result<FunctionPtr> FunctionRoutes::store(std::string_view body, bool replace) {
  RequestFields fields(body);
  Result<Function> function = read_function(fields, requirements_);
  if (!function) return Unexpected(std::move(function).error());
  // The registry has the last word; asking it first spares reading (or fetching) the code in vain.
  if (!replace && registry_.find(function->name)) {
    return Unexpected(ErrorCode::kExists, fmt::format("there is a function {} already", function->name));
  }
  const Result<std::string> code = read_code(fields, *function, requirements_);
  if (!code) return Unexpected(code.error());
  return enter(std::move(*function), *code, replace);
}

Result<FunctionPtr> FunctionRoutes::store(Function function, std::string_view code, bool replace) {
  if (Result<void> fits = complete_function(function, code, requirements_); !fits)
    return Unexpected(std::move(fits).error());
  return enter(std::move(function), code, replace);
}

Result<FunctionPtr> FunctionRoutes::enter(Function function, std::string_view code, bool replace) {
  return replace ? registry_.update(std::move(function), code) : registry_.create(std::move(function), code);
}

HttpResponse FunctionRoutes::answer(const HttpRequest& request, bool replace) {
  const Result<FunctionPtr> stored = store(request.body, replace);
  if (!stored) return refusal(stored.error());
  return stored_answer(**stored, warnings_of(**stored, requirements_, code_inline_max_));
}

HttpResponse FunctionRoutes::remove(const HttpRequest& request) {
  RequestFields fields(request.body);
  const std::string_view name = fields.text("Name");
  if (fields.failure()) return error_answer(*fields.failure());
  if (const Result<void> removed = registry_.remove(name); !removed) {
    if (removed.error().code == ErrorCode::kNotFound) return HttpResponse::text(404, "Unknown function");
    return error_answer(removed.error());
  }
  return named_answer("Deleted", name);
}

HttpResponse FunctionRoutes::list(const HttpRequest& request) {
  const std::optional<std::string> details = request.query_parameter("details");
  const bool records = details && (details->empty() || *details == "true" || *details == "1");
  std::string body;
  JsonWriter json(body);
  json.begin_array();
  for (const FunctionPtr& function : registry_.list()) {
    if (records) {
      json.raw(to_json(*function, {}));
    } else {
      json.string(function->name);
    }
  }
  json.end_array();
  return json_answer(200, std::move(body));
}

}  // namespace serverledge
