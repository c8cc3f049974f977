#pragma once

#include <pybind11/pybind11.h>

namespace serverledge::python {

/// Adds to the module what a policy in Python is made with: the bridge, what it sees, and what it may choose.
void define_policy_types(pybind11::module_& module);

}  // namespace serverledge::python
