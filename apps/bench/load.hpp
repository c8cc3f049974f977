#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "connection.hpp"
#include "histogram.hpp"
#include "serverledge/core/clock.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge::bench {

/// A closed loop: each connection sends the request, waits for the answer, and sends it again.
struct Load {
  std::string host = "127.0.0.1";
  int port = 1323;
  std::string request;  ///< the bytes of the whole request
  int connections = 1;
  int threads = 1;     ///< that serve them, when they are too many for a thread each
  Duration warmup{0};  ///< load before anything counts
  Duration duration =
      std::chrono::seconds(10);  ///< no request starts after that; ignored if `requests` is set
  std::uint64_t requests = 0;    ///< how many to send, after the warm-up; 0: as many as fit
  Duration timeout = std::chrono::seconds(60);  ///< of one answer
};

/// What came of the requests that were started after the warm-up.
struct Outcome {
  Histogram latency;  ///< of the answers with a 2xx status: start of request to end of answer
  std::map<int, std::uint64_t> statuses;        ///< answers by status
  std::map<std::string, std::uint64_t> errors;  ///< requests without an answer, by reason
  std::uint64_t warm = 0;   ///< successes whose answer says that no container was started for them
  std::uint64_t cold = 0;   ///< and that one was
  std::uint64_t bytes = 0;  ///< of the answers' bodies
  Duration elapsed{0};      ///< first start to last end

  std::uint64_t successes() const { return latency.count(); }
  std::uint64_t failures() const;
};

/// Runs the load on threads of its own and returns when every request has ended. kUnavailable if the host has
/// no address.
Result<Outcome> run(const Load& load);

}  // namespace serverledge::bench
