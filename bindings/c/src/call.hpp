#pragma once

#include "handles.hpp"

namespace serverledge::c {

/// The invocation of that function which a caller describes (null: all as by default). kNotFound, kInvalid.
Result<Invocation> invocation_of(serverledge_node& node, const char* function, const serverledge_call* given);

}  // namespace serverledge::c
