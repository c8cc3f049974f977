#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/json.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Reads the fields of a request's JSON object by name, without regard to case. A field that is absent or
/// null gives the default. The first field that does not fit is remembered, and every later read gives its
/// default: ask `failure()` once, at the end. An empty body is an object without fields. Confined to one
/// thread; the text must outlive it.
class RequestFields {
 public:
  explicit RequestFields(std::string_view body, JsonLimits limits = {});

  std::string_view text(std::string_view name);
  bool boolean(std::string_view name, bool absent);
  std::int64_t integer(std::string_view name, std::int64_t absent, std::int64_t minimum,
                       std::int64_t maximum);
  /// A number, which JSON makes finite; nullopt when absent.
  std::optional<double> number(std::string_view name);
  /// An object; nullopt when absent.
  std::optional<JsonValue> object(std::string_view name);

  /// Remembers that a field does not fit, for checks that only the caller can make.
  void refuse(std::string_view name, std::string_view expectation);
  /// The first thing that was wrong; nullopt if nothing was.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  std::optional<JsonValue> find(std::string_view name) const;
  void refuse_type(std::string_view name, std::string_view expected, JsonValue value);

  std::optional<JsonDocument> document_;
  std::optional<Error> failure_;
};

}  // namespace serverledge
