/* The C interface of Serverledge: a Functions-as-a-Service node inside a program. docs/c-api.md has examples.
 *
 * Handles are opaque. What a function gives through a pointer to a pointer is the caller's, to be freed by
 * the
 * `_free` of its kind (strings: serverledge_string_free); every `_free` takes NULL. Strings that accessors
 * return are the handle's and live as long as it. All text is UTF-8 and ends with a zero. Times are seconds.
 *
 * A function that may fail returns a serverledge_code. On a failure it gives an error through its last
 * argument, unless that is NULL, and sets every other output to NULL or 0; on success the error is set to
 * NULL. No exception crosses this interface. NULL where something is required is SERVERLEDGE_INVALID.
 *
 * Threads: functions on a node, a queue and a submission may be called from any threads at once, except for
 * their
 * `_free`, which must be the last. Errors, reports and strings belong to one thread at a time. No
 * process-wide state is touched: no signal handler, umask, locale, environment or working directory.
 *
 * A structure begins with its size, by which later versions of the library know what the caller's has:
 * initialise it by its `_INIT`. Within an ABI version (also the SOVERSION of the library) functions, codes
 * and members at the end of structures are only added. */
#ifndef SERVERLEDGE_SERVERLEDGE_H
#define SERVERLEDGE_SERVERLEDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SERVERLEDGE_ABI_VERSION 1

/* ABI version of the library that is in use; compare it with SERVERLEDGE_ABI_VERSION. Any thread. */
int serverledge_abi_version(void);
/* Version of the library, e.g. "0.1.0". Any thread. */
const char* serverledge_version(void);

/* What became of a call of this interface. More may be added. */
typedef enum serverledge_code {
  SERVERLEDGE_OK = 0,
  SERVERLEDGE_INVALID = 1,       /* an argument is wrong; the message names it and what is expected */
  SERVERLEDGE_TOO_LARGE = 2,     /* over a limit */
  SERVERLEDGE_NOT_FOUND = 3,     /* no such function, runtime or request */
  SERVERLEDGE_EXISTS = 4,        /* there is a function of that name */
  SERVERLEDGE_UNPROCESSABLE = 5, /* this node can never do it, e.g. more memory than it has */
  SERVERLEDGE_NO_RESOURCES = 6,  /* overload; try later */
  SERVERLEDGE_DEADLINE = 7,      /* a wait ran out of time */
  SERVERLEDGE_CANCELLED = 8,     /* cancelled, or the node stops */
  SERVERLEDGE_FUNCTION_FAILED =
      9, /* not given today: a failed function is a report, see serverledge_report_failed */
  SERVERLEDGE_UNAVAILABLE = 10, /* a part that is needed is away (store, engine, address) */
  SERVERLEDGE_DISK_FULL = 11,
  SERVERLEDGE_UNSUPPORTED = 12,     /* the machine lacks a feature or a right */
  SERVERLEDGE_UNKNOWN_OUTCOME = 13, /* an offloaded call may or may not have run */
  SERVERLEDGE_INTERNAL = 14,        /* a defect, or memory is short */
  SERVERLEDGE_PENDING = 15          /* serverledge_node_poll: not finished */
} serverledge_code;

/* ---- Errors ---- */

typedef struct serverledge_error serverledge_error;
serverledge_code serverledge_error_code(const serverledge_error* error);
/* One line for people; never NULL. */
const char* serverledge_error_message(const serverledge_error* error);
/* More for a log; may be empty, never NULL. */
const char* serverledge_error_detail(const serverledge_error* error);
void serverledge_error_free(serverledge_error* error);

void serverledge_string_free(char* text);

/* ---- A node ---- */

typedef struct serverledge_node serverledge_node;

/* Opens a node in this process. `settings`: a JSON object whose keys are those of docs/configuration.md, e.g.
 * {"container.pool.memory": 2048}; NULL: none. Where they say nothing, `store.path` is ":memory:" and
 * `log.level` "warning". Environment and configuration files are not read. Takes calls when it returns, and
 * listens nowhere yet. Any thread. */
serverledge_code serverledge_node_open(const char* settings, serverledge_node** node,
                                       serverledge_error** error);
