#include "cluster/etcd_errors.hpp"

#include <fmt/format.h>

#include <string_view>

namespace serverledge {
namespace {

bool says(const grpc::Status& status, std::string_view words) {
  return status.error_message().find(words) != std::string::npos;
}

Error refused(const grpc::Status& status, std::string detail) {
  return {ErrorCode::kUnavailable,
          fmt::format("etcd does not let this node in ({}): see etcd.user, etcd.password and the rights of "
                      "that user",
                      status.error_message()),
          std::move(detail)};
}

Error exhausted(const grpc::Status& status, std::string detail) {
  if (says(status, "space exceeded")) {
    return {ErrorCode::kDiskFull,
            "etcd is full (its quota is used up), so nothing was stored: compact and defragment it, then "
            "disarm its alarm, or give it a larger --quota-backend-bytes",
            std::move(detail)};
  }
  if (says(status, "larger than max")) {
    return {ErrorCode::kTooLarge, "larger than etcd takes in one request", std::move(detail)};
  }
  return {ErrorCode::kUnavailable, "etcd is overloaded: " + status.error_message(), std::move(detail)};
}

}  // namespace

Error etcd_error(const grpc::Status& status, const std::string& endpoint) {
  std::string detail = fmt::format("{}: {} (gRPC status {})", endpoint, status.error_message(),
                                   static_cast<int>(status.error_code()));
  if (is_refusal(status)) return refused(status, std::move(detail));
  switch (status.error_code()) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return exhausted(status, std::move(detail));
    case grpc::StatusCode::NOT_FOUND:
      return {ErrorCode::kNotFound, status.error_message(), std::move(detail)};
    case grpc::StatusCode::INVALID_ARGUMENT:
      if (says(status, "request is too large")) {
        return {ErrorCode::kTooLarge, "larger than etcd takes in one request (--max-request-bytes)",
                std::move(detail)};
      }
      return {ErrorCode::kInvalid, "etcd refuses: " + status.error_message(), std::move(detail)};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {ErrorCode::kUnavailable, fmt::format("etcd at {} did not answer in time", endpoint),
              std::move(detail)};
    default:
      return {ErrorCode::kUnavailable,
              fmt::format("etcd at {} cannot be reached: {}", endpoint, status.error_message()),
              std::move(detail)};
  }
}

bool is_refusal(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return true;
    case grpc::StatusCode::INVALID_ARGUMENT:
      return says(status, "authentication failed") || says(status, "user name is empty");
    default:
      return false;
  }
}

bool wants_token(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAUTHENTICATED || says(status, "invalid auth token") ||
         says(status, "user name is empty") || says(status, "revision of auth store is old");
}

}  // namespace serverledge
