/* A C program with a node inside: registers a function, calls it, and then lets 100 calls fly from an event
 * loop.
 *
 *   cc -std=c11 example.c $(pkg-config --cflags --libs serverledge-c) -o example && ./example */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serverledge/serverledge.h"

static const char* const kSource =
    "def handler(params, context):\n"
    "    return 100 // params.get('divisor', 1)\n";

/* Ends the program if that failed, saying why. */
static void must(serverledge_code code, serverledge_error* error, const char* what) {
  if (code == SERVERLEDGE_OK) return;
  fprintf(stderr, "%s: %s (%d)\n", what, serverledge_error_message(error), (int)code);
  exit(1);
}

static void create(serverledge_node* node) {
  serverledge_error* error = NULL;
  serverledge_function function = SERVERLEDGE_FUNCTION_INIT;
  function.name = "divide";
  function.handler = "divide.handler";
  function.memory_mb = 64;
  function.code = kSource;
  function.code_size = strlen(kSource);
  must(serverledge_node_create(node, &function, &error), error, "create");

  /* A failure is a value; this one is expected. */
  if (serverledge_node_create(node, &function, &error) != SERVERLEDGE_EXISTS) exit(1);
  printf("again: %s\n", serverledge_error_message(error));
  serverledge_error_free(error);
}

static void invoke(serverledge_node* node, const char* params) {
  serverledge_error* error = NULL;
  serverledge_report* report = NULL;
  serverledge_call call = SERVERLEDGE_CALL_INIT;
  call.params = params;
  must(serverledge_node_invoke(node, "divide", &call, &report, &error), error, "invoke");
  if (serverledge_report_failed(report)) {
    printf("%s failed: %s\n", params, serverledge_report_failure_message(report));
  } else {
    printf("%s gives %s\n", params, serverledge_report_result(report));
  }
  serverledge_report_free(report);
}

struct tally {
  int ended, succeeded;
};

static void done(void* user_data, serverledge_report* report, serverledge_error* error) {
  struct tally* tally = user_data;
  ++tally->ended;
  if (report != NULL && !serverledge_report_failed(report)) ++tally->succeeded;
  serverledge_report_free(report);
  serverledge_error_free(error);
}

static void fly(serverledge_node* node) {
  serverledge_error* error = NULL;
  serverledge_queue* queue = NULL;
  must(serverledge_queue_create(&queue, &error), error, "queue");

  serverledge_call call = SERVERLEDGE_CALL_INIT;
  call.background = true; /* may wait for a container as long as it takes */
  struct tally tally = {0, 0};
  for (int i = 0; i < 100; ++i) {
    must(serverledge_node_submit(node, "divide", &call, queue, done, &tally, NULL, &error), error, "submit");
  }

  /* An event loop would have more descriptors here. */
  struct pollfd ready = {.fd = serverledge_queue_fd(queue), .events = POLLIN, .revents = 0};
  while (tally.ended < 100 && poll(&ready, 1, 60000) == 1) {
    serverledge_queue_drain(queue, 16);
  }
  printf("%d of 100 submitted calls succeeded\n", tally.succeeded);
  serverledge_queue_free(queue);
}

int main(void) {
  if (serverledge_abi_version() != SERVERLEDGE_ABI_VERSION) return 1;
  serverledge_error* error = NULL;
  serverledge_node* node = NULL;
  must(serverledge_node_open("{\"container.pool.memory\": 256}", &node, &error), error, "open");

  create(node);
  invoke(node, "{\"divisor\": 7}");
  invoke(node, "{\"divisor\": 0}");
  fly(node);

  serverledge_node_stop(node, 5);
  serverledge_node_free(node);
  return 0;
}
