#pragma once

#include <string>

#include "runtime/docker/image_store.hpp"
#include "serverledge/core/function.hpp"
#include "serverledge/runtime/docker_runtime.hpp"

namespace serverledge {

/// How the code of a function gets to /app.
enum class CodePlace {
  kNone,    ///< the image has it
  kBind,    ///< a read-only bind of a folder of this machine
  kVolume,  ///< an anonymous volume, to be filled before the start
};

/// What a container of one function is made of.
struct ContainerSpec {
  const Function& function;
  const Image& image;
  const std::string& reference;  ///< of the image
  const std::string& network;
  const Engine& engine;
  CodePlace code = CodePlace::kNone;
  std::string folder;  ///< kBind: to bind
};

/// The body of the API's "create a container": an unprivileged user, no capabilities, no way to gain rights,
/// a read-only root with a bounded /tmp, bounded memory, cores and processes, as far as the options say so.
std::string create_body(const ContainerSpec& spec);

/// Whether the function's code has to be writable for its container: Go's is a zip that is unpacked there.
bool needs_writable_code(const Function& function);

}  // namespace serverledge
