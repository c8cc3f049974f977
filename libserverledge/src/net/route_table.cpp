#include "net/route_table.hpp"

#include <algorithm>

#include "net/percent.hpp"

namespace serverledge {

namespace {

bool is_parameter(std::string_view segment) { return !segment.empty() && segment.front() == ':'; }

// Calls `each` with every segment of "/a/b"; a trailing slash gives an empty one.
template <typename Each>
void for_each_segment(std::string_view path, Each each) {
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (!each(path.substr(0, end)) || end == path.size()) return;
    path.remove_prefix(end + 1);
  }
}

bool equals_decoded(std::string_view raw, std::string_view segment) {
  if (raw.find('%') == std::string_view::npos) return raw == segment;
  return percent_decoded(raw, PlusIs::kItself) == segment;
}

// Whether the path cannot match because it begins otherwise: tells most routes from one another by a byte.
bool begins_otherwise(const Route& route, std::string_view path) {
  const std::string& segment = route.segments.front();
  return path.size() > 1 && path[0] == '/' && path[1] != '%' && !segment.empty() && segment[0] != ':' &&
         segment[0] != path[1];
}

bool matches(const Route& route, std::string_view path) {
  if (begins_otherwise(route, path)) return false;
  std::size_t at = 0;
  bool fits = true;
  for_each_segment(path, [&](std::string_view raw) {
    fits = at < route.segments.size() &&
           (is_parameter(route.segments[at]) ? !raw.empty() : equals_decoded(raw, route.segments[at]));
    ++at;
    return fits;
  });
  return fits && at == route.segments.size();
}

std::size_t parameters_of(const Route& route) {
  return static_cast<std::size_t>(std::count_if(route.segments.begin(), route.segments.end(), is_parameter));
}

}  // namespace

void RouteTable::add(std::string method, std::string_view pattern, HttpServer::Handler handler,
                     HttpRouteOptions options) {
  Route route{std::move(method), {}, std::move(handler), options};
  for_each_segment(pattern, [&](std::string_view segment) {
    route.segments.emplace_back(segment);
    return true;
  });
  const auto place =
      std::upper_bound(routes_.begin(), routes_.end(), route,
                       [](const Route& a, const Route& b) { return parameters_of(a) < parameters_of(b); });
  routes_.insert(place, std::move(route));
}

RouteTable::Match RouteTable::find(std::string_view method, std::string_view path) const {
  Match match;
  for (const auto& route : routes_) {
    if (!matches(route, path)) continue;
    if (route.method != method) {
      if (match.allowed.find(route.method) == std::string::npos) {
        match.allowed += (match.allowed.empty() ? "" : ", ") + route.method;
      }
      continue;
    }
    match.route = &route;
    std::size_t at = 0;
    for_each_segment(path, [&](std::string_view raw) {
      const std::string& segment = route.segments[at++];
      if (is_parameter(segment)) {
        match.parameters.emplace_back(segment.substr(1), percent_decoded(raw, PlusIs::kItself));
      }
      return true;
    });
    break;
  }
  return match;
}

}  // namespace serverledge
