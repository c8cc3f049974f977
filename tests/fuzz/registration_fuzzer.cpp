// Whatever stands in the registry is taken or refused without harm; what is taken can be written again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "require.hpp"
#include "serverledge/cluster/stored_directory.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace serverledge;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t middle = text.find('=');
  if (middle == std::string_view::npos) return 0;
  const auto read = read_registration("ROME", text.substr(0, middle), text.substr(middle + 1));
  if (!read) return 0;
  const Peer& peer = read->registration.peer;
  REQUIRE(peer.port > 0 && peer.port < 65536 && read->registration.udp_port > 0);
  REQUIRE(is_registry_name(peer.key));
  const auto again =
      read_registration("ROME", registration_key("ROME", peer.arch, peer.key, read->balancer),
                        registration_value(peer.host, peer.port, read->registration.udp_port, peer.arch));
  REQUIRE(again.has_value());
  REQUIRE(again->registration == read->registration && again->balancer == read->balancer);
  return 0;
}
