#include "support/image_registry.hpp"

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "runtime/tar_builder.hpp"
#include "serverledge/net/base64.hpp"
#include "serverledge/net/sha256.hpp"

namespace serverledge::test {
namespace {

constexpr const char* kManifestType = "application/vnd.docker.distribution.manifest.v2+json";

std::string tar_of_executor(bool gzip) {
  std::ifstream file(SERVERLEDGE_TINY_EXECUTOR, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  TarBuilder tar(gzip);
  tar.file("tiny", bytes.str(), 0755);
  return tar.bytes();
}

std::string digest_of(const std::string& bytes) { return "sha256:" + sha256_hex(bytes); }

std::string descriptor(const char* type, const std::string& bytes) {
  return std::string(R"({"mediaType":")") + type + R"(","size":)" + std::to_string(bytes.size()) +
         R"(,"digest":")" + digest_of(bytes) + "\"}";
}

HttpResponse found(std::string bytes, const char* type) {
  HttpResponse response;
  response.content_type = type;
  response.headers.set("Docker-Content-Digest", digest_of(bytes));
  response.body = std::move(bytes);
  return response;
}

HttpResponse unknown() {
  return HttpResponse::json(
      404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown to the test"}]})");
}

}  // namespace

ImageRegistry::ImageRegistry(const std::string& credentials)
    : wanted_(credentials.empty() ? "" : "Basic " + base64_encode(credentials)),
      layer_(tar_of_executor(true)),
      server_({}, system_clock()) {
  config_ =
      R"({"architecture":"amd64","os":"linux","config":{"Entrypoint":["/tiny"]},"rootfs":{"type":"layers","diff_ids":[")" +
      digest_of(tar_of_executor(false)) + "\"]}}";
  manifest_ = std::string(R"({"schemaVersion":2,"mediaType":")") + kManifestType + R"(","config":)" +
              descriptor("application/vnd.docker.container.image.v1+json", config_) + R"(,"layers":[)" +
              descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer_) + "]}";
  serve("/v2/", [](HttpRequest&) { return HttpResponse::json(200, "{}"); });
  const auto give_manifest = [this](HttpRequest& request) {
    ++asked_;
    const std::string_view which = request.path_parameter("which");
    return which == "1" || which == digest_of(manifest_) ? found(manifest_, kManifestType) : unknown();
  };
  const auto give_blob = [this](HttpRequest& request) { return blob(request.path_parameter("digest")); };
  serve("/v2/tiny/manifests/:which", give_manifest);
  serve("/v2/tiny/blobs/:digest", give_blob);
  const Result<int> port = server_.start();
  if (!port) throw std::runtime_error(port.error().message);
  port_ = *port;
}

std::string ImageRegistry::reference() const { return "127.0.0.1:" + std::to_string(port_) + "/tiny:1"; }

void ImageRegistry::serve(const std::string& path, const HttpServer::Handler& handler) {
  const auto guarded = [this, handler](HttpRequest& request) {
    const std::string* shown = request.headers.find("Authorization");
    if (wanted_.empty() || (shown != nullptr && *shown == wanted_)) return handler(request);
    HttpResponse refusal = HttpResponse::json(
        401, R"({"errors":[{"code":"UNAUTHORIZED","message":"the test wants a password"}]})");
    refusal.headers.set("WWW-Authenticate", "Basic realm=\"test\"");
    return refusal;
  };
  for (const char* method : {"GET", "HEAD"}) server_.route(method, path, guarded);
}

HttpResponse ImageRegistry::blob(std::string_view digest) {
  if (digest == digest_of(config_)) return found(config_, "application/octet-stream");
  if (digest != digest_of(layer_)) return unknown();
  if (held_) gate_.wait();
  return found(layer_, "application/octet-stream");
}

}  // namespace serverledge::test
