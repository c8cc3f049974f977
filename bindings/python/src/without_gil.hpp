#pragma once

#include <pybind11/pybind11.h>

namespace serverledge::python {

/// Runs what may wait, while other threads of Python go on.
template <typename Work>
auto without_gil(Work work) {
  const pybind11::gil_scoped_release released;
  return work();
}

}  // namespace serverledge::python
