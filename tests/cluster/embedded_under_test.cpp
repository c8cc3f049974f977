#include <catch2/catch.hpp>

#include "cluster/store_under_test.hpp"
#include "serverledge/cluster/embedded_store.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

std::unique_ptr<KeyValueStore> open_store() {
  static const TemporaryFolder folder;
  static int count = 0;
  auto store = open_embedded_store(folder.file("store" + std::to_string(++count)), system_clock());
  if (!store) FAIL(store.error().message);
  return std::move(*store);
}

}  // namespace serverledge::test
