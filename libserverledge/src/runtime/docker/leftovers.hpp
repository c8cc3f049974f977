#pragma once

#include "runtime/docker/engine.hpp"
#include "serverledge/runtime/node_lock.hpp"

namespace serverledge {

/// Removes from the engine the containers and networks of earlier lives of this node, and of nodes of this
/// machine that are dead. To be called before the first container is made.
Result<void> remove_leftovers(Engine& engine, const NodeLock& lock, TimePoint deadline);

/// Removes all containers of this node, also after the engine's client was cancelled.
void remove_own_containers(Engine& engine, Duration patience) noexcept;

}  // namespace serverledge
