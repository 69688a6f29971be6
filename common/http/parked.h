/* Connections whose threads sleep while nothing comes on them.
 *
 * A connection has a thread, because the HTTP library reads and parses there. For an answer that is
 * ready in memory, waking that thread is most of the work. So a thread parks its connection when it
 * has answered: a *watcher*, one of a few threads that each wait for many sockets, looks at what
 * comes, without taking it off the socket (MSG_PEEK). A plain GET that can be answered at once
 * (quick.h) it takes, and answers. For anything else it wakes the connection's thread, which finds
 * the bytes unread and goes on as if it had waited for them itself; also for the end of the
 * connection, and for the rest of an answer that the socket has no room for.
 *
 *     thread     reads, answers  park . . . . . . . . . . . . . . . . . . reads, answers
 *     watcher                         answers  answers  wakes the thread
 *     client     GET             GET      GET       POST
 *
 * The library may have read the beginning of the next request together with the one before, and
 * does not tell. So a connection counts the bytes of its requests, and is parked only when the
 * kernel has received just as many; else nothing is known, and it is not parked. */
#ifndef FASTSTOCK_COMMON_HTTP_PARKED_H
#define FASTSTOCK_COMMON_HTTP_PARKED_H

#include "common/base/strbuf.h"
#include "common/http/quick.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parking;

/* Belongs to a connection, and while that is parked to the watcher. */
struct parked {
    int socket;                    /* of the owner; -1: not known yet */
    const char *peer;              /* of the owner, borrowed; for the log */
    _Atomic int64_t idle_since_us; /* of the owner, and each answer of a watcher sets it anew */
    atomic_bool is_parked;
    struct strbuf unsent; /* the rest of an answer, for the owner to send and to empty */
    /* private */
    uint64_t taken;   /* bytes of all its requests so far */
    bool is_unclear;  /* something came whose bytes were not counted */
    uint64_t answers; /* that watchers have given */
    unsigned pause;   /* how many answers of its thread pass until it is parked */
    unsigned pause_next;
    struct watcher *watcher;
    sem_t wake;
};

struct parking_options {
    size_t watchers; /* threads; at least 1 */
    struct quick_options quick;
    bool (*may_answer)(void *arg); /* false: each request is left to the connection's thread */
    void *arg;
    struct metric *answered; /* counts */
};

/* Starts the threads. Aborts when the system grants none. */
struct parking *parking_create(const struct parking_options *options);
/* From here on none is parked; those that are stay so until something comes. NULL is fine. */
void parking_end(struct parking *parking);
/* No connection may be parked. NULL is fine. */
void parking_destroy(struct parking *parking);

void parked_init(struct parked *parked);
void parked_finish(struct parked *parked);

/* Its thread has answered this request, whose head took so many bytes. */
void parked_count(struct parked *parked, const struct http_request *request, size_t head_bytes);

/* Is it to be parked, after an answer of its thread? Not after its first one, because many
 * connections have one request; and more and more rarely where watchers had nothing to do. */
bool parked_is_due(struct parked *parked);

/* How many bytes have come that were part of no head that was counted; UINT64_MAX: that is not
 * known. The socket must have been looked for. */
uint64_t parked_untaken(const struct parked *parked);

/* Parks the connection until its thread is needed; not at all when there may be something that only
 * the library knows of. `socket` and `peer` must be set. True: it was parked. */
bool parking_wait(struct parking *parking, struct parked *parked);

#endif
