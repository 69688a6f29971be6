#include "common/http/sockets.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/lifecycle.h"
#include "common/base/thread.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_AFTER_MS 500
#define LOOK_MS 50 /* how often deadlines are looked at */
/* Looked at: more than a service has threads and connections to stores. */
#define DESCRIPTORS_MAX 8192

struct socket_guard {
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t stop_cond;
    struct socket_guarded *guarded;
    bool stopping;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int port_of(const union address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static bool is_peer(int fd, const char *remote_address, int remote_port)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof(address);
    char text[NI_MAXHOST];

    return getpeername(fd, &address.any, &len) == 0 && port_of(&address) == remote_port &&
           getnameinfo(&address.any, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 &&
           strcmp(text, remote_address) == 0;
}

static bool is_socket(int fd, int64_t local_port, bool listening)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t address_len = sizeof(address);
    int accepts = 0;
    socklen_t accepts_len = sizeof(accepts);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &accepts_len) == 0 &&
           (accepts != 0) == listening && getsockname(fd, &address.any, &address_len) == 0 &&
           port_of(&address) == local_port;
}

int socket_find(int64_t local_port, const char *remote_address, int remote_port)
{
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (is_socket(fd, local_port, false) && is_peer(fd, remote_address, remote_port)) {
            return fd;
        }
    }
    return -1;
}

void socket_shut_down(int socket)
{
    if (socket >= 0) {
        shutdown(socket, SHUT_RD);
    }
}

void socket_shut_down_all(int64_t local_port, bool listening)
{
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (is_socket(fd, local_port, listening)) {
            socket_shut_down(fd);
        }
    }
}

/* 0, or the errno of the step that failed. */
static int try_to_listen(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, 0);
    int yes = 1;
    int error;

    if (fd < 0) {
        return errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* as servers do */
    error = bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, 1) != 0 ? errno : 0;
    close(fd);
    return error;
}

const char *socket_why_not_listen(const char *host, int64_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *address = NULL;
    char service[24];
    int error;

    snprintf(service, sizeof(service), "%" PRId64, port);
    if (getaddrinfo(*host == '\0' ? NULL : host, service, &hints, &address) != 0) {
        return "expected a numeric address of this machine, such as 0.0.0.0";
    }
    error = try_to_listen(address);
    freeaddrinfo(address);
    return error == 0 ? NULL : strerror(error);
}

static void *run(void *arg)
{
    struct socket_guard *guard = arg;

    pthread_mutex_lock(&guard->lock);
    while (!guard->stopping) {
        int64_t now_us = clock_mono_us();

        for (const struct socket_guarded *guarded = guard->guarded; guarded != NULL;
             guarded = guarded->next) {
            if (guarded->deadline_us <= now_us ||
                (guarded->drain_us <= now_us && lifecycle_is_draining())) {
                shutdown(guarded->socket, SHUT_RD);
            }
        }
        clock_cond_wait(&guard->stop_cond, &guard->lock, now_us + LOOK_MS * CLOCK_US_PER_MS);
    }
    pthread_mutex_unlock(&guard->lock);
    return NULL;
}

struct socket_guard *socket_guard_create(void)
{
    struct socket_guard *guard = fs_calloc(1, sizeof(*guard));

    pthread_mutex_init(&guard->lock, NULL);
    clock_cond_init(&guard->stop_cond);
    guard->thread = thread_start(run, guard);
    return guard;
}

void socket_guard_destroy(struct socket_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    pthread_mutex_lock(&guard->lock);
    guard->stopping = true;
    pthread_cond_signal(&guard->stop_cond);
    pthread_mutex_unlock(&guard->lock);
    pthread_join(guard->thread, NULL);
    pthread_cond_destroy(&guard->stop_cond);
    pthread_mutex_destroy(&guard->lock);
    free(guard);
}

static void add_guarded(struct socket_guard *guard, struct socket_guarded *guarded)
{
    pthread_mutex_lock(&guard->lock);
    guarded->next = guard->guarded;
    guarded->previous = &guard->guarded;
    if (guarded->next != NULL) {
        guarded->next->previous = &guarded->next;
    }
    guard->guarded = guarded;
    pthread_mutex_unlock(&guard->lock);
}

void socket_guard_begin(struct socket_guard *guard, struct socket_guarded *guarded, int socket,
                        int64_t deadline_us)
{
    *guarded = (struct socket_guarded){
        .socket = socket, .deadline_us = deadline_us, .drain_us = INT64_MAX};
    add_guarded(guard, guarded);
}

void socket_guard_begin_stream(struct socket_guard *guard, struct socket_guarded *guarded,
                               int socket)
{
    *guarded = (struct socket_guarded){
        .socket = socket, .deadline_us = INT64_MAX, .drain_us = clock_after_ms(DRAIN_AFTER_MS)};
    add_guarded(guard, guarded);
}

void socket_guard_end(struct socket_guard *guard, struct socket_guarded *guarded)
{
    pthread_mutex_lock(&guard->lock);
    *guarded->previous = guarded->next;
    if (guarded->next != NULL) {
        guarded->next->previous = guarded->previous;
    }
    pthread_mutex_unlock(&guard->lock);
}
