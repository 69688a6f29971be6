#include "common/http/sockets.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 50 /* how often deadlines are looked at */
#define DESCRIPTORS_MAX                                                                            \
    8192 /* looked at: more than a service has threads and connections to stores */

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

void socket_shut_down_all(int64_t local_port, bool listening)
{
    for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
        if (is_socket(fd, local_port, listening)) {
            shutdown(fd, SHUT_RD);
        }
    }
}

static void *run(void *arg)
{
    struct socket_guard *guard = arg;

    pthread_mutex_lock(&guard->lock);
    while (!guard->stopping) {
        int64_t now_us = clock_mono_us();

        for (const struct socket_guarded *guarded = guard->guarded; guarded != NULL;
             guarded = guarded->next) {
            if (guarded->deadline_us <= now_us) {
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

void socket_guard_begin(struct socket_guard *guard, struct socket_guarded *guarded, int socket,
                        int64_t deadline_us)
{
    *guarded = (struct socket_guarded){.socket = socket, .deadline_us = deadline_us};
    pthread_mutex_lock(&guard->lock);
    guarded->next = guard->guarded;
    guarded->previous = &guard->guarded;
    if (guarded->next != NULL) {
        guarded->next->previous = &guarded->next;
    }
    guard->guarded = guarded;
    pthread_mutex_unlock(&guard->lock);
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
