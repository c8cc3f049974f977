#include "runtime/docker/registry_credentials.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>

#include "runtime/docker/credential_helper.hpp"
#include "runtime/docker/engine_client.hpp"
#include "serverledge/core/json.hpp"
#include "serverledge/net/base64.hpp"

namespace serverledge {
namespace {

constexpr std::string_view kDockerHub = "docker.io";
constexpr auto kHelperPatience = std::chrono::seconds(10);

/// "registry.example.org:5000" of "https://registry.example.org:5000/v2/": the forms that there are of one.
std::string_view registry_name(std::string_view entry) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (entry.starts_with(scheme)) entry.remove_prefix(scheme.size());
  }
  entry = entry.substr(0, entry.find('/'));
  const bool hub = entry == "index.docker.io" || entry == "registry-1.docker.io";
  return hub ? kDockerHub : entry;
}

/// As its credentials are kept under.
std::string_view server_of(std::string_view registry) {
  return registry == kDockerHub ? "https://index.docker.io/v1/" : registry;
}

/// Of one entry; nothing if it holds none.
Result<std::optional<RegistryCredentials>> credentials_in(const JsonValue& entry) {
  RegistryCredentials found{text_member(entry, "username"), text_member(entry, "password"),
                            text_member(entry, "identitytoken")};
  if (const std::string packed = text_member(entry, "auth"); !packed.empty()) {
    const Result<std::string> pair = base64_decode(packed);
    const std::size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) return Unexpected(ErrorCode::kInvalid, "an auth is not user:password");
    found.user = pair->substr(0, colon);
    found.password = pair->substr(colon + 1);
    while (!found.password.empty() && found.password.back() == '\0') found.password.pop_back();
  }
  if (found.token.empty() && found.user.empty()) return std::optional<RegistryCredentials>();
  return std::optional(std::move(found));
}

std::string header_of(const RegistryCredentials& credentials, std::string_view registry) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  if (credentials.token.empty()) {
    json.key("username").string(credentials.user).key("password").string(credentials.password);
  } else {
    json.key("identitytoken").string(credentials.token);
  }
  json.key("serveraddress").string(server_of(registry));
  json.end_object();
  std::string header = base64_encode(text);
  std::ranges::replace(header, '+', '-');  // the alphabet for URLs
  std::ranges::replace(header, '/', '_');
  return header;
}

/// The helper that keeps the credentials of a registry; empty if there is none.
std::string helper_of(const JsonValue& root, std::string_view registry) {
  const auto helpers = root.find("credHelpers");
  for (std::size_t i = 0; helpers && helpers->is_object() && i < helpers->size(); ++i) {
    if (registry_name(helpers->key(i)) == registry)
      return std::string(helpers->at(i).as_string().value_or(""));
  }
  return text_member(root, "credsStore");
}

/// What the file itself holds of a registry.
Result<std::optional<RegistryCredentials>> written_credentials(const JsonValue& root,
                                                               std::string_view registry) {
  const auto all = root.find("auths");
  for (std::size_t i = 0; all && all->is_object() && i < all->size(); ++i) {
    if (registry_name(all->key(i)) != registry) continue;
    Result<std::optional<RegistryCredentials>> found = credentials_in(all->at(i));
    if (!found || *found) return found;
  }
  return std::optional<RegistryCredentials>();
}

}  // namespace

std::string registry_of(std::string_view reference) {
  const std::size_t slash = reference.find('/');
  if (slash == std::string_view::npos) return std::string(kDockerHub);
  const std::string_view first = reference.substr(0, slash);
  const bool host = first == "localhost" || first.find_first_of(".:") != std::string_view::npos;
  return std::string(host ? registry_name(first) : kDockerHub);
}

Result<std::string> registry_auth(const std::string& folder, std::string_view reference, TimePoint deadline,
                                  Clock& clock) {
  if (folder.empty()) return std::string();
  const std::string path = folder + "/config.json";
  const auto unusable = [&](std::string_view why) {
    return Unexpected(ErrorCode::kInvalid,
                      fmt::format("the credentials in {} cannot be used: {}", path, why));
  };
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file && errno == ENOENT) return std::string();
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file && !file.eof()) return unusable("it cannot be read");
  const Result<JsonDocument> document = JsonDocument::parse(text);
  if (!document || !document->root().is_object()) return unusable("it is no JSON object");
  const std::string registry = registry_of(reference);
  Result<std::optional<RegistryCredentials>> kept = std::optional<RegistryCredentials>();
  if (const std::string helper = helper_of(document->root(), registry); !helper.empty()) {
    kept = ask_credential_helper(helper, std::string(server_of(registry)),
                                 std::min(deadline, later(clock.now(), kHelperPatience)), clock);
    if (kept && *kept) return header_of(**kept, registry);
  }
  const Result<std::optional<RegistryCredentials>> written = written_credentials(document->root(), registry);
  if (!written) return unusable(written.error().message);
  if (*written) return header_of(**written, registry);
  if (!kept) {
    return Unexpected(kept.error().code, fmt::format("the credentials for {} cannot be had: {}", registry,
                                                     kept.error().message));
  }
  return std::string();
}

}  // namespace serverledge
