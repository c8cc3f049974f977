#include "net/request_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace serverledge {

namespace {

constexpr std::size_t kSmallRead = 4 * 1024;
constexpr std::size_t kLargeRead = 64 * 1024;
constexpr std::size_t kFirstBody = 16 * 1024;  // what a body is given before it has proved to be larger

}  // namespace

std::span<char> RequestReader::space() {
  if (state_ == State::kNeedsBody && !chunked_) {
    return {request_.body.data() + received_, request_.body.size() - received_};
  }
  const std::size_t wanted = state_ == State::kNeedsBody ? kLargeRead : kSmallRead;
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < wanted / 2 && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < wanted / 2) buffer_.resize(end_ + wanted);
  return {buffer_.data() + end_, buffer_.size() - end_};
}

void RequestReader::filled(std::size_t bytes) {
  if (state_ == State::kNeedsBody && !chunked_) {
    received_ += bytes;
  } else {
    end_ += bytes;
  }
}

RequestReader::State RequestReader::advance() {
  if (state_ == State::kNeedsHead) read_head();
  if (state_ == State::kNeedsBody) read_body();
  return state_;
}

RequestReader::State RequestReader::admit(std::size_t body_max) {
  body_max_ = body_max;
  if (length_ > body_max) {
    return refuse(413, fmt::format("the body has {} bytes, at most {} are accepted", length_, body_max));
  }
  state_ = chunked_ || length_ > 0 ? State::kNeedsBody : State::kWhole;
  return state_;
}

void RequestReader::next() {
  budget_.give(charged_);
  charged_ = 0;
  received_ = 0;
  length_ = 0;
  chunked_ = false;
  expects_continue_ = false;
  chunks_ = {};
  scanner_ = {};
  request_ = {};
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == 0 && buffer_.size() > kLargeRead) std::string().swap(buffer_);
  state_ = State::kNeedsHead;
}

void RequestReader::reset() {
  begin_ = end_ = 0;
  next();
  std::string().swap(buffer_);
}

RequestReader::State RequestReader::refuse(int status, std::string message) {
  refusal_ = {status, std::move(message)};
  keep_alive_ = false;
  state_ = State::kRefused;
  return state_;
}

void RequestReader::read_head() {
  while (scanner_.size() == 0 && waiting().substr(0, 2) == "\r\n") {  // lines left over by sloppy clients
    begin_ += 2;
    scanner_ = {};
  }
  if (const std::string_view first = waiting().substr(0, 1);
      !first.empty() && first != "\r" && !is_token(first)) {
    refuse(400, "not HTTP (is it TLS?)");
    return;
  }
  switch (scanner_.scan(waiting().substr(0, limits_.head_max))) {
    case HeadScanner::Found::kMalformed:
      refuse(400, fmt::format("malformed request: {}", scanner_.defect()));
      return;
    case HeadScanner::Found::kNotYet:
      if (end_ - begin_ >= limits_.head_max) {
        refuse(431, fmt::format("request line and headers exceed {} bytes", limits_.head_max));
      }
      return;
    case HeadScanner::Found::kWhole:
      break;
  }
  const std::string_view head = waiting().substr(0, scanner_.size());
  begin_ += head.size();
  state_ = State::kHeadWhole;
  parse_head(head);
}

void RequestReader::parse_head(std::string_view head) {
  const std::size_t line = head.find("\r\n");
  if (!parse_request_line(head.substr(0, line))) return;
  if (const Defect defect = parse_header_lines(head.substr(line + 2), request_.headers)) {
    refuse(400, fmt::format("malformed request: {}", defect));
    return;
  }
  parse_framing();
}

bool RequestReader::parse_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  const std::string_view version =
      last == std::string_view::npos ? std::string_view() : line.substr(last + 1);
  const std::string_view method = line.substr(0, first);
  if (first == last || !is_token(method)) {
    refuse(400, "malformed request line: expected a method, a target and a version");
    return false;
  }
  http_1_0_ = version == "HTTP/1.0";
  if (!http_1_0_ && version != "HTTP/1.1") {
    const bool other = version.substr(0, 5) == "HTTP/";
    refuse(other ? 505 : 400, "expected HTTP/1.1 or HTTP/1.0");
    return false;
  }
  request_.method = method;
  return parse_target(line.substr(first + 1, last - first - 1));
}

