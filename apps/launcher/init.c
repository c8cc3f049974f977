// The instance's PID 1 and its only child that matters.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolation.h"

void sl_reset_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)sigaction(number, &action, NULL);
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void sl_init(pid_t worker) {
  sl_reset_signals();  // which for PID 1 means: the function's signals do nothing to it
  (void)prctl(PR_SET_NAME, "init", 0, 0, 0);
  close(SL_LISTENER_FD);
  for (;;) {
    int status = 0;
    pid_t ended = waitpid(-1, &status, WUNTRACED | __WALL);
    if (ended < 0 && errno == EINTR) continue;
    if (ended >= 0 && ended != worker) continue;  // an orphan; one that stopped may stay so
    struct sl_event event = {.kind = SL_ENDED, .status = status};
    if (ended == worker) sl_send_event(SL_EVENTS_FD, &event, NULL, 0);
    _exit(0);  // the kernel kills what else runs in this PID namespace
  }
}

void sl_become_worker(void) {
  (void)prctl(PR_SET_NAME, "worker", 0, 0, 0);
  close(SL_EVENTS_FD);
}
