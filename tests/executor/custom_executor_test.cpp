#include <elf.h>
#include <signal.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "executor_process.hpp"
#include "support/eventually.hpp"

using namespace serverledge::test;
using Catch::Contains;
using Catch::EndsWith;

namespace {

/// An executor that runs this shell script for each call.
std::unique_ptr<ExecutorProcess> script(const std::string& text, ExecutorProcess::Texts environment = {}) {
  environment["CUSTOM_CMD"] = "sh -c 'exec sh \"$APP\"/main.sh'";
  return ExecutorProcess::custom(environment, {{"main.sh", text}});
}

std::string call(const std::string& params, bool output = false) {
  return R"({"Command":null,"Params":)" + params + R"(,"Handler":"","HandlerDir":"","ReturnOutput":)" +
         (output ? "true}" : "false}");
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A process that is there neither running nor as a zombie.
bool is_gone(const std::string& pid) { return !pid.empty() && !std::filesystem::exists("/proc/" + pid); }

std::string line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

TEST_CASE("a custom image's program gets its params in a file and gives its result in another", "[custom]") {
  const auto f = script("cat \"$PARAMS_FILE\" > \"$RESULT_FILE\"; echo out; echo err >&2\n");
  const ExecutorAnswer answer = f->invoke(call(R"({"x": 1, "s": "\u00e9"})", true));
  CHECK(answer.status == 200);
  CHECK(answer.result == R"({"x": 1, "s": "\u00e9"})");
  CHECK(answer.output == "out\nerr\n");
  const ExecutorAnswer silent =
      f->invoke(R"({"Command":null,"Params":{"x":1},"Handler":"","HandlerDir":"","ReturnOutput":false})");
  CHECK(silent.result == R"({"x":1})");
  CHECK(silent.output.empty());
}

TEST_CASE("no result of an earlier call is ever returned", "[custom]") {
  const auto f =
      script("read line < \"$PARAMS_FILE\"; case $line in *write*) echo mine > \"$RESULT_FILE\";; esac\n");
  CHECK(f->invoke(call(R"({"do":"write"})")).result == "mine\n");
  const ExecutorAnswer nothing = f->invoke(call(R"({"do":"nothing"})"));
  CHECK(nothing.success);
  CHECK(nothing.result.empty());
}

TEST_CASE("calls that run at once have files of their own", "[custom]") {
  // Each waits until all have begun.
  const auto f = script(
      "touch \"$APP\"/begun.$$\n"
      "until [ $(ls \"$APP\" | grep -c begun) -ge 8 ]; do sleep 0.01; done\n"
      "cat \"$PARAMS_FILE\" > \"$RESULT_FILE\"\n");
  std::vector<RawPeer> peers;
  for (int i = 0; i < 8; ++i) {
    peers.push_back(f->connect());
    REQUIRE(peers.back().send(post("/invoke", call("{\"n\":" + std::to_string(i) + "}"))));
  }
  for (std::size_t i = 0; i < 8; ++i)
    CHECK(parse_answer(peers[i].answer()).result == "{\"n\":" + std::to_string(i) + "}");
}

TEST_CASE("callers that come and go each get the answer to their own call", "[custom]") {
  const auto f = script("cat \"$PARAMS_FILE\"; cat \"$PARAMS_FILE\" > \"$RESULT_FILE\"\n");
  const int port = f->port();
  std::vector<std::string> wrong(4);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) {
        const std::string mine = std::to_string(i) + "." + std::to_string(n + 1);
        const std::string body = body_of(RawPeer(port).ask(post("/invoke", call(mine, true))));
        if (body != R"({"Success":true,"Result":")" + mine + R"(","Output":")" + mine + "\"}")
          wrong[i] = body;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::string& body : wrong) CHECK(body.empty());
}

TEST_CASE("a call's files are private and gone when it is over, however it ends", "[custom]") {
  const auto f = script(
      "stat -c %a \"$PARAMS_FILE\" \"$(dirname \"$PARAMS_FILE\")\"\n"
      "mkdir -p \"$(dirname \"$RESULT_FILE\")\"/deep/er; echo x > \"$(dirname "
      "\"$RESULT_FILE\")\"/deep/er/file\n"
      "case $(cat \"$PARAMS_FILE\") in *fail*) exit 1;; *die*) kill -9 $$;; *hang*) sleep 1000;; esac\n",
      {{"EXECUTOR_TIMEOUT_SEC", "0.5"}});
  CHECK(f->invoke(call(R"("ok")", true)).output == "600\n700\n");
  CHECK(f->invoke(call(R"("fail")")).kind == "raised");
  CHECK(f->invoke(call(R"("die")")).kind == "crashed");
  CHECK(f->invoke(call(R"("hang")")).kind == "timeout");
  CHECK(std::filesystem::is_empty(f->temporary()));
}

