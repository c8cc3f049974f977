#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace serverledge {

/// What went wrong, coarsely: callers switch on it, and one table (`http_status`) maps it to HTTP.
enum class ErrorCode {
  kInvalid,         ///< the caller's input is wrong; the message names the field and what is expected
  kTooLarge,        ///< input over a limit
  kNotFound,        ///< no such function, request, key
  kExists,          ///< create of something that is there
  kUnprocessable,   ///< well-formed, but this node can never do it (memory limit)
  kNoResources,     ///< overload: no memory, cores, place in the queue; try later
  kDeadline,        ///< a wait or a call ran out of time
  kCancelled,       ///< the caller went away, or the node shuts down
  kFunctionFailed,  ///< the function itself failed; see `Failure`
  kUnavailable,     ///< a part that we need is away (store, engine, peer)
  kDiskFull,        ///< the store or a folder has no space left
  kUnsupported,     ///< the machine lacks a feature or right that this needs
  kUnknownOutcome,  ///< a forwarded call may or may not have run
  kInternal,        ///< a defect of ours
};

/// Name of a code for logs and messages, e.g. "not found".
const char* to_string(ErrorCode code) noexcept;

/// HTTP status of a code: the only such table.
int http_status(ErrorCode code) noexcept;

/// An expected failure, as a value. `message` is for the caller, `detail` (may be empty) for the log.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string detail;

  bool operator==(const Error&) const = default;
};

/// Wraps an Error on its way into a Result, so that `return Unexpected(error)` reads as what it is.
class Unexpected {
 public:
  explicit Unexpected(Error error) : error_(std::move(error)) {}
  Unexpected(ErrorCode code, std::string message, std::string detail = {})
      : error_{code, std::move(message), std::move(detail)} {}
  Error& error() noexcept { return error_; }

 private:
  Error error_;
};

/// A value or an Error, with the names of std::expected (which it will be replaced by one day). Accessing the
/// value of a failed result is a bug and throws std::bad_variant_access.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Unexpected unexpected) : state_(std::in_place_index<1>, std::move(unexpected.error())) {}  // NOLINT

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T other) const& { return has_value() ? value() : std::move(other); }

  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Unexpected unexpected)
      : error_(std::move(unexpected.error())) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  Error& error() & { return error_.value(); }
  const Error& error() const& { return error_.value(); }
  Error&& error() && { return std::move(error_).value(); }

 private:
  std::optional<Error> error_;
};

}  // namespace serverledge
