#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "serverledge/core/clock.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

struct TraceOptions {
  std::string file;
  /// Size at which the file is renamed to "<file>.1" (in the place of an older one) and begun anew.
  std::uint64_t file_max = std::uint64_t{100} << 20U;
  std::string node;           ///< "(area)key", in every line
  std::size_t buffer = 8192;  ///< spans that may wait to be written; more are dropped and counted
  Duration flush_interval = std::chrono::seconds(1);
};

/// Writes the way of every invocation as spans: "invocation" and below it "arrive", "decide", "wait",
/// "start", "execute", "offload", as lines of OTLP-JSON; docs/observability.md has their form. It continues
/// the caller's trace, begins one if there is none, and records nothing of a trace that the caller does not.
/// A request never waits for the file: a thread of the tracer writes it. Thread-safe.
class Tracer : public Observer {
 public:
  struct Spans {
    std::uint64_t written = 0;
    std::uint64_t dropped = 0;  ///< the buffer was full, or the file could not be written
  };
  virtual Spans spans() const = 0;
};

/// Opens the file (readable by its owner alone), which is appended to if it is there; kInvalid if that is not
/// possible. `log` is told of failing writes. The clock must outlive the tracer.
Result<std::shared_ptr<Tracer>> open_tracer(TraceOptions options, std::shared_ptr<Observer> log,
                                            Clock& clock);

}  // namespace serverledge
