#pragma once

#include <string>
#include <string_view>

namespace serverledge {

/// Why a call failed, in the words of the executor protocol's field `Error`.
struct CallFailure {
  const char* kind = "";  ///< "raised", "output", "timeout", "crashed", "start", "protocol"
  std::string message;
  std::string traceback;
};

/// The body of a reply. Invalid UTF-8 in texts becomes U+FFFD.
std::string success_reply(std::string_view result, std::string_view output);
std::string failure_reply(const CallFailure& failure, std::string_view output = {});

/// The whole answer of HTTP with such a body; `call` is the request's Serverledge-Call, empty if it has none.
std::string http_answer(int status, std::string_view body, bool keep_alive, std::string_view call = {});

}  // namespace serverledge
