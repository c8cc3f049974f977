#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct CodeDownloadOptions {
  std::vector<std::string> schemes{"https", "http"};  ///< of these two, those that are allowed
  std::uint64_t size_max = std::uint64_t{64} << 20U;  ///< bytes of the answer
  Duration timeout = std::chrono::seconds(30);        ///< for everything together
  int redirects_max = 5;
  std::string ca_file = {};  ///< PEM file of the authorities to trust; empty: the system's
};

/// Fetches a function's code from a URL, on the caller's thread. Follows redirects, though never from https
/// to http. Addresses of the local link (169.254.0.0/16, fe80::/10), where clouds keep a machine's
/// credentials, are refused; other private addresses are not. Certificates are verified. Thread-safe.
///
/// kInvalid: not such a URL, a scheme or address that is not allowed, a certificate that is not valid, an
/// answer other than 200, too many redirects. kTooLarge, kDeadline. kUnavailable: no connection, or it broke.
Result<std::string> download_code(const std::string& url, const CodeDownloadOptions& options, Clock& clock);

}  // namespace serverledge
