// Requests are made of any bytes without harm, and are the same however the bytes are cut into pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "net/request_reader.hpp"
#include "net/route_table.hpp"
#include "require.hpp"

namespace {

using serverledge::BodyBudget;
using serverledge::RequestReader;
using State = RequestReader::State;

constexpr std::size_t kBodyMax = 300;
constexpr std::size_t kBudget = 100'000;

// What was made of the bytes, as text.
std::string read_in_pieces(std::string_view bytes, std::size_t piece) {
  const RequestReader::Limits limits{1000, 100};
  BodyBudget budget(kBudget);
  std::string read;
  {
    RequestReader reader(limits, budget);
    while (true) {
      const State state = reader.advance();
      if (state == State::kHeadWhole) {
        reader.admit(kBodyMax);
      } else if (state == State::kWhole) {
        auto& request = reader.request();
        REQUIRE(request.body.size() <= kBodyMax && request.path.size() <= limits.path_max);
        read += request.method + " " + request.path + "?" + request.query + "\n";
        for (const auto& [name, value] : request.headers) {
          REQUIRE(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
          read += name + ":" + value + "\n";
        }
        read += request.body + (reader.keep_alive() ? "\nkept\n" : "\nclosed\n");
        reader.next();
      } else if (state == State::kRefused) {
        read += "refused " + std::to_string(reader.refusal().status) + " " + reader.refusal().message;
        break;
      } else if (bytes.empty()) {
        break;
      } else {
        const auto space = reader.space();
        REQUIRE(!space.empty());
        const std::size_t size = std::min({piece, space.size(), bytes.size()});
        std::memcpy(space.data(), bytes.data(), size);
        bytes.remove_prefix(size);
        reader.filled(size);
      }
    }
  }
  REQUIRE(budget.left() == static_cast<std::ptrdiff_t>(kBudget));
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read_in_pieces(bytes, std::max<std::size_t>(1, bytes.size()));
  REQUIRE(read_in_pieces(bytes, 1 + data[0] % 16) == whole);

  serverledge::RouteTable routes;
  routes.add("GET", "/a/:b", {}, {});
  const auto match = routes.find("GET", bytes);
  REQUIRE(match.route == nullptr || match.parameters.size() == 1);
  return 0;
}
