#include <catch2/catch.hpp>
#include <string>

#include "api/served_node.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kJson = "application/json; charset=UTF-8";
constexpr const char* kText = "text/plain; charset=UTF-8";

/// Status, content type and body of an answer, to compare at once.
struct Seen {
  int status;
  std::string type;
  std::string body;
  bool operator==(const Seen&) const = default;
  Seen(int status_seen, std::string type_seen, std::string body_seen)
      : status(status_seen), type(std::move(type_seen)), body(std::move(body_seen)) {}
  Seen(const HttpResponse& answer) : Seen(answer.status, answer.content_type, answer.body) {}  // NOLINT
  friend std::ostream& operator<<(std::ostream& out, const Seen& seen) {
    return out << seen.status << ' ' << seen.type << ' ' << seen.body;
  }
};

Seen error(int status, const std::string& message) {
  std::string body = "{\"Error\":";
  append_json_string(body, message);
  return {status, kJson, body + "}\n"};
}

}  // namespace

TEST_CASE_METHOD(ServedNode, "functions are created once, listed, replaced and deleted", "[api]") {
  CHECK(Seen(get("/function")) == Seen(200, kJson, "[]\n"));
  CHECK(Seen(post("/create", function("g"))) == Seen(200, kJson, "{\"Created\":\"g\"}\n"));
  CHECK(Seen(post("/create", function("f", R"("MaxConcurrency":2)"))) ==
        Seen(200, kJson, "{\"Created\":\"f\"}\n"));
  CHECK(Seen(post("/create", function("f"))) == Seen(409, "", ""));
  CHECK(Seen(get("/function")) == Seen(200, kJson, "[\"f\",\"g\"]\n"));
  CHECK(Seen(get("/functions")) == Seen(200, kJson, "[\"f\",\"g\"]\n"));

  CHECK(Seen(post("/update", function("f", R"("MemoryMB":256)"))) ==
        Seen(200, kJson, "{\"Created\":\"f\"}\n"));
  CHECK(registry->find("f").value()->memory_mb == 256);
  CHECK(Seen(post("/update", function("new"))) == Seen(200, kJson, "{\"Created\":\"new\"}\n"));

  // What the command line sends to delete.
  const std::string body =
      R"({"Name":"f","Runtime":"","MemoryMB":0,"CPUDemand":0,"MaxConcurrency":0,"Handler":"","TarFunctionCode":"","CustomImage":"","SupportedArchs":null,"Signature":null})";
  CHECK(Seen(post("/delete", body)) == Seen(200, kJson, "{\"Deleted\":\"f\"}\n"));
  CHECK(Seen(post("/delete", body)) == Seen(404, kText, "Unknown function"));
  CHECK(Seen(get("/function")) == Seen(200, kJson, "[\"g\",\"new\"]\n"));
}

TEST_CASE_METHOD(ServedNode, "the details of functions are their records without code", "[api]") {
  create("f", R"("Signature":{"Inputs":[{"Name":"n","Type":"Int"}]})");
  const HttpResponse answer = get("/functions?details=true");
  const Result<JsonDocument> document = JsonDocument::parse(answer.body);
  REQUIRE(document);
  REQUIRE(document->root().size() == 1);
  const JsonValue record = document->root().at(0);
  CHECK(record.find("Name")->as_string() == "f");
  CHECK(record.find("TarFunctionCode")->as_string() == "");
  CHECK(record.find("SupportedArchs")->raw() == R"(["amd64","arm64"])");
  CHECK(record.find("Signature")->find("Inputs")->raw() == R"([{"Name":"n","Type":"Int"}])");
  CHECK(get("/functions?details=false").body == "[\"f\"]\n");
}

TEST_CASE_METHOD(ServedNode, "what is refused is not stored, and the answer says why", "[api]") {
  CHECK(Seen(post("/create", "{\"Name\":")).status == 400);
  CHECK(Seen(post("/create", function("f", R"("MaxConcurrency":"2")"))) ==
        error(400, "MaxConcurrency: expected an integer, got a string"));
  CHECK(Seen(post("/update", function("f", R"("TimeoutSec":0)"))) ==
        error(400, "TimeoutSec: expected more than 0 seconds"));
  CHECK(Seen(post("/create", function("f", "\"TarFunctionCode\":\"" + base64_encode("garbage") + "\""))) ==
        error(400, "Handler: no module for f.handler"));
  const HttpResponse memory = post("/create", function("f", R"("MemoryMB":0)"));
  CHECK(memory.status == 422);
  CHECK(memory.content_type == kText);
  CHECK_THAT(memory.body, Catch::StartsWith("Invalid memory limit"));
  const HttpResponse served = post("/create", function("f", R"("Runtime":"cobol")"));
  CHECK(served.status == 404);
  CHECK(served.content_type == kText);
  CHECK_THAT(served.body, Catch::StartsWith("Invalid runtime."));
  CHECK(Seen(post("/delete", R"({"Name":1})")) == error(400, "Name: expected a string, got a number"));
  CHECK(get("/function").body == "[]\n");
}

