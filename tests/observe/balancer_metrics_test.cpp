#include "serverledge/observe/balancer_metrics.hpp"

#include <catch2/catch.hpp>

namespace serverledge {
namespace {

using Catch::Contains;

TEST_CASE("What a balancer did is counted, and what it has is told", "[metrics]") {
  BalancerMetrics metrics;
  metrics.answered("invoke", "answered", 200, std::chrono::milliseconds(3));
  metrics.answered("invoke", "answered", 204, std::chrono::milliseconds(30));
  metrics.answered("invoke", "unknown", 502, std::chrono::seconds(1));
  metrics.answered("poll", "answered", 999, Duration::zero());
  metrics.retried("refused");
  metrics.retried("refused");
  BalancerSample sample;
  sample.targets = {{"one", true, 3}, {"two", false, 0}};
  sample.store_up = false;
  sample.connections = 7;
  const std::string text = metrics.text(sample);
  for (const char* line :
       {R"(serverledge_lb_requests_total{outcome="answered",route="invoke",status="2xx"} 2)",
        R"(serverledge_lb_requests_total{outcome="unknown",route="invoke",status="5xx"} 1)",
        R"(serverledge_lb_requests_total{outcome="answered",route="poll",status="other"} 1)",
        R"(serverledge_lb_retries_total{reason="refused"} 2)",
        R"(serverledge_lb_request_time_seconds_bucket{route="invoke",le="0.005"} 1)",
        R"(serverledge_lb_request_time_seconds_bucket{route="invoke",le="0.05"} 2)",
        R"(serverledge_lb_request_time_seconds_count{route="invoke"} 3)",
        R"(serverledge_lb_targets{kind="known"} 2)", R"(serverledge_lb_targets{kind="up"} 1)",
        R"(serverledge_lb_target_up{target="one"} 1)", R"(serverledge_lb_target_up{target="two"} 0)",
        R"(serverledge_lb_target_calls{target="one"} 3)", "serverledge_store_up 0",
        "serverledge_http_connections 7"}) {
    CHECK_THAT(text, Contains(std::string(line) + "\n"));
  }
  CHECK_THAT(text, Contains("\nprocess_cpu_seconds_total "));
}

TEST_CASE("However many targets there are, 50 have series of their own", "[metrics]") {
  BalancerMetrics metrics;
  BalancerSample sample;
  for (int i = 0; i < 1000; ++i) sample.targets.push_back({"node" + std::to_string(i), true, 2});
  const std::string text = metrics.text(sample);
  CHECK_THAT(text, Contains(R"(serverledge_lb_target_calls{target="node49"} 2)"));
  CHECK_THAT(text, !Contains("node50"));
  CHECK_THAT(text, Contains("serverledge_lb_target_calls{target=\"_other\"} 1900\n"));
  CHECK_THAT(text, Contains(R"(serverledge_lb_targets{kind="up"} 1000)"));
}

}  // namespace
}  // namespace serverledge