TEST_CASE("a program is told its handler, its context and that it has no params", "[custom]") {
  const auto f = script("echo \"$HANDLER|$HANDLER_DIR|$CONTEXT|$PARAMS_FILE|$OTHER\"\n",
                        {{"CONTEXT", "of the image"}, {"OTHER", "kept"}, {"HANDLER", "none"}});
  CHECK(f->invoke(R"({"Handler":"h","HandlerDir":"/app","Context":{"RequestId":"f-1"},"ReturnOutput":true})")
            .output == "h|/app|{\"RequestId\":\"f-1\"}||kept\n");
  CHECK(f->invoke(R"({"Params":null,"ReturnOutput":true})").output == "||of the image||kept\n");
}

TEST_CASE("a call may bring its own command, which needs no CUSTOM_CMD", "[custom]") {
  const auto f = ExecutorProcess::custom({});
  CHECK(f->invoke(R"({"Command":["printf","%s|","a b","","$HOME"],"ReturnOutput":true})").output ==
        "a b||$HOME|");
}

TEST_CASE("a call without any command is an error, and the executor lives on", "[custom]") {
  const auto f = ExecutorProcess::custom({});
  for (const char* body : {R"({"Command":null,"Params":{}})", R"({"Command":[]})"}) {
    const ExecutorAnswer answer = f->invoke(body);
    CHECK(answer.status == 200);
    CHECK(answer.kind == "start");
    CHECK_THAT(answer.message, Contains("CUSTOM_CMD"));
  }
  CHECK(f->post("/load", "{}").kind == "start");
  CHECK(f->invoke(R"({"Command":["true"]})").success);
}

TEST_CASE("a program that cannot be started is named", "[custom]") {
  const auto f = ExecutorProcess::custom({{"CUSTOM_CMD", "/nothing/here 'and there'"}});
  const ExecutorAnswer answer = f->invoke(call("{}"));
  CHECK(answer.kind == "start");
  CHECK(answer.message == "cannot run \"/nothing/here\": No such file or directory");
  CHECK(f->post("/load", "{}").success);
}

TEST_CASE("a program that fails says so with its status and the end of what it printed", "[custom]") {
  const auto f = script("echo mine > \"$RESULT_FILE\"; seq 2000; echo why >&2; exit 3\n");
  const ExecutorAnswer failed = f->invoke(call("{}"));
  CHECK(failed.status == 200);
  CHECK(failed.kind == "raised");
  CHECK(failed.message == "the program exited with status 3");
  CHECK_THAT(failed.traceback, EndsWith("1999\n2000\nwhy\n"));
  CHECK(failed.traceback.size() <= 4096);
  CHECK_FALSE(failed.has_result);
  CHECK(failed.output.empty());
  const auto killed = script("kill -SEGV $$\n");
  CHECK(killed->invoke(call("{}")).message == "the program was killed by SIGSEGV");
}

TEST_CASE("a program that takes too long is killed with all of its group", "[custom]") {
  const auto f = script("sleep 1000 & echo $!; echo $$ ; sleep 1000\n", {{"EXECUTOR_TIMEOUT_SEC", "0.5"}});
  const ExecutorAnswer late = f->invoke(call("{}", true));
  CHECK(late.kind == "timeout");
  CHECK_THAT(late.message, Contains("0.5 s"));
  const std::string child = line(late.output);
  CHECK(eventually([&] { return is_gone(child); }));
  CHECK(is_gone(line(late.output.substr(child.size() + 1))));
}

TEST_CASE("what a program leaves running is killed when its call is over, and waited for by nobody",
          "[custom]") {
  const auto f = script("sleep 1000 & echo $!\n");
  const ExecutorAnswer answer = f->invoke(call("{}", true));
  CHECK(answer.success);
  CHECK(eventually([&] { return is_gone(line(answer.output)); }));
}

TEST_CASE("an orphan of a program that has a session of its own is reaped when it ends", "[custom]") {
  const auto f = script(
      "setsid sh -c 'echo $$ > \"$APP\"/pid; until [ -e \"$APP\"/go ]; do sleep 0.01; done' > /dev/null 2>&1 "
      "&\n"
      "until [ -s \"$APP\"/pid ]; do sleep 0.01; done\n");
  CHECK(f->invoke(call("{}")).success);
  const std::string pid = line(content(f->folder() + "/pid"));
  CHECK_FALSE(is_gone(pid));
  std::ofstream(f->folder() + "/go") << "go";
  CHECK(eventually([&] { return is_gone(pid); }));
}

