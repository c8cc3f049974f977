#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Runs what makes an answer and writes the answer's head: the protocol part of cpp-httplib, and the only
/// file that sees it. Thread-safe.
class AnswerWriter {
 public:
  /// What an answer has to suit.
  struct Asked {
    std::string_view method;  ///< of the request; HEAD: no body is to follow
    bool http_1_0 = false;
    bool keep_alive = true;  ///< read after the response was made
  };
  /// Gives the response, or throws.
  using Make = std::function<HttpResponse()>;
  /// Told of an exception out of `Make`.
  using Failed = std::function<void(std::string_view what)>;

  explicit AnswerWriter(Failed failed);
  ~AnswerWriter();
  AnswerWriter(const AnswerWriter&) = delete;
  AnswerWriter& operator=(const AnswerWriter&) = delete;

  /// Appends status line and headers to `head` and sets `body`. If `make` throws the answer is a 500.
  void write(const Asked& asked, const Make& make, std::string& head, std::string& body) const;

 private:
  class Protocol;
  std::unique_ptr<Protocol> protocol_;
  Failed failed_;
};

}  // namespace serverledge
