// forwarder <port> <address>: what any proxy costs. One thread hands the requests of one connection to port
// 8080 of an address, on one kept-alive connection, and the answers back: it reads nothing in them but how
// long they are.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kRoom = 64 * 1024 };

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static int tcp_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (fd < 0) fail("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

// Reads one message whole; its length, 0 at the end.
static size_t receive(int fd, char* message) {
  size_t length = 0, whole = kRoom;
  while (length < whole) {
    ssize_t got = recv(fd, message + length, kRoom - length, 0);
    if (got <= 0) return 0;
    length += (size_t)got;
    message[length] = 0;
    const char* end = strstr(message, "\r\n\r\n");
    const char* size = end == NULL ? NULL : strcasestr(message, "\r\nContent-Length:");
    if (size != NULL) whole = (size_t)(end + 4 - message) + strtoul(size + 17, NULL, 10);
    if (whole > kRoom) return 0;
  }
  return length;
}

int main(int argc, char** argv) {
  static char message[kRoom + 1];
  if (argc != 3) return 2;
  struct sockaddr_in here = {.sin_family = AF_INET,
                             .sin_port = htons((in_port_t)atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(8080)};
  if (inet_aton(argv[2], &there.sin_addr) == 0) return 2;
  int listener = tcp_socket(), target = tcp_socket();
  if (bind(listener, (struct sockaddr*)&here, sizeof here) != 0 || listen(listener, 1) != 0) fail("listen");
  if (connect(target, (struct sockaddr*)&there, sizeof there) != 0) fail("connect");
  int client = accept(listener, NULL, NULL);
  if (client < 0) fail("accept");
  size_t length = 0;
  while ((length = receive(client, message)) > 0) {
    if (send(target, message, length, 0) != (ssize_t)length || (length = receive(target, message)) == 0)
      break;
    if (send(client, message, length, 0) != (ssize_t)length) break;
  }
  return 0;
}
