#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// Where the bytes of a function's code come from. Thread-safe.
class CodeSource {
 public:
  virtual ~CodeSource() = default;
  /// The code as it was sent (tar, tar.gz or a single file). May ask the store: kUnavailable when that is
  /// away.
  virtual Result<std::string> code(const Function& function) = 0;
};

/// The functions of this node, or of the whole cluster. Thread-safe. `find` of a known name touches neither
/// disk nor network.
class FunctionRegistry : public CodeSource {
 public:
  /// The record of that name; kNotFound, or kUnavailable if it is unknown here and the store cannot be asked.
  virtual Result<FunctionPtr> find(std::string_view name) = 0;
  /// Stores a new function with its code and returns it with its revision; kExists if the name is taken: of
  /// many concurrent creates exactly one succeeds. Durable when it returns.
  virtual Result<FunctionPtr> create(Function function, std::string_view code) = 0;
  /// Stores the function, whether or not it was there.
  virtual Result<FunctionPtr> update(Function function, std::string_view code) = 0;
  /// Removes the function; kNotFound if there is none.
  virtual Result<void> remove(std::string_view name) = 0;
  /// Every record, ordered by name.
  virtual std::vector<FunctionPtr> list() = 0;

  /// Told of every function there is, before `on_change` returns, and then of every change, in order: the new
  /// record, or null and the name when it was removed. A new record is told before `find` gives it. Do not
  /// block in it, and change nothing in the registry. An empty listener ends it: the one before is not called
  /// any more when `on_change` returns.
  using Listener = std::function<void(const std::string& name, const FunctionPtr& current)>;
  virtual void on_change(Listener listener) = 0;
};

}  // namespace serverledge
