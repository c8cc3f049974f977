#pragma once

#include <string_view>

#include "api/function_request.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Answers what concerns the table of functions: `/create`, `/update`, `/delete`, `/function`, `/functions`.
/// Thread-safe; the registry and the required parts must outlive it.
class FunctionRoutes {
 public:
  /// Who stores code over `code_inline_max` bytes is told that not every node serves it; 0: says nothing.
  FunctionRoutes(FunctionRegistry& registry, FunctionRequirements requirements, std::size_t code_inline_max)
      : registry_(registry), requirements_(std::move(requirements)), code_inline_max_(code_inline_max) {}

  HttpResponse create(const HttpRequest& request) { return answer(request, /*replace=*/false); }
  /// Stores the function also if there was none of that name.
  HttpResponse update(const HttpRequest& request) { return answer(request, /*replace=*/true); }
  HttpResponse remove(const HttpRequest& request);
  /// The names; with `?details=true` the records without their code.
  HttpResponse list(const HttpRequest& request);

  /// What `/create` (or `/update`) does with that body: checks everything, then stores the function.
  Result<FunctionPtr> store(std::string_view body, bool replace);
  /// The same of a function that was made in code.
  Result<FunctionPtr> store(Function function, std::string_view code, bool replace);

 private:
  Result<FunctionPtr> enter(Function function, std::string_view code, bool replace);
  HttpResponse answer(const HttpRequest& request, bool replace);

  FunctionRegistry& registry_;
  const FunctionRequirements requirements_;
  const std::size_t code_inline_max_;
};

}  // namespace serverledge
