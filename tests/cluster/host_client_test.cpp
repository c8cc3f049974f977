// A program with an etcd client of its own that links the library: neither disturbs the other.
#include <catch2/catch.hpp>

#include "rpc.pb.h"
#include "serverledge/cluster/etcd_store.hpp"
#include "support/etcd_process.hpp"

namespace serverledge {

TEST_CASE("a host program's own etcdserverpb.RangeRequest and the library's live side by side", "[etcd]") {
  etcdserverpb::RangeRequest own;
  own.set_note("a note");
  own.add_more("more");
  (*own.mutable_labels())["key"] = "value";
  etcdserverpb::RangeRequest copy;
  REQUIRE(copy.ParseFromString(own.SerializeAsString()));
  CHECK(copy.labels().at("key") == "value");
  CHECK(copy.GetTypeName() == "etcdserverpb.RangeRequest");
  CHECK(google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            "etcdserverpb.RangeRequest") == etcdserverpb::RangeRequest::descriptor());

  const test::EtcdProcess etcd(test::wanted_etcd());
  const auto store = open_etcd_store({.endpoints = {etcd.address()}}, system_clock());
  REQUIRE(store);
  REQUIRE((*store)->put("a", "1"));
  CHECK((*store)->get("a").value()->value == "1");
  CHECK((*store)->list("").value().size() == 1);
}

}  // namespace serverledge