bool RequestReader::parse_target(std::string_view target) {
  const bool visible = !target.empty() && std::all_of(target.begin(), target.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '#';
  });
  if (!visible) {
    refuse(400, "the request target has a character that must be percent-encoded");
    return false;
  }
  if (const std::size_t scheme = target.find("://");
      target.front() != '/' && scheme != std::string_view::npos) {
    const std::size_t path = target.find_first_of("/?", scheme + 3);  // the absolute form, as sent to proxies
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  request_.path = target.substr(0, question);
  request_.query = target.substr(std::min(question + 1, target.size()));
  if (request_.path.empty()) request_.path = "/";
  if (request_.path.size() > limits_.path_max) {
    refuse(414, fmt::format("the path exceeds {} characters", limits_.path_max));
    return false;
  }
  return true;
}

void RequestReader::parse_framing() {
  const Framing framing = framing_of(request_.headers);
  const auto hosts =
      std::count_if(request_.headers.begin(), request_.headers.end(),
                    [](const HttpHeader& field) { return equals_ignoring_case(field.name, "Host"); });
  const std::string* expect = request_.headers.find("Expect");
  if (framing.defect != nullptr) {
    refuse(400, fmt::format("malformed request: {}", framing.defect));
  } else if (http_1_0_ && (framing.chunked || framing.unknown_coding)) {
    refuse(400, "malformed request: a Transfer-Encoding in HTTP/1.0");
  } else if (framing.unknown_coding) {
    refuse(501, "the only Transfer-Encoding served is chunked");
  } else if (hosts > 1 || (hosts == 0 && !http_1_0_)) {
    refuse(400, "malformed request: expected one Host header");
  } else if (expect != nullptr && !equals_ignoring_case(*expect, "100-continue")) {
    refuse(417, "the only expectation served is 100-continue");
  } else {
    chunked_ = framing.chunked;
    length_ = framing.length.value_or(0);
    expects_continue_ = expect != nullptr && !http_1_0_;
    keep_alive_ = http_1_0_ ? has_token(request_.headers, "Connection", "keep-alive")
                            : !has_token(request_.headers, "Connection", "close");
  }
}

void RequestReader::read_body() {
  if (chunked_) {
    read_chunked_body();
  } else {
    read_counted_body();
  }
}

void RequestReader::read_counted_body() {
  const auto length = static_cast<std::size_t>(length_);
  const std::size_t here = std::min(length - received_, end_ - begin_);
  if (received_ + here > request_.body.size() && !grow_body(received_ + here)) return;
  waiting().copy(request_.body.data() + received_, here);
  begin_ += here;
  received_ += here;
  if (received_ == length) {
    state_ = State::kWhole;
  } else if (received_ == request_.body.size()) {
    grow_body(std::min(length, std::max(kFirstBody, 2 * received_)));
  }
}

void RequestReader::read_chunked_body() {
  while (true) {
    const auto [consumed, data] = chunks_.step(waiting());
    if (data.size() > body_max_ - received_) {
      refuse(413, fmt::format("the body has more than the {} bytes that are accepted", body_max_));
      return;
    }
    if (received_ + data.size() > charged_ && !grow_body(std::max(received_ + data.size(), 2 * charged_)))
      return;
    data.copy(request_.body.data() + received_, data.size());
    received_ += data.size();
    begin_ += consumed;
    if (chunks_.defect() != nullptr) {
      refuse(400, fmt::format("malformed request: {}", chunks_.defect()));
      return;
    }
    if (chunks_.done()) {
      request_.body.resize(received_);
      state_ = State::kWhole;
      return;
    }
    if (consumed == 0) return;
  }
}

bool RequestReader::grow_body(std::size_t size) {
  if (!budget_.take(size - charged_)) {
    refuse(503, "too many bytes of request bodies are held at the moment, try again later");
    return false;
  }
  charged_ = size;
  request_.body.resize(size);
  return true;
}

}  // namespace serverledge
