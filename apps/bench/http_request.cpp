#include "http_request.hpp"

#include <fmt/format.h>

namespace serverledge::bench {

std::string http_request(std::string_view host, int port, std::string_view method, std::string_view path,
                         std::string_view body) {
  std::string bytes = fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\n", method, path, host, port);
  if (!body.empty())
    bytes += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  bytes += "\r\n";
  bytes += body;
  return bytes;
}

std::string invocation_body(std::string_view params) {
  return fmt::format(
      R"({{"Params":{},"QoSClass":0,"QoSMaxRespT":-1,"CanDoOffloading":true,"Async":false,"ReturnOutput":false}})",
      params);
}

}  // namespace serverledge::bench
