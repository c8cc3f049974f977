// Connections of a real node that bring nothing, or end too early.
#include <poll.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/raw_peer.hpp"
#include "support/answers.hpp"
#include "support/call_gate.hpp"
#include "support/node_process.hpp"

namespace serverledge::test {
namespace {

std::string invocation(const std::string& function, const std::string& body) {
  return "POST /invoke/" + function +
         " HTTP/1.1\r\nHost: node\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

bool has_answer(const RawPeer& peer) {
  pollfd state{peer.fd(), POLLIN, 0};
  return ::poll(&state, 1, 0) == 1;
}

TEST_CASE("500 idle and half-sent connections starve nobody: the next client is served at once",
          "[integration]") {
  // Far fewer threads than connections.
  const NodeProcess node({{{"api.concurrency", "4"}}, {}});
  node.create_python("f", "def handler(params, context):\n    return params['n']\n");
  REQUIRE(node.post("/invoke/f", R"({"Params":{"n":0}})").status == 200);
  const std::string whole = invocation("f", R"({"Params":{"n":1}})");
  constexpr std::size_t kEach = 125;
  std::vector<RawPeer> idle;
  std::vector<RawPeer> half_heads;
  std::vector<RawPeer> half_bodies;
  std::vector<RawPeer> used;
  for (std::size_t n = 0; n < kEach; ++n) {
    idle.emplace_back(node.port());
    half_heads.emplace_back(node.port());
    REQUIRE(half_heads.back().send(whole.substr(0, 1 + n % 30)));
    half_bodies.emplace_back(node.port());
    REQUIRE(half_bodies.back().send(whole.substr(0, whole.size() - 3)));
    used.emplace_back(node.port());
    REQUIRE(status_of(used.back().ask("GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")) == 200);
  }
  for (int call = 0; call < 20; ++call) {
    RawPeer next(node.port());
    const std::string answer = next.ask(whole);
    INFO(answer);
    CHECK(status_of(answer) == 200);
  }
  // They were not thrown out for that: each is served too as soon as it says what it wants.
  CHECK(status_of(idle.front().ask(whole)) == 200);
  CHECK(status_of(used.front().ask(whole)) == 200);
  CHECK(status_of(half_bodies.front().ask(whole.substr(whole.size() - 3))) == 200);
  CHECK(status_of(half_bodies.back().ask(whole.substr(whole.size() - 3))) == 200);
}

/// Whether a call that would wait is refused because the one place in the queue is taken.
bool place_is_taken(const NodeProcess& node) {
  return contains(text_member(node.post("/invoke/f", R"({"QoSMaxRespT":0.005})"), "Error"), "full");
}

TEST_CASE("row 23: a caller who hangs up while waiting leaves the queue and is not run", "[integration]") {
  CallGate gate;
  const NodeProcess node({{{"sandbox.network", "host"},
                           {"sandbox.stock.nodejs", "0"},
                           {"sandbox.stock.python", "0"},
                           {"container.pool.memory", "128"},
                           {"scheduler.queue.capacity", "1"}},
                          {}});
  node.create_python("f", gate.waiting_handler());
  Caller first(node, "f", R"({"Params":{"name":"first"}})");
  REQUIRE(gate.wait_for_arrivals(1));

  const std::string body = R"({"Params":{"name":"gone"}})";
  RawPeer gone(node.port());
  REQUIRE(gone.send(invocation("f", body)));
  // The probe may hold the place for a moment itself: then the caller is refused, and comes again.
  REQUIRE(eventually([&] {
    if (has_answer(gone)) {
      REQUIRE(status_of(gone.answer()) == 429);
      REQUIRE(gone.send(invocation("f", body)));
    }
    return place_is_taken(node);
  }));
  REQUIRE_FALSE(has_answer(gone));
  gone.hang_up();
  CHECK(eventually([&] { return !place_is_taken(node); }));

  gate.open();
  CHECK(first.answer().status == 200);
  CHECK(node.post("/invoke/f", R"({"Params":{"name":"last"}})").status == 200);
  CHECK(gate.arrived() == std::vector<std::string>{"first", "last"});
}

}  // namespace
}  // namespace serverledge::test
