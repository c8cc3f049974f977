#include "support/call_gate.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace serverledge::test {

CallGate::CallGate() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 1024) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot listen on the loopback interface");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this] { accept_all(); });
}

CallGate::~CallGate() {
  open();
  ::shutdown(listener_, SHUT_RDWR);  // wakes accept
  thread_.join();
  ::close(listener_);
}

std::string CallGate::python() const {
  return "import socket\n"
         "def wait_at_gate(name):\n"
         "    with socket.create_connection(('127.0.0.1', " +
         std::to_string(port_) +
         ")) as gate:\n"
         "        gate.sendall(name.encode() + b'\\n')\n"
         "        gate.recv(1)\n";
}

std::string CallGate::waiting_handler() const {
  return python() +
         "def handler(params, context):\n"
         "    wait_at_gate(params['name'])\n"
         "    return params['name']\n";
}

void CallGate::accept_all() {
  for (;;) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    serve(connection);
  }
}

void CallGate::serve(int connection) {
  std::string name;
  for (char c = 0; ::recv(connection, &c, 1, 0) == 1 && c != '\n';) name.push_back(c);
  const std::scoped_lock lock(mutex_);
  arrived_.push_back(std::move(name));
  changed_.notify_all();
  if (open_) {
    ::close(connection);
  } else {
    waiting_.push_back(connection);
  }
}

bool CallGate::wait_for_arrivals(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return arrived_.size() >= count; });
}

std::vector<std::string> CallGate::arrived() {
  const std::scoped_lock lock(mutex_);
  return arrived_;
}

void CallGate::open() {
  const std::scoped_lock lock(mutex_);
  open_ = true;
  for (const int connection : std::exchange(waiting_, {})) ::close(connection);
}

}  // namespace serverledge::test