/* The same by the configuration file (YAML, TOML or JSON) of that path. */
serverledge_code serverledge_node_open_file(const char* path, serverledge_node** node,
                                            serverledge_error** error);

/* Serves the HTTP interface too, on `api.listen` and `api.port`; in a cluster joins it. Once. */
serverledge_code serverledge_node_listen(serverledge_node* node, serverledge_error** error);
/* Port that it listens on; 0 if it does not. */
int serverledge_node_port(const serverledge_node* node);

/* Refuses new calls, lets run what runs for `drain` seconds at most, ends the rest; returns when no call,
 * container or thread is left. Everything after it fails with SERVERLEDGE_CANCELLED. May be called again. */
void serverledge_node_stop(serverledge_node* node, double drain);
/* Stops it at once, if it has not been stopped, and frees it. No call may be inside. */
void serverledge_node_free(serverledge_node* node);

/* Resources and warm containers, as the JSON object that /status answers. */
serverledge_code serverledge_node_status(serverledge_node* node, char** json, serverledge_error** error);

/* ---- Functions ---- */

typedef struct serverledge_function {
  size_t size;         /* of this structure */
  const char* name;    /* 1 to 63 letters, digits, '_', '.', '-' */
  const char* runtime; /* "python310", "nodejs17", "custom", ... */
  const char* handler; /* "module.function" (Python), "module" (Node.js); NULL for an image */
  int64_t memory_mb;   /* memory limit of a container */
  double cpu_demand;   /* cores of a busy container; 0: no limit */
  int max_concurrency; /* calls at a time in one container */
  double timeout;      /* limit of a call; 0: container.timeout */
  const void* code;    /* a tar (plain or gzip), or one source file; NULL for an image */
  size_t code_size;
  const char* custom_image; /* image of the runtime "custom"; else NULL */
  const char* signature;    /* JSON {"Inputs":[{"Name":..,"Type":..}],"Outputs":[..]}; NULL: none */
} serverledge_function;
#define SERVERLEDGE_FUNCTION_INIT \
  { sizeof(serverledge_function), NULL, "python310", NULL, 128, 0, 1, 0, NULL, 0, NULL, NULL }

/* Stores a new function, after all checks; durable when it returns, if the store is. What it points to is
 * copied. */
serverledge_code serverledge_node_create(serverledge_node* node, const serverledge_function* function,
                                         serverledge_error** error);
/* Stores a function whether or not there is one of that name. */
serverledge_code serverledge_node_update(serverledge_node* node, const serverledge_function* function,
                                         serverledge_error** error);
serverledge_code serverledge_node_delete(serverledge_node* node, const char* name, serverledge_error** error);
/* The records of all functions, without their code: a JSON array, ordered by name. */
serverledge_code serverledge_node_list(serverledge_node* node, char** json, serverledge_error** error);
/* Starts up to `count` containers beforehand; `*started`, unless NULL, is how many. 0 only prepares. */
serverledge_code serverledge_node_prewarm(serverledge_node* node, const char* name, int count, int* started,
                                          serverledge_error** error);

/* ---- Calls ---- */

typedef struct serverledge_call {
  size_t size;              /* of this structure */
  const char* params;       /* a JSON object, given to the function byte for byte; NULL: {} */
  int qos_class;            /* higher goes first */
  double max_response_time; /* the call must have started within that; <= 0: no limit */
  bool can_offload;         /* another node may run it */
  bool background;          /* may wait beyond scheduler.queue.capacity, after all others */
  bool return_output;       /* capture what the function prints */
  const char* traceparent;  /* W3C trace context; NULL: none */
} serverledge_call;
#define SERVERLEDGE_CALL_INIT \
  { sizeof(serverledge_call), NULL, 0, 0, true, false, false, NULL }

/* What an executed call gave; the function may have failed. */
typedef struct serverledge_report serverledge_report;
bool serverledge_report_failed(const serverledge_report* report);
/* JSON text of what the function returned; NULL if it failed. */
const char* serverledge_report_result(const serverledge_report* report);
/* What it printed, if that was asked for; never NULL. */
const char* serverledge_report_output(const serverledge_report* report);
/* How it failed: "raised", "timeout", "memory", "crashed", "protocol", "start" or "output"; NULL if it did
 * not. */
