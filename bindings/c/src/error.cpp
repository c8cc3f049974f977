#include <cstdlib>
#include <cstring>

#include "handles.hpp"

namespace serverledge::c {

serverledge_code to_code(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalid:
      return SERVERLEDGE_INVALID;
    case ErrorCode::kTooLarge:
      return SERVERLEDGE_TOO_LARGE;
    case ErrorCode::kNotFound:
      return SERVERLEDGE_NOT_FOUND;
    case ErrorCode::kExists:
      return SERVERLEDGE_EXISTS;
    case ErrorCode::kUnprocessable:
      return SERVERLEDGE_UNPROCESSABLE;
    case ErrorCode::kNoResources:
      return SERVERLEDGE_NO_RESOURCES;
    case ErrorCode::kDeadline:
      return SERVERLEDGE_DEADLINE;
    case ErrorCode::kCancelled:
      return SERVERLEDGE_CANCELLED;
    case ErrorCode::kFunctionFailed:
      return SERVERLEDGE_FUNCTION_FAILED;
    case ErrorCode::kUnavailable:
      return SERVERLEDGE_UNAVAILABLE;
    case ErrorCode::kDiskFull:
      return SERVERLEDGE_DISK_FULL;
    case ErrorCode::kUnsupported:
      return SERVERLEDGE_UNSUPPORTED;
    case ErrorCode::kUnknownOutcome:
      return SERVERLEDGE_UNKNOWN_OUTCOME;
    case ErrorCode::kInternal:
      break;
  }
  return SERVERLEDGE_INTERNAL;
}

serverledge_code fail(serverledge_error** out, Error error) noexcept {
  const serverledge_code code = to_code(error.code);
  // Without memory for it there is still the code.
  if (out != nullptr) *out = new (std::nothrow) serverledge_error{std::move(error)};
  return code;
}

char* copy_of(const std::string& text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace serverledge::c

int serverledge_abi_version(void) { return SERVERLEDGE_ABI_VERSION; }

const char* serverledge_version(void) { return SERVERLEDGE_VERSION; }

serverledge_code serverledge_error_code(const serverledge_error* error) {
  return error == nullptr ? SERVERLEDGE_OK : serverledge::c::to_code(error->error.code);
}

const char* serverledge_error_message(const serverledge_error* error) {
  return error == nullptr ? "" : error->error.message.c_str();
}

const char* serverledge_error_detail(const serverledge_error* error) {
  return error == nullptr ? "" : error->error.detail.c_str();
}

void serverledge_error_free(serverledge_error* error) { delete error; }

void serverledge_string_free(char* text) { std::free(text); }
