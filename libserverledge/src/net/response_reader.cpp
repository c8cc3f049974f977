#include "net/response_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace serverledge {

namespace {

constexpr std::size_t kHeadMax = 64 * 1024;
constexpr std::size_t kRead = 16 * 1024;

// "HTTP/1.1 200 OK": the status; nullopt if it is no such line.
std::optional<int> status_of(std::string_view line) {
  const bool http = line.size() >= 12 && line.substr(0, 7) == "HTTP/1." &&
                    (line[7] == '0' || line[7] == '1') && line[8] == ' ' &&
                    (line.size() == 12 || line[12] == ' ');
  int status = 0;
  if (!http) return std::nullopt;
  const auto [end, failed] = std::from_chars(line.data() + 9, line.data() + 12, status);
  if (failed != std::errc() || end != line.data() + 12 || status < 100) return std::nullopt;
  return status;
}

// Whether these may be the first bytes of an answer: a peer that says something else is not waited for.
bool begins_as_answer(std::string_view bytes) {
  constexpr std::string_view kBegin = "HTTP/1.";
  return bytes.substr(0, kBegin.size()) == kBegin.substr(0, bytes.size());
}

}  // namespace

std::span<char> ResponseReader::space() {
  if (begin_ == end_) begin_ = end_ = 0;
  const bool long_body = in_body_ && large_ == nullptr;
  if (long_body || room_ - end_ < std::min(room_, kRead) / 2) {
    const std::string_view kept = waiting();
    auto buffer = std::make_unique_for_overwrite<char[]>(kept.size() + kRead);
    kept.copy(buffer.get(), kept.size());
    large_ = std::move(buffer);
    bytes_ = large_.get();
    room_ = kept.size() + kRead;
    end_ -= begin_;
    begin_ = 0;
  }
  return {bytes_ + end_, room_ - end_};
}

ResponseReader::State ResponseReader::filled(std::size_t bytes) {
  begun_ = begun_ || bytes > 0;
  end_ += bytes;
  return in_body_ ? read_body() : read_head();
}

ResponseReader::State ResponseReader::ended() {
  keep_alive_ = false;
  if (in_body_ && body_ == Body::kToEnd) return State::kWhole;
  return fail(ErrorCode::kUnknownOutcome, "the connection was closed before the answer was whole");
}

ResponseReader::State ResponseReader::fail(ErrorCode code, std::string message) {
  keep_alive_ = false;
  error_ = {code, std::move(message), {}};
  return State::kFailed;
}

ResponseReader::State ResponseReader::read_head() {
  State state = State::kNeedsMore;
  while (state == State::kNeedsMore && !in_body_) {  // interim answers may come before
    if (!begins_as_answer(waiting())) {
      return fail(ErrorCode::kUnknownOutcome, "malformed answer: no status line of HTTP/1");
    }
    switch (scanner_.scan(waiting().substr(0, kHeadMax))) {
      case HeadScanner::Found::kMalformed:
        return fail(ErrorCode::kUnknownOutcome, fmt::format("malformed answer: {}", scanner_.defect()));
      case HeadScanner::Found::kNotYet:
        if (end_ - begin_ < kHeadMax) return State::kNeedsMore;
        return fail(ErrorCode::kUnknownOutcome, "malformed answer: its headers are too long");
      case HeadScanner::Found::kWhole:
        break;
    }
    const std::string_view head = waiting().substr(0, scanner_.size());
    begin_ += head.size();
    scanner_ = {};
    state = parse_head(head);
  }
  return state;
}

ResponseReader::State ResponseReader::parse_head(std::string_view head) {
  const std::size_t line = head.find("\r\n");
  const auto status = status_of(head.substr(0, line));
  if (!status) return fail(ErrorCode::kUnknownOutcome, "malformed answer: no status line of HTTP/1");
  response_ = {};
  response_.status = *status;
  const Defect defect = parse_header_lines(head.substr(line + 2), response_.headers);
  const Framing framing = framing_of(response_.headers);
  if (defect != nullptr || framing.defect != nullptr) {
    return fail(ErrorCode::kUnknownOutcome,
                fmt::format("malformed answer: {}", defect != nullptr ? defect : framing.defect));
  }
  if (*status == 101 || framing.unknown_coding) {
    return fail(ErrorCode::kUnknownOutcome, "an answer in a coding or protocol that was not asked for");
  }
  if (*status < 200) return State::kNeedsMore;
  if (const std::string* type = response_.headers.find("Content-Type")) response_.content_type = *type;
  response_.headers.remove("Content-Type");

  const bool http_1_0 = head[7] == '0';
  const bool bodiless = to_head_ || *status == 204 || *status == 304;
  left_ = framing.length.value_or(0);
  body_ = bodiless          ? Body::kNone
          : framing.chunked ? Body::kChunked
          : framing.length  ? Body::kCounted
                            : Body::kToEnd;
  keep_alive_ = body_ != Body::kToEnd && (http_1_0 ? has_token(response_.headers, "Connection", "keep-alive")
                                                   : !has_token(response_.headers, "Connection", "close"));
  in_body_ = true;
  if (body_ == Body::kCounted && left_ > body_max_) return too_large();
  if (body_ == Body::kCounted) response_.body.reserve(std::min<std::size_t>(left_, kHeadMax));
  return read_body();
}

ResponseReader::State ResponseReader::read_body() {
  switch (body_) {
    case Body::kChunked:
      return read_chunks();
    case Body::kToEnd: {
      const State state = append(waiting());
      begin_ = end_;
      return state;
    }
    case Body::kCounted: {
      const std::string_view data =
          waiting().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, waiting().size())));
      response_.body.append(data);
      begin_ += data.size();
      left_ -= data.size();
      break;
    }
    case Body::kNone:
      break;
  }
  if (left_ > 0 && body_ == Body::kCounted) return State::kNeedsMore;
  keep_alive_ = keep_alive_ && begin_ == end_;  // bytes that nobody asked for: not to be trusted
  return State::kWhole;
}

ResponseReader::State ResponseReader::read_chunks() {
  while (true) {
    const auto [consumed, data] = chunks_.step(waiting());
    if (append(data) == State::kFailed) return State::kFailed;
    begin_ += consumed;
    if (chunks_.defect() != nullptr) {
      return fail(ErrorCode::kUnknownOutcome, fmt::format("malformed answer: {}", chunks_.defect()));
    }
    if (chunks_.done()) {
      keep_alive_ = keep_alive_ && begin_ == end_;
      return State::kWhole;
    }
    if (consumed == 0) return State::kNeedsMore;
  }
}

ResponseReader::State ResponseReader::append(std::string_view data) {
  if (data.size() > body_max_ - response_.body.size()) return too_large();
  response_.body.append(data);
  return State::kNeedsMore;
}

ResponseReader::State ResponseReader::too_large() {
  return fail(ErrorCode::kTooLarge, fmt::format("the answer exceeds {} bytes", body_max_));
}

}  // namespace serverledge
