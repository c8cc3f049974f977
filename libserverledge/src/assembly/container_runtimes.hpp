#pragma once

#include <memory>
#include <string>

#include "serverledge/core/configuration.hpp"
#include "serverledge/core/container_runtime.hpp"
#include "serverledge/core/function_registry.hpp"
#include "serverledge/core/observer.hpp"
#include "serverledge/net/address_ranges.hpp"
#include "serverledge/runtime/node_lock.hpp"

namespace serverledge {

/// What the containers of a node are made on. All must outlive them.
struct RuntimeSurroundings {
  std::string code_folder;  ///< where the archive keeps its folders
  const NodeLock& lock;
  CodeArchive& archive;
  CodeSource& code;
  Observer& observer;
  Clock& clock;
  AddressRanges& container_networks;  ///< learns from where containers speak
};

/// The runtime that `container.runtime` asks for. `auto`: sandboxes where the machine can make them, and a
/// container engine for all else, where there is one. Errors say what the node cannot do without.
Result<std::unique_ptr<ContainerRuntime>> make_container_runtime(const Configuration& configuration,
                                                                 const RuntimeSurroundings& around);

}  // namespace serverledge
