#include "serverledge/core/request_id.hpp"

#include <catch2/catch.hpp>

namespace serverledge {

TEST_CASE("the id of an asynchronous call tells the node that accepted it, as the contract has it",
          "[core]") {
  CHECK(request_tag("ROME", "node-one") == "e-one");
  CHECK(may_be_from("func-e-one313873881", request_tag("ROME", "node-one")));  // of the Go implementation
  CHECK(may_be_from("a-b-c-e-one0123456789abcdef", "e-one"));
  CHECK_FALSE(may_be_from("func-e-two313873881", "e-one"));
  CHECK_FALSE(may_be_from("func-e-one", "e-one"));
  CHECK_FALSE(may_be_from("e-one313873881", "e-one"));
  CHECK_FALSE(may_be_from("", "e-one"));
}

TEST_CASE("a request id needs no escaping in a URL, whatever the node is called", "[core]") {
  CHECK(request_tag("ROME", "a") == "OMEa");  // of "OME)a"
  CHECK(request_tag("ROME", "a?b#c") == "abc");
  CHECK(request_tag("", "") == "");
  CHECK(request_tag("R", "%%%%%%") == "");
  CHECK_FALSE(may_be_from("func-0123", ""));
}

}  // namespace serverledge
