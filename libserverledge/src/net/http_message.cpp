#include "serverledge/net/http_message.hpp"

#include <strings.h>

#include <algorithm>

#include "net/percent.hpp"

namespace serverledge {

namespace {

bool same_name(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

const std::string* HttpHeaders::find(std::string_view name) const noexcept {
  for (const auto& field : fields_) {
    if (same_name(field.name, name)) return &field.value;
  }
  return nullptr;
}

void HttpHeaders::add(std::string name, std::string value) {
  constexpr std::size_t kUsual = 8;
  if (fields_.empty()) fields_.reserve(kUsual);
  fields_.push_back({std::move(name), std::move(value)});
}

void HttpHeaders::set(std::string name, std::string value) {
  remove(name);
  add(std::move(name), std::move(value));
}

void HttpHeaders::remove(std::string_view name) {
  std::erase_if(fields_, [&](const HttpHeader& field) { return same_name(field.name, name); });
}

std::string_view HttpRequest::path_parameter(std::string_view name) const noexcept {
  const auto found = std::find_if(path_parameters.begin(), path_parameters.end(),
                                  [&](const auto& parameter) { return parameter.first == name; });
  return found == path_parameters.end() ? std::string_view() : found->second;
}

std::optional<std::string> HttpRequest::query_parameter(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (percent_decoded(pair.substr(0, equals), PlusIs::kSpace) != name) continue;
    return percent_decoded(pair.substr(std::min(equals + 1, pair.size())), PlusIs::kSpace);
  }
  return std::nullopt;
}

HttpResponse HttpResponse::text(int status, std::string body) {
  return {status, "text/plain; charset=UTF-8", {}, std::move(body)};
}

HttpResponse HttpResponse::json(int status, std::string body) {
  return {status, "application/json; charset=UTF-8", {}, std::move(body)};
}

}  // namespace serverledge
