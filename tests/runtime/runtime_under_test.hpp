#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serverledge/core/container_runtime.hpp"
#include "support/source_code.hpp"

namespace serverledge::test {

/// A runtime with functions to run in it. The conformance tests run over whichever one their program is
/// linked with.
class RuntimeUnderTest {
 public:
  virtual ~RuntimeUnderTest() = default;
  virtual ContainerRuntime& runtime() = 0;
  /// A function of 128 MB made of one source file. The handler is "main.handler" (Python), or the module
  /// "main".
  Function python(const std::string& source);
  Function nodejs(const std::string& source);
  /// Whether the runtime can bound what an instance takes of that.
  virtual bool bounds_memory() const = 0;
  /// Whether a function that stops itself (SIGSTOP) is noticed before its call's time is over.
  virtual bool sees_stops() const = 0;

 protected:
  virtual CodeArchive& archive() = 0;
  /// A function of 128 MB.
  Function add(const char* runtime, const char* handler, const std::string& code);
  SourceCode codes_;
};

/// Python code: `sockets()` gives the descriptors of the worker's connections, found as hostile code would,
/// `frame(kind, call, body)` bytes of a frame, `tell(data)` writes to all connections.
extern const char* const kSocketCode;
/// Python expressions for bytes that are no answer on a channel of frames.
std::vector<std::string> frame_garbage();
/// A Python expression for the bytes of an answer 666 to the call number `call`.
inline constexpr const char* kForgedAnswer = "frame(3, call, struct.pack('<I', 0) + b'666')";

/// Starts it; ends the test as skipped if this machine cannot run it at all.
std::unique_ptr<RuntimeUnderTest> make_runtime_under_test();

/// A call with a deadline that is far away, or so many seconds.
Reply call(Container& container, std::string_view params = "{}", double seconds = 120, bool output = false,
           int slot = 0);
/// The container of a function that must start.
std::unique_ptr<Container> start(RuntimeUnderTest& under_test, const Function& function);

}  // namespace serverledge::test