TEST_CASE("a program's output is cut at the limit, and the answer says so", "[custom]") {
  const auto f =
      script("printf 'éééééééé'; head -c 3000000 /dev/zero | tr '\\0' x\n", {{"EXECUTOR_OUTPUT_LIMIT", "7"}});
  const ExecutorAnswer answer = f->invoke(call("{}", true));
  CHECK(answer.success);
  CHECK(answer.output == "ééé\n[output cut at 7 bytes]\n");
  const auto whole = script("head -c 1000000 /dev/zero | tr '\\0' x; printf '\\377'\n");
  CHECK(whole->invoke(call("{}", true)).output == std::string(1'000'000, 'x') + "\xef\xbf\xbd");
}

TEST_CASE("a program that prints without end is stopped by its time limit alone, and others are served",
          "[custom]") {
  const auto f =
      script("case $(cat \"$PARAMS_FILE\") in *yes*) exec yes;; esac\n", {{"EXECUTOR_TIMEOUT_SEC", "2"}});
  RawPeer endless = f->connect();
  REQUIRE(endless.send(post("/invoke", call(R"("yes")"))));
  CHECK(f->invoke(call(R"("no")")).success);
  CHECK(parse_answer(endless.answer()).kind == "timeout");
}

TEST_CASE("a result is any UTF-8 text within the limit, from a regular file", "[custom]") {
  const auto f =
      script("sh -c \"$(cat \"$PARAMS_FILE\" | tr -d '\"')\"\n", {{"EXECUTOR_RESULT_LIMIT", "10"}});
  std::ofstream(f->folder() + "/byte") << '\xff';
  const auto run = [&](const std::string& command) { return f->invoke(call('"' + command + '"')); };
  CHECK(run("printf not-JSON-é > $RESULT_FILE").kind == "output");  // 11 bytes
  CHECK(run("printf not-JSONé > $RESULT_FILE").result == "not-JSONé");
  CHECK_THAT(run("head -c 11 /dev/zero > $RESULT_FILE").message, Contains("limit of 10 bytes"));
  CHECK_THAT(run("cat $APP/byte > $RESULT_FILE").message, Contains("not UTF-8"));
  CHECK_THAT(run("mkfifo $RESULT_FILE").message, Contains("no regular file"));
  CHECK_THAT(run("mkdir $RESULT_FILE").message, Contains("no regular file"));
  CHECK_THAT(run("ln -s /dev/zero $RESULT_FILE").message, Contains("no regular file"));
}

TEST_CASE("a program has an empty standard input, default signals and no descriptors of the executor",
          "[custom]") {
  const auto f = script(
      "cat; ls /proc/self/fd | wc -l; grep -E 'SigBlk:.0*$|SigIgn:.*0000000$' /proc/self/status | cut -c "
      "1-6\n");
  CHECK(f->invoke(call("{}", true)).output == "4\nSigBlk\nSigIgn\n");
}

TEST_CASE("large params and results pass the executor of a custom image whole", "[custom]") {
  const auto f = script("cat \"$PARAMS_FILE\" > \"$RESULT_FILE\"\n");
  const std::string params = '"' + std::string(5 << 20, 'z') + '"';
  CHECK(f->invoke(call(params)).result == params);
}

TEST_CASE("one connection serves many calls of a custom image, also pipelined ones", "[custom]") {
  const auto f = script("cat \"$PARAMS_FILE\" > \"$RESULT_FILE\"\n");
  RawPeer peer = f->connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += post("/invoke", call(std::to_string(i)));
  REQUIRE(peer.send(all));
  for (int i = 0; i < 20; ++i) CHECK(parse_answer(peer.answer()).result == std::to_string(i));
  CHECK(parse_answer(peer.ask(post("/invoke", call("20")))).result == "20");
}

TEST_CASE("an answer of a custom image's executor names the call that it is of", "[custom]") {
  const auto f = script("exit 0\n");
  RawPeer peer = f->connect();
  CHECK_THAT(peer.ask(named_post("0a1B", call("1"))), Contains("\r\nServerledge-Call: 0a1B\r\n"));
  CHECK_THAT(peer.ask(post("/invoke", call("1"))), !Contains("Serverledge-Call"));
}

