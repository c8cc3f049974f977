#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serverledge/core/key_value_store.hpp"

namespace serverledge::test {

/// An empty store of the kind that the test is compiled for.
std::unique_ptr<KeyValueStore> open_store();

/// The value of a key; none if there is no such entry.
inline std::optional<std::string> value_of(KeyValueStore& store, std::string_view key) {
  const auto entry = store.get(key);
  REQUIRE(entry);
  return *entry ? std::optional((*entry)->value) : std::nullopt;
}

}  // namespace serverledge::test
