#pragma once

#include <string>

#include "runtime/code_tree.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/core/result.hpp"

namespace serverledge {

/// The file that a single source file becomes: the module that the function's handler names. kInvalid if the
/// handler is not of its language's form, or the runtime does not run source files.
Result<std::string> module_file(const Function& function);

/// Whether the module of the function's handler is in the tree, as the worker will look for it. kInvalid
/// naming what was looked for and what is there. Runtimes whose handlers are not modules pass.
Result<void> check_module(const Function& function, const CodeTree& tree);

}  // namespace serverledge
