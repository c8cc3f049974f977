#include "recording_node.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>

namespace serverledge::test {

RecordingNode::RecordingNode() : server_({}, system_clock()) {
  const auto handler = [this](HttpRequest& request) { return record(request); };
  for (const char* path : {"/create", "/update", "/delete", "/prewarm", "/invoke/:function"}) {
    server_.route("POST", path, handler);
  }
  for (const char* path : {"/function", "/status", "/poll/:request"}) server_.route("GET", path, handler);
  port_ = server_.start().value();
}

void RecordingNode::answer(HttpResponse response) {
  const std::lock_guard lock(mutex_);
  answers_.push_back(std::move(response));
}

std::vector<RecordingNode::Exchange> RecordingNode::exchanges() const {
  const std::lock_guard lock(mutex_);
  return exchanges_;
}

RecordingNode::Exchange RecordingNode::exchange() const {
  const auto all = exchanges();
  REQUIRE(all.size() == 1);
  return all.front();
}

CommandRun RecordingNode::cli(std::vector<std::string> arguments) const {
  return run_cli(std::move(arguments),
                 {"SERVERLEDGE_HOST=127.0.0.1", "SERVERLEDGE_PORT=" + std::to_string(port_)});
}

HttpResponse RecordingNode::record(const HttpRequest& request) {
  const std::lock_guard lock(mutex_);
  const std::string* type = request.headers.find("Content-Type");
  exchanges_.push_back({request.method, request.path, type == nullptr ? "" : *type, request.body});
  if (answers_.empty()) return HttpResponse::json(200, "{}\n");
  HttpResponse response = answers_.front();
  if (answers_.size() > 1) answers_.pop_front();
  return response;
}

CommandRun run_cli(std::vector<std::string> arguments, std::vector<std::string> environment) {
  arguments.insert(arguments.begin(), SERVERLEDGE_CLI);
  for (const std::string name : {"SERVERLEDGE_HOST=", "SERVERLEDGE_PORT="}) {
    const auto sets = [&](const std::string& variable) { return variable.starts_with(name); };
    if (std::none_of(environment.begin(), environment.end(), sets)) environment.push_back(name);
  }
  return run_command(arguments, environment);
}

}  // namespace serverledge::test
