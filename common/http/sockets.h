/* Deadlines for sockets that another library reads from.
 *
 * The HTTP library owns its sockets, does not tell them, and begins its timeouts anew with every
 * byte. So a socket is found among the process's descriptors by its peer. Once its deadline has
 * passed, a thread shuts down reading on it, which wakes the thread that reads there: bytes that
 * have arrived are still read, then the stream ends. Thread-safe. */
#ifndef FASTSTOCK_COMMON_HTTP_SOCKETS_H
#define FASTSTOCK_COMMON_HTTP_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

struct socket_guard;

/* A socket under guard. Lives with the thread that reads from it. */
struct socket_guarded {
    int socket;
    int64_t deadline_us;
    int64_t drain_us; /* when it ends in a process that drains */
    struct socket_guarded *next;
    struct socket_guarded **previous;
};

/* Starts the thread. */
struct socket_guard *socket_guard_create(void);
/* Nothing may be under guard. NULL is fine. */
void socket_guard_destroy(struct socket_guard *guard);

/* From here to socket_guard_end the socket (-1: none) stays open. */
void socket_guard_begin(struct socket_guard *guard, struct socket_guarded *guarded, int socket,
                        int64_t deadline_us);
/* The same without a deadline, but for a process that drains: then it is shut down when nothing has
 * come for half a second. (A socket on which bytes come is better left to a reader that looks
 * whether the process drains, because a client that is cut off while it sends loses the answer.) */
void socket_guard_begin_stream(struct socket_guard *guard, struct socket_guarded *guarded,
                               int socket);
void socket_guard_end(struct socket_guard *guard, struct socket_guarded *guarded);

/* The socket of this process that is connected to this peer, a numeric address, or -1. */
int socket_find(int64_t local_port, const char *remote_address, int remote_port);

/* Shuts down reading on a socket (-1: none), which wakes the thread that reads from it. */
void socket_shut_down(int socket);

/* The same for all sockets with this local port, the listening or the connected ones. Threads that
 * wait in accept or recv there wake up, and a port that nobody listens on refuses connections. */
void socket_shut_down_all(int64_t local_port, bool listening);

/* Tries to listen at this address. NULL when that works, else the system's message; a literal, or
 * valid until the thread's next call of strerror. */
const char *socket_why_not_listen(const char *host, int64_t port);

#endif
