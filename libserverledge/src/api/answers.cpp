#include "api/answers.hpp"

#include <utility>

#include "serverledge/core/json.hpp"

namespace serverledge {

HttpResponse json_answer(int status, std::string body) {
  body.push_back('\n');
  return HttpResponse::json(status, std::move(body));
}

HttpResponse named_answer(std::string_view key, std::string_view value) {
  std::string body;
  JsonWriter(body).begin_object().key(key).string(value).end_object();
  return json_answer(200, std::move(body));
}

HttpResponse error_answer(const Error& error) {
  HttpResponse answer = named_answer("Error", error.message);
  answer.status = http_status(error.code);
  if (answer.status == 429 || answer.status == 503) answer.headers.add("Retry-After", "1");
  return answer;
}

int report_status(const ExecutionReport& report) {
  if (!report.failure) return 200;
  return report.failure->kind == FailureKind::kTimeout ? 504 : 500;
}

}  // namespace serverledge
