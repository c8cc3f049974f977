#pragma once

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "serverledge/assembly/open_node.hpp"
#include "serverledge/core/invocation.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/node/completion_queue.hpp"
#include "serverledge/node/submitted_call.hpp"
#include "serverledge/serverledge.h"

// What the opaque handles of the C interface are.

struct serverledge_error {
  serverledge::Error error;
};

struct serverledge_node {
  std::unique_ptr<serverledge::OpenedNode> opened;
};

struct serverledge_report {
  serverledge::ExecutionReport report;
};

struct serverledge_submission {
  std::shared_ptr<serverledge::SubmittedCall> call;
};

namespace serverledge::c {

serverledge_code to_code(ErrorCode code) noexcept;

/// Gives the error to the caller, if it wants one, and returns its code.
serverledge_code fail(serverledge_error** out, Error error) noexcept;

inline serverledge_code fail(serverledge_error** out, const char* required) noexcept {
  return fail(out, Error{ErrorCode::kInvalid, std::string(required) + " must not be NULL", {}});
}

/// A copy to be freed by serverledge_string_free.
char* copy_of(const std::string& text);

/// Runs the body of a function of the interface: what it throws becomes an error.
template <typename Body>
serverledge_code guarded(serverledge_error** out, Body body) noexcept {
  if (out != nullptr) *out = nullptr;
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(out, Error{ErrorCode::kInternal, "no memory", {}});
  } catch (const std::exception& error) {
    return fail(out, Error{ErrorCode::kInternal, error.what(), {}});
  } catch (...) {
    return fail(out, Error{ErrorCode::kInternal, "an exception of unknown type", {}});
  }
}

/// Sets an output to nothing before the call that may fail.
template <typename T>
void clear(T** out) noexcept {
  if (out != nullptr) *out = nullptr;
}

}  // namespace serverledge::c
