#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <utility>

#include "serverledge/cluster/embedded_store.hpp"

namespace serverledge::test {

/// An embedded store, in memory if not in a folder; fails the test if it cannot be opened.
inline std::unique_ptr<KeyValueStore> open_embedded(const std::string& path = ":memory:",
                                                    Clock& clock = system_clock()) {
  auto store = open_embedded_store(path, clock);
  if (!store) FAIL(store.error().message << " (" << store.error().detail << ")");
  return std::move(*store);
}

}  // namespace serverledge::test