const char* serverledge_report_failure_kind(const serverledge_report* report);
/* One line, e.g. "ZeroDivisionError: division by zero"; NULL if it did not fail. */
const char* serverledge_report_failure_message(const serverledge_report* report);
/* As its language prints it; may be empty; NULL if it did not fail. */
const char* serverledge_report_failure_traceback(const serverledge_report* report);
/* No container had to be started. */
bool serverledge_report_warm(const serverledge_report* report);
double serverledge_report_duration(const serverledge_report* report); /* of the call itself */
double serverledge_report_init_time(
    const serverledge_report* report); /* start of the container; 0 when warm */
double serverledge_report_queueing_time(const serverledge_report* report); /* wait in the queue */
double serverledge_report_response_time(const serverledge_report* report); /* arrival to answer */
/* Key of the node that ran it. */
const char* serverledge_report_node(const serverledge_report* report);
/* All of it, as the JSON object that /invoke answers. */
serverledge_code serverledge_report_json(const serverledge_report* report, char** json,
                                         serverledge_error** error);
void serverledge_report_free(serverledge_report* report);

/* Runs a function on the calling thread, and waits for its report. `call`: NULL for SERVERLEDGE_CALL_INIT.
 * SERVERLEDGE_OK also if the function failed. */
serverledge_code serverledge_node_invoke(serverledge_node* node, const char* function,
                                         const serverledge_call* call, serverledge_report** report,
                                         serverledge_error** error);

/* Accepts a call for later and gives its request id, by which its report can be polled, here or over HTTP,
 * for `async.ttl`. */
serverledge_code serverledge_node_invoke_async(serverledge_node* node, const char* function,
                                               const serverledge_call* call, char** id,
                                               serverledge_error** error);
/* The report of such a call: SERVERLEDGE_PENDING (and no error object) as long as there is none. A call that
 * could not be started has a report too, which failed as "start". */
serverledge_code serverledge_node_poll(serverledge_node* node, const char* id, serverledge_report** report,
                                       serverledge_error** error);

/* ---- Calls for programs with an event loop ---- */

/* Where calls that were submitted end: add its descriptor to the event loop, and drain when it is readable.
 */
typedef struct serverledge_queue serverledge_queue;
serverledge_code serverledge_queue_create(serverledge_queue** queue, serverledge_error** error);
/* An eventfd, readable while there is something to drain. The queue's: only poll it. */
int serverledge_queue_fd(const serverledge_queue* queue);
/* Waits up to `timeout` seconds for something to drain; whether there is something. */
bool serverledge_queue_wait(serverledge_queue* queue, double timeout);
/* Runs the callbacks of up to `most` ended calls on this thread, in the order in which they ended; how many
 * it ran. Callbacks may submit, cancel and free anything but the queue. */
size_t serverledge_queue_drain(serverledge_queue* queue, size_t most);
/* Calls that have not ended go on; their callbacks are never called. */
void serverledge_queue_free(serverledge_queue* queue);

/* Told once, by serverledge_queue_drain, what became of a call: a report, or an error (SERVERLEDGE_CANCELLED
 * if it was cancelled); the other one is NULL. They are the callback's to free. */
typedef void (*serverledge_done)(void* user_data, serverledge_report* report, serverledge_error* error);

typedef struct serverledge_submission serverledge_submission;
/* Runs a call on threads of the node (`submit.workers`), of which one that waits holds none: thousands may be
 * in flight
 * (`submit.capacity`). `done` is never called if this fails. `submission`: NULL, if it will not be cancelled.
 */
serverledge_code serverledge_node_submit(serverledge_node* node, const char* function,
                                         const serverledge_call* call, serverledge_queue* queue,
                                         serverledge_done done, void* user_data,
                                         serverledge_submission** submission, serverledge_error** error);
/* Request id. */
const char* serverledge_submission_id(const serverledge_submission* submission);
/* Ends the call with SERVERLEDGE_CANCELLED, unless it has ended: whether it did. One that waits leaves the
 * queue; one that runs goes on, and its answer is dropped. Also after the node's end. */
bool serverledge_submission_cancel(serverledge_submission* submission);
/* Cancels nothing. */
void serverledge_submission_free(serverledge_submission* submission);

#ifdef __cplusplus
}
#endif

#endif
