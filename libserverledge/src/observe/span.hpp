#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace serverledge {

/// One span, as it waits to be written.
struct Span {
  enum class Kind { kInternal = 1, kServer = 2, kClient = 3 };  // of OTLP
  std::array<std::uint64_t, 2> trace{};
  std::uint64_t id = 0;
  std::uint64_t parent = 0;  ///< 0: none
  const char* name = "";
  Kind kind = Kind::kInternal;
  std::int64_t begin = 0;  ///< unix time, nanoseconds
  std::int64_t end = 0;
  std::string function;
  std::string request;
  std::string peer;         ///< of an offload; may be empty
  std::string trace_state;  ///< may be empty
  std::string error;        ///< empty: it went well
  bool cold = false;        ///< of an invocation: a container was started for it
};

/// Appends one line (ExportTraceServiceRequest as JSON) with its newline.
void append_otlp_line(std::string& out, std::string_view node, std::span<const Span> spans);

}  // namespace serverledge
