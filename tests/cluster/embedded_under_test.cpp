#include "cluster/open_embedded.hpp"
#include "cluster/store_under_test.hpp"
#include "support/temporary_folder.hpp"

namespace serverledge::test {

std::unique_ptr<KeyValueStore> open_store() {
  static const TemporaryFolder folder;
  static int count = 0;
  return open_embedded(folder.file("store" + std::to_string(++count)));
}

}  // namespace serverledge::test
