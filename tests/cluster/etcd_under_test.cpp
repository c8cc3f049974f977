#include <catch2/catch.hpp>

#include "cluster/store_under_test.hpp"
#include "serverledge/cluster/etcd_store.hpp"
#include "support/etcd_process.hpp"

namespace serverledge::test {

std::unique_ptr<KeyValueStore> open_store() {
  static EtcdProcess etcd(wanted_etcd());
  // Empty, but for what a store keeps of its own.
  etcd.ctl({"del", "", "--from-key"});
  auto store = open_etcd_store({.endpoints = {etcd.address()}}, system_clock());
  if (!store) FAIL(store.error().message);
  return std::move(*store);
}

}  // namespace serverledge::test
