#pragma once

#include <memory>

#include "serverledge/core/container_runtime.hpp"

namespace serverledge {

/// One runtime out of two: what `first` serves goes there, all else to `second`. Neither may be null.
std::unique_ptr<ContainerRuntime> make_routing_runtime(std::unique_ptr<ContainerRuntime> first,
                                                       std::unique_ptr<ContainerRuntime> second);

}  // namespace serverledge
