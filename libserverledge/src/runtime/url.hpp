#pragma once

#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where something is on the web: the parts of a URL that a request needs.
struct Url {
  std::string scheme;  ///< lower case
  std::string host;    ///< a name or an address, without brackets
  int port = 0;        ///< the scheme's own (80, 443; 0 if unknown) if none was given
  std::string target;  ///< path and query as they go on the wire; "/" at least
  bool operator==(const Url&) const = default;
  /// As text, without a port that is the scheme's own.
  std::string text() const;
};

/// Reads an absolute URL. kInvalid saying what is wrong: also for user names in it, and for characters that
/// must be percent-encoded. A fragment is dropped.
Result<Url> parse_url(std::string_view text);

/// What a `Location` means that came from `base`: an absolute URL, or one relative to it.
Result<Url> resolve_url(const Url& base, std::string_view location);

}  // namespace serverledge
