#include "serverledge/core/result.hpp"

namespace serverledge {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalid:
      return "invalid";
    case ErrorCode::kTooLarge:
      return "too large";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kExists:
      return "exists";
    case ErrorCode::kUnprocessable:
      return "unprocessable";
    case ErrorCode::kNoResources:
      return "no resources";
    case ErrorCode::kDeadline:
      return "deadline";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kFunctionFailed:
      return "function failed";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDiskFull:
      return "disk full";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kUnknownOutcome:
      return "unknown outcome";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

int http_status(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalid:
      return 400;
    case ErrorCode::kTooLarge:
      return 413;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kExists:
      return 409;
    case ErrorCode::kUnprocessable:
      return 422;
    case ErrorCode::kNoResources:
      return 429;
    case ErrorCode::kDeadline:
      return 504;
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kDiskFull:
      return 507;
    case ErrorCode::kFunctionFailed:
    case ErrorCode::kUnsupported:
    case ErrorCode::kInternal:
      return 500;
    case ErrorCode::kUnknownOutcome:
      return 502;
  }
  return 500;
}

}  // namespace serverledge
