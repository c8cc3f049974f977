#pragma once

#include <memory>
#include <vector>

#include "serverledge/core/observer.hpp"

namespace serverledge {

/// One observer that tells all of them, in this order; the only one itself if there is one. Thread-safe if
/// they are.
std::shared_ptr<Observer> combine(std::vector<std::shared_ptr<Observer>> observers);

}  // namespace serverledge
