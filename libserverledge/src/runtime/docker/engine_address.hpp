#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/web_stream.hpp"
#include "serverledge/core/result.hpp"
#include "serverledge/net/http_client.hpp"

namespace serverledge {

/// Where an engine's API is, and how it is spoken to.
struct EngineAddress {
  HttpTarget target;
  std::optional<TlsIdentity> tls = {};  ///< by TLS
};

/// The address in a text as in DOCKER_HOST: "unix:///var/run/docker.sock", "tcp://host:2375". With a folder
/// of ca.pem, cert.pem and key.pem what is reached by TCP is so by TLS; "https://host:2376" needs one.
/// kInvalid for others, SSH among them.
Result<EngineAddress> engine_address(std::string_view text, const std::string& tls_folder = {});

}  // namespace serverledge
