#include "serverledge/core/result.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <set>

#include "serverledge/core/invocation.hpp"
#include "serverledge/core/resources.hpp"

namespace serverledge {

TEST_CASE("a result holds a value or an error", "[result]") {
  Result<std::unique_ptr<int>> good = std::make_unique<int>(7);
  REQUIRE(good);
  CHECK(**good == 7);
  const std::unique_ptr<int> taken = *std::move(good);
  CHECK(*taken == 7);
  const Result<std::unique_ptr<int>> bad = Unexpected(ErrorCode::kNotFound, "no such thing", "for the log");
  CHECK_FALSE(bad);
  CHECK(bad.error() == Error{ErrorCode::kNotFound, "no such thing", "for the log"});
  CHECK_THROWS_AS(bad.value(), std::bad_variant_access);
  CHECK(Result<int>(Unexpected(ErrorCode::kInternal, "")).value_or(3) == 3);
  CHECK(Result<void>().has_value());
  CHECK_FALSE(Result<void>(Unexpected(ErrorCode::kDeadline, "late")).has_value());
}

TEST_CASE("every error code has a name of its own and an HTTP status", "[result]") {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    CHECK(names.insert(to_string(static_cast<ErrorCode>(code))).second);
    CHECK(http_status(static_cast<ErrorCode>(code)) >= 400);
  }
  CHECK(http_status(ErrorCode::kInvalid) == 400);
  CHECK(http_status(ErrorCode::kNoResources) == 429);
  CHECK(http_status(ErrorCode::kUnprocessable) == 422);
  CHECK(http_status(ErrorCode::kTooLarge) == 413);
}

TEST_CASE("every kind of failure has a name that reads back", "[result]") {
  for (int kind = 0; kind <= static_cast<int>(FailureKind::kOutput); ++kind) {
    CHECK(failure_kind(to_string(static_cast<FailureKind>(kind))) == static_cast<FailureKind>(kind));
  }
  CHECK_FALSE(failure_kind("other"));
}

TEST_CASE("resources are counted exactly", "[result]") {
  CHECK(to_millicores(0) == 0);
  CHECK(to_millicores(0.25) == 250);
  CHECK(to_millicores(0.0001) == 1);
  CHECK(to_millicores(1.0005) == 1001);
  const Resources room{100, 1000};
  CHECK(Resources{100, 1000}.fits(room));
  CHECK_FALSE(Resources{101, 0}.fits(room));
  CHECK_FALSE(Resources{0, 1001}.fits(room));
  CHECK((room - Resources{40, 400}) + Resources{40, 400} == room);
}

TEST_CASE("an invocation without params gives the function an empty object", "[result]") {
  Invocation invocation;
  CHECK(invocation.params() == "{}");
  CHECK(invocation.start_deadline() == TimePoint::max());
  invocation.body = R"({"Params":{"n":1}})";
  invocation.params_begin = 10;
  invocation.params_size = 7;
  const Invocation moved = std::move(invocation);
  CHECK(moved.params() == R"({"n":1})");
}

}  // namespace serverledge
