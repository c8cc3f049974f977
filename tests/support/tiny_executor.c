/* The smallest executor: a static program, alone in its image, for tests of what is around a container.
 * Answers every request with its Params, and does what they say first: {"sleep": s}, {"await": 1} until
 * another call sleeps, {"exit": n}, {"close": 1}, {"big": bytes}, {"ask": port}. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kRequestMax = 1 << 20 };

/* The whole request; its size, or 0 at the end of the stream. */
static size_t receive(int fd, char* request) {
  size_t have = 0;
  while (have < kRequestMax - 1) {
    const ssize_t got = read(fd, request + have, kRequestMax - 1 - have);
    if (got <= 0) return 0;
    have += (size_t)got;
    request[have] = 0;
    const char* end = strstr(request, "\r\n\r\n");
    const char* length = strcasestr(request, "\r\ncontent-length:");
    if (end != NULL && length != NULL && have >= (size_t)(end + 4 - request) + strtoul(length + 17, NULL, 10))
      return have;
  }
  return 0;
}

static long number(const char* params, const char* name) {
  const char* found = strstr(params, name);
  return found == NULL ? -1 : strtol(found + strlen(name), NULL, 10);
}

/* The address of the machine that the container's network leads to. */
static unsigned gateway(void) {
  FILE* routes = fopen("/proc/net/route", "r");
  char line[256];
  unsigned to = 0;
  unsigned by = 0;
  while (routes != NULL && fgets(line, sizeof(line), routes) != NULL) {
    if (sscanf(line, "%*s %x %x", &to, &by) == 2 && to == 0) break;
    by = 0;
  }
  if (routes != NULL) fclose(routes);
  return by;
}

/* Asks a web server at the gateway for something; how many bytes came, or -1. */
static long ask_gateway(int port) {
  const char question[] = "GET /status HTTP/1.0\r\n\r\n";
  char bytes[4096];
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  to.sin_addr.s_addr = gateway();
  long got = -1;
  if (connect(fd, (struct sockaddr*)&to, sizeof(to)) == 0 && write(fd, question, strlen(question)) > 0) {
    got = read(fd, bytes, sizeof(bytes));
  }
  close(fd);
  return got;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int sleepers;

static void sleep_so_long(unsigned seconds) {
  pthread_mutex_lock(&mutex);
  ++sleepers;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  sleep(seconds);
}

static void await_sleeper(void) {
  pthread_mutex_lock(&mutex);
  while (sleepers == 0) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void answer(int fd, const char* request) {
  const char* params = strstr(request, "\"Params\":");
  char value[4096] = "{}";
  if (params != NULL) {
    const char* end = strchr(params, '}');
    snprintf(value, sizeof(value), "%.*s", end == NULL ? 0 : (int)(end + 1 - (params + 9)), params + 9);
  }
  long asked = number(value, "\"sleep\":");
  if (asked >= 0) sleep_so_long((unsigned)asked);
  if (number(value, "\"await\":") >= 0) await_sleeper();
  asked = number(value, "\"exit\":");
  if (asked >= 0) _exit((int)asked);
  if (number(value, "\"close\":") >= 0) {
    shutdown(fd, SHUT_RDWR);
    return;
  }
  asked = number(value, "\"ask\":");
  if (asked >= 0) snprintf(value, sizeof(value), "{\"got\":%ld}", ask_gateway((int)asked));
  asked = number(value, "\"big\":");
  char body[1 << 16];
  size_t size = (size_t)snprintf(body, sizeof(body), "{\"Success\":true,\"Result\":\"");
  for (const char* c = value; *c != 0 && size < sizeof(body) - 64; ++c) {
    if (*c == '"' || *c == '\\') body[size++] = '\\';
    body[size++] = *c;
  }
  size += (size_t)snprintf(body + size, 64, "\",\"Output\":\"\"}");
  dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size + (asked > 0 ? (size_t)asked : 0));
  for (long sent = 0; sent < asked; ++sent) {
    if (write(fd, " ", 1) != 1) return;
  }
  if (write(fd, body, size) < 0) return;
}

static void* serve(void* argument) {
  const int fd = (int)(intptr_t)argument;
  char* request = malloc(kRequestMax);
  while (request != NULL && receive(fd, request) > 0) answer(fd, request);
  free(request);
  close(fd);
  return NULL;
}

int main(void) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8080)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, (struct sockaddr*)&any, sizeof(any)) != 0 || listen(listener, 16) != 0) return 1;
  while (1) {
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, (void*)(intptr_t)fd) != 0) close(fd);
  }
}
