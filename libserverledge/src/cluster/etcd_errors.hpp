#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// A failure of etcd, or on the way to it, as one of ours: kDiskFull, kTooLarge, kInvalid, kNotFound,
/// kUnavailable.
Error etcd_error(const grpc::Status& status, const std::string& endpoint);
/// Whether etcd was reached, and does not let this user do it.
bool is_refusal(const grpc::Status& status);
/// Whether etcd did not do it because it does not know, or no longer knows, who we are.
bool wants_token(const grpc::Status& status);

}  // namespace serverledge