TEST_CASE_METHOD(ServedNode, "prewarm says how many containers it has started", "[api]") {
  create("f", R"("MemoryMB":400)");
  CHECK(Seen(post("/prewarm", R"({"Function":"f","Instances":0,"ForceImagePull":false})")) ==
        Seen(200, kJson, "{\"Prewarmed\":0}\n"));
  CHECK(runtime.prepared == 1);
  CHECK(runtime.created == 0);
  CHECK(Seen(post("/prewarm", R"({"Function":"f","Instances":1,"ForceImagePull":false})")) ==
        Seen(200, kJson, "{\"Prewarmed\":1}\n"));
  CHECK(Seen(post("/prewarm", R"({"Function":"f","Instances":5})")) ==
        Seen(200, kJson, "{\"Prewarmed\":1}\n"));
  CHECK(runtime.living == 2);
  CHECK(Seen(post("/prewarm", R"({"Function":"unknown","Instances":1})")) ==
        Seen(404, kText, "Function unknown"));
  CHECK(Seen(post("/prewarm", "")) == Seen(404, kText, "Function unknown"));
  CHECK(Seen(post("/prewarm", R"({"Function":"f","Instances":-1})")).status == 400);
}

TEST_CASE_METHOD(ServedNode, "the status lists every function, resources and the age of the news", "[api]") {
  create("b");
  create("a", R"("MemoryMB":300)");
  post("/prewarm", R"({"Function":"a","Instances":1})");
  const HttpResponse answer = get("/status");
  CHECK(answer.status == 200);
  CHECK(answer.content_type == kJson);
  const std::string fixed =
      R"({"AvailableWarmContainers":{"a":1,"b":0},"TotalMemory":1024,"AvailableMemory":1024,"FreeMemory":724,)"
      R"("TotalCPU":4,"UsedCPU":0,"Coordinates":{"Vec":[0,0,0],"Error":1.5,"Height":0.00001},"LoadAvg":[)";
  CHECK_THAT(answer.body, Catch::StartsWith(fixed) && Catch::EndsWith("}\n"));
  const JsonDocument document = JsonDocument::parse(answer.body).value();
  CHECK(document.root().find("LoadAvg")->size() == 3);
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall().time_since_epoch()).count();
  const std::int64_t then = document.root().find("LastUpdateTime")->as_int().value();
  CHECK((then > now - 60 && then <= now));
}

TEST_CASE_METHOD(ServedNode, "readiness follows the node, health the process", "[api]") {
  CHECK(Seen(get("/healthz")) == Seen(200, kText, "ok"));
  CHECK(Seen(get("/readyz")) == Seen(503, kText, "starting"));
  api->set_ready(true);
  CHECK(Seen(get("/readyz")) == Seen(200, kText, "ready"));
  node->stop(Duration::zero());
  CHECK(Seen(get("/readyz")) == Seen(503, kText, "draining"));
  CHECK(Seen(get("/healthz")) == Seen(200, kText, "ok"));
}

TEST_CASE_METHOD(ServedNode, "unknown routes and wrong methods are told apart", "[api]") {
  create("f");
  CHECK(get("/status/").status == 404);
  CHECK(get("/unknown").status == 404);
  CHECK(get("/invoke/f").status == 405);
  CHECK(post("/function", "").status == 405);
  HttpRequest head;
  head.method = "HEAD";
  head.path = "/status";
  CHECK(request(std::move(head)).status == 405);
}

TEST_CASE("a body over its limit is too large, code has a limit of its own", "[api]") {
  ServedNode node({.body_max = 1000});
  const std::string padding = "\"Padding\":\"" + std::string(2000, 'x') + "\"";
  CHECK(node.post("/create", ServedNode::function("f", padding)).status == 200);
  CHECK(node.post("/invoke/f", "{" + padding + "}").status == 413);
  CHECK(node.post("/prewarm", "{" + padding + "}").status == 413);
}

}  // namespace serverledge::test