TEST_CASE("what is no request gets a 4xx from a custom image's executor, which lives on", "[custom]") {
  const auto f = script("echo yes > \"$RESULT_FILE\"\n", {{"EXECUTOR_BODY_LIMIT", "1000"}});
  const std::vector<std::pair<std::string, int>> cases = {
      {"garbage\r\n\r\n", 400},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
      {post("/invoke", std::string(100'000, 'x')), 413},
      {"POST /invoke HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n", 431},
  };
  for (const auto& [request, status] : cases) {
    CAPTURE(request.substr(0, 80));
    RawPeer peer = f->connect();
    peer.send(request);
    const ExecutorAnswer refused = parse_answer(peer.to_end());
    CHECK(refused.status == status);
    CHECK(refused.kind == "protocol");
  }
  RawPeer peer = f->connect();
  for (const auto& [request, status] :
       std::vector<std::pair<std::string, int>>{{post("/invoke", "{"), 400},
                                                {post("/invoke", ""), 400},
                                                {post("/invoke", R"({"Command":"ls"})"), 400},
                                                {post("/other", "{}"), 404},
                                                {"GET /invoke HTTP/1.1\r\nHost: h\r\n\r\n", 405}}) {
    CAPTURE(request);
    CHECK(parse_answer(peer.ask(request)).status == status);
  }
  CHECK(parse_answer(peer.ask(post("/invoke", call("{}")))).result == "yes\n");
}

TEST_CASE("a caller that hangs up does not stop its call, nor the executor", "[custom]") {
  const auto f = script(
      "touch \"$APP\"/begun; until [ -e \"$APP\"/go ]; do sleep 0.01; done\n"
      "echo done > \"$RESULT_FILE\"; touch \"$APP\"/done\n");
  RawPeer peer = f->connect();
  REQUIRE(peer.send(post("/invoke", call("{}"))));
  CHECK(eventually([&] { return std::filesystem::exists(f->folder() + "/begun"); }));
  peer.reset();
  std::ofstream(f->folder() + "/go") << "go";
  CHECK(eventually([&] { return std::filesystem::exists(f->folder() + "/done"); }));
  CHECK(f->invoke(call("{}")).result == "done\n");
  CHECK(eventually([&] { return std::filesystem::is_empty(f->temporary()); }));
}

TEST_CASE("an executor that is told to end kills what runs, removes its files and exits with 0", "[custom]") {
  const auto f = script("echo $$ > \"$APP\"/pid; mv \"$APP\"/pid \"$APP\"/begun; sleep 1000\n");
  RawPeer peer = f->connect();
  REQUIRE(peer.send(post("/invoke", call("{}"))));
  CHECK(eventually([&] { return std::filesystem::exists(f->folder() + "/begun"); }));
  ::kill(f->pid(), SIGTERM);
  CHECK(f->wait() == 0);
  CHECK(is_gone(line(content(f->folder() + "/begun"))));
  CHECK(std::filesystem::is_empty(f->temporary()));
}

TEST_CASE("peers that connect and say nothing disturb no call of a custom image", "[custom]") {
  const auto f = script("echo yes > \"$RESULT_FILE\"\n");
  std::vector<RawPeer> silent;
  for (int i = 0; i < 256; ++i) silent.push_back(f->connect());
  CHECK(f->post("/invoke", call("{}")).status == 503);
  silent.pop_back();
  CHECK(eventually([&] { return f->post("/invoke", call("{}")).status == 200; }));
}

TEST_CASE("a custom image's executor with a wrong setting, or a port that is taken, says so", "[custom]") {
  CHECK_THAT(ExecutorProcess::custom({{"CUSTOM_CMD", "sh 'x"}})->complaint(), Contains("CUSTOM_CMD"));
  const auto first = ExecutorProcess::custom({});
  CHECK_THAT(ExecutorProcess::custom({{"EXECUTOR_PORT", std::to_string(first->port())}})->complaint(),
             Contains("cannot listen on port"));
}

TEST_CASE("the executor of custom images needs nothing of the image: it is linked statically", "[custom]") {
  const std::string bytes = content(LIBEXEC_FOLDER "/serverledge-executor");
  REQUIRE(bytes.size() > sizeof(Elf64_Ehdr));
  Elf64_Ehdr head{};
  std::memcpy(&head, bytes.data(), sizeof(head));
  REQUIRE(std::memcmp(head.e_ident, ELFMAG, SELFMAG) == 0);
  for (int i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment{};
    std::memcpy(&segment, bytes.data() + head.e_phoff + static_cast<std::size_t>(i) * sizeof(segment),
                sizeof(segment));
    CHECK(segment.p_type != PT_INTERP);
  }
}
