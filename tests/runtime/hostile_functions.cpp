#include "runtime/hostile_functions.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "serverledge/core/json.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kSecret = "sesame-of-the-node";

std::set<std::string> own_addresses() {
  std::set<std::string> found;
  ifaddrs* list = nullptr;
  REQUIRE(::getifaddrs(&list) == 0);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN];
    const auto* address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
    found.insert(::inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text)));
  }
  ::freeifaddrs(list);
  return found;
}

}  // namespace

std::string hostile_source(const char* name) {
  std::ifstream file(std::string(HOSTILE_FOLDER) + '/' + name);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

Surroundings::Surroundings()
    : tcp_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      abstract_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  ::setenv("SERVERLEDGE_SECRET", kSecret, 1);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  socklen_t size = sizeof(any);
  REQUIRE(::bind(tcp_.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0);
  REQUIRE(::listen(tcp_.get(), 16) == 0);
  REQUIRE(::getsockname(tcp_.get(), reinterpret_cast<sockaddr*>(&any), &size) == 0);
  port_ = ntohs(any.sin_port);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  abstract_name_ = "serverledge-test-" + std::to_string(::getpid());
  std::memcpy(name.sun_path + 1, abstract_name_.data(), abstract_name_.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + abstract_name_.size());
  REQUIRE(::bind(abstract_.get(), reinterpret_cast<sockaddr*>(&name), length) == 0);
  REQUIRE(::listen(abstract_.get(), 16) == 0);
}

std::string Surroundings::params(const std::string& attempt, const Node& node,
                                 const std::string& other) const {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("attempt").string(attempt).key("store").string(node.store);
  json.key("run").string(node.run_root).key("node").string(node.id);
  json.key("secret").string(kSecret).key("port").integer(port_).key("abstract").string(abstract_name_);
  json.key("other_code").string(other).key("tmp_bytes").integer(std::int64_t{64} << 20U);
  json.key("addresses").begin_array();
  for (const std::string& address : own_addresses()) json.string(address);
  json.end_array().end_object();
  return text;
}

std::vector<std::string> attempts_of(RuntimeUnderTest& under_test, const Function& function) {
  auto container = start(under_test, function);
  const Reply reply = call(*container, R"({"attempt": "list"})");
  REQUIRE_FALSE(reply.failure);
  const Result<JsonDocument> document = JsonDocument::parse(reply.result);
  REQUIRE(document);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < document->root().size(); ++i)
    names.emplace_back(*document->root().at(i).as_string());
  return names;
}

}  // namespace serverledge::test
