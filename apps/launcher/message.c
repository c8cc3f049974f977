// Requests and events over the sockets of launch_protocol.h.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "isolation.h"

_Static_assert(sizeof(struct sl_request) == 384, "zygote.py has this number too");

union control_buffer {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(SL_MAX_FDS * sizeof(int))];
};

static int take_fds(struct msghdr* message, struct sl_task* task) {
  int count = 0;
  for (struct cmsghdr* c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < got && count < SL_MAX_FDS; ++i) {
      memcpy(&task->fds[count++], CMSG_DATA(c) + (i * sizeof(int)), sizeof(int));
    }
  }
  return count;
}

// The words of a request are used in paths and loops: nothing is taken on trust that costs nothing to check.
static int is_valid(const struct sl_task* task, ssize_t size, int fds) {
  const struct sl_request* r = &task->request;
  if (size != (ssize_t)sizeof(*r) || r->protocol != SL_PROTOCOL || fds < 2) return 0;
  if (r->cgroup_count > SL_MAX_FDS - 2U || (int)r->cgroup_count + 2 > fds) return 0;
  if (memchr(r->code, 0, sizeof(r->code)) == NULL || memchr(r->program, 0, sizeof(r->program)) == NULL)
    return 0;
  return r->code[0] != '.' && strchr(r->code, '/') == NULL;
}

int sl_receive(int control, struct sl_task* task) {
  union control_buffer buffer;
  memset(task, 0, sizeof(*task));
  for (int i = 0; i < SL_MAX_FDS; ++i) task->fds[i] = -1;
  struct iovec data = {&task->request, sizeof(task->request)};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &buffer, .msg_controllen = sizeof(buffer)};
  ssize_t size;
  do {
    size = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return -1;
  if (size == 0 && message.msg_controllen == 0) return 0;
  int fds = take_fds(&message, task);
  if (is_valid(task, size, fds)) return 1;
  if (task->fds[0] >= 0) {
    errno = EPROTO;
    sl_send_failure(task->fds[0], SL_STEP_PROTOCOL, "");
  }
  sl_close(task);
  errno = EPROTO;
  return -1;
}

void sl_close(struct sl_task* task) {
  for (int i = 0; i < SL_MAX_FDS; ++i) {
    if (task->fds[i] >= 0) close(task->fds[i]);
    task->fds[i] = -1;
  }
}

int sl_send_event(int events, const struct sl_event* event, const int* fds, int count) {
  union control_buffer buffer;
  struct sl_event copy = *event;
  copy.protocol = SL_PROTOCOL;
  struct iovec data = {&copy, sizeof(copy)};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    memset(&buffer, 0, sizeof(buffer));
    message.msg_control = &buffer;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(events, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

static void send_plain(int events, enum sl_event_kind kind, int step, int error, const char* detail) {
  struct sl_event event = {.kind = kind, .step = (uint32_t)step, .error = error};
  strncpy(event.detail, detail, sizeof(event.detail) - 1);
  sl_send_event(events, &event, NULL, 0);
}

void sl_send_failure(int events, int step, const char* detail) {
  send_plain(events, SL_FAILED, step, errno, detail);
}

void sl_send_ready(int events, const char* detail) { send_plain(events, SL_READY, SL_STEP_NONE, 0, detail); }
