#pragma once

#include <memory>

#include "serverledge/core/key_value_store.hpp"

namespace serverledge::test {

/// An empty store of the kind that the test is compiled for.
std::unique_ptr<KeyValueStore> open_store();

}  // namespace serverledge::test
