#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "serverledge/net/http_message.hpp"

namespace serverledge {

/// Runs what makes an answer and writes the answer's head. Thread-safe.
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

  explicit AnswerWriter(Failed failed) : failed_(std::move(failed)) {}

  /// Appends status line and headers to `head` and sets `body`. If `make` throws the answer is a 500.
  void write(const Asked& asked, const Make& make, std::string& head, std::string& body) const;

 private:
  HttpResponse made(const Make& make) const;

  Failed failed_;
};

}  // namespace serverledge
