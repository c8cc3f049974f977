#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "serverledge/core/result.hpp"

namespace serverledge {

/// Walks over a JSON text and hands out its parts one by one: the grammar of RFC 8259, and nothing else. It
/// copies nothing and converts nothing (a number of any size is just its text), and nesting costs a byte a
/// level, no stack. This is why it is ours: RapidJSON refuses numbers that fit no double, which a function
/// may well be sent, and takes a NUL for the end of the text. A fuzzer holds the two against each other.
class JsonScanner {
 public:
  enum class Event {
    kNull,
    kTrue,
    kFalse,
    kNumber,
    kString,
    kKey,  ///< the name of the member whose value comes next
    kBeginArray,
    kEndArray,
    kBeginObject,
    kEndObject,
    kEnd,   ///< the text is one whole value
    kError  ///< it is not; see `error()`
  };

  JsonScanner(std::string_view text, std::size_t max_depth) : text_(text), max_depth_(max_depth) {}

  /// The next part. After kEnd or kError, the same again.
  Event next();

  /// The bytes of the part, with the quotes of a string.
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return at_; }
  /// Whether the string or key has escapes, so that its decoded form differs from its bytes.
  bool escaped() const { return escaped_; }
  /// How many arrays and objects are open.
  std::size_t depth() const { return open_.size(); }
  /// kInvalid with the byte offset and what is wrong there.
  const Error& error() const { return error_; }

 private:
  enum class Expect { kValue, kElementOrEnd, kKeyOrEnd, kColon, kCommaOrEnd, kNothing };

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void skip_space();
  void skip();  // a comma or colon and the space after it
  Event fail(std::string_view what);
  Event value();
  Event key();
  Event comma_or_end();
  Event open(Event event, Expect expect);
  Event close(Event event);
  Event literal(std::string_view word, Event event);
  Event number();
  bool digits();
  bool string();
  bool escape();
  bool hex4(unsigned& unit);

  std::string_view text_;
  std::size_t max_depth_;
  std::size_t at_ = 0;
  std::size_t begin_ = 0;
  bool escaped_ = false;
  Expect expect_ = Expect::kValue;
  std::string open_;  // '[' and '{' of what is open
  Error error_;
};

/// Appends the decoded form of what stands between the quotes of a string that a JsonScanner has accepted.
void append_unescaped(std::string& out, std::string_view inside);

}  // namespace serverledge
