#include "common/http/parked.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define PEEK_BYTES 8192 /* several plain heads */
#define PAUSE_FIRST 1
#define PAUSE_MAX 63

struct watcher {
    struct parking *parking;
    pthread_t thread;
    int epoll;
    int end; /* readable: the thread is to end */
    struct quick quick;
    char bytes[PEEK_BYTES];
};

struct parking {
    struct parking_options options;
    atomic_bool is_ending;
    atomic_size_t turn; /* which watcher gets the next connection */
    size_t count;
    struct watcher *watchers[];
};

/* --- watchers --------------------------------------------------------------------------------- */

/* After this the connection belongs to its thread again. */
static void wake(struct watcher *watcher, struct parked *parked)
{
    epoll_ctl(watcher->epoll, EPOLL_CTL_DEL, parked->socket, NULL);
    sem_post(&parked->wake);
}

/* Sends as much as there is room for. False when something is left, or the connection is broken,
 * which its thread will see. */
static bool send_answer(const struct watcher *watcher, struct parked *parked)
{
    const struct strbuf *out = &watcher->quick.out;
    ssize_t sent = send(parked->socket, out->text, out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t done = sent < 0 ? 0 : (size_t)sent;

    if (done == out->len) {
        return true;
    }
    strbuf_add(&parked->unsent, out->text + done, out->len - done);
    return false;
}

/* Takes the first request off the socket, of which it has been peeked at. */
static void take(struct parked *parked, char *bytes, size_t len)
{
    /* MSG_TRUNC: they are not copied again */
    ssize_t taken = recv(parked->socket, bytes, len, MSG_TRUNC | MSG_DONTWAIT);

    parked->is_unclear = parked->is_unclear || taken != (ssize_t)len;
    parked->taken += len;
    parked->answers++;
}

/* Answers the requests that have come. False when the thread is needed. */
static bool answer_all(struct watcher *watcher, struct parked *parked)
{
    const struct parking_options *options = &watcher->parking->options;
    ssize_t got =
        recv(parked->socket, watcher->bytes, sizeof(watcher->bytes), MSG_PEEK | MSG_DONTWAIT);
    char *bytes = watcher->bytes;
    char *end = bytes + got;

    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    while (bytes < end) {
        size_t len = options->may_answer(options->arg)
                         ? quick_answer(&watcher->quick, bytes, (size_t)(end - bytes))
                         : 0;
        bool is_sent;

        if (len == 0) {
            return false;
        }
        is_sent = send_answer(watcher, parked);
        take(parked, bytes, len);
        bytes += len;
        quick_note(&watcher->quick, parked->peer, is_sent);
        metric_add(options->answered, 1);
        atomic_store_explicit(&parked->idle_since_us, clock_mono_us(), memory_order_relaxed);
        if (!is_sent) {
            return false;
        }
    }
    return (size_t)got < sizeof(watcher->bytes);
}

static void *watch(void *arg)
{
    struct watcher *watcher = arg;
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count = epoll_wait(watcher->epoll, events, EVENTS_MAX, -1);

        for (int i = 0; i < count; i++) {
            struct parked *parked = events[i].data.ptr;

            if (parked == NULL) {
                return NULL;
            }
            /* what comes next would be told once only, so the end is not passed over */
            if (!answer_all(watcher, parked) || (events[i].events & ~(uint32_t)EPOLLIN) != 0) {
                wake(watcher, parked);
            }
        }
    }
}

static struct watcher *start_watcher(struct parking *parking)
{
    struct watcher *watcher = fs_calloc_aligned(FS_CACHE_LINE, sizeof(*watcher));
    struct epoll_event event = {.events = EPOLLIN};

    watcher->parking = parking;
    watcher->quick.options = &parking->options.quick;
    watcher->epoll = epoll_create1(EPOLL_CLOEXEC);
    watcher->end = eventfd(0, EFD_CLOEXEC);
    if (watcher->epoll < 0 || watcher->end < 0 ||
        epoll_ctl(watcher->epoll, EPOLL_CTL_ADD, watcher->end, &event) != 0) {
        log_error(log_msg("cannot watch connections"), log_str("error", strerror(errno)));
        abort(); /* as without a thread */
    }
    watcher->thread = thread_start(watch, watcher);
    return watcher;
}

static void stop_watcher(struct watcher *watcher)
{
    eventfd_write(watcher->end, 1);
    pthread_join(watcher->thread, NULL);
    close(watcher->end);
    close(watcher->epoll);
    quick_finish(&watcher->quick);
    free(watcher);
}

struct parking *parking_create(const struct parking_options *options)
{
    struct parking *parking =
        fs_calloc(1, sizeof(*parking) + options->watchers * sizeof(*parking->watchers));

    assert(options->watchers > 0);
    parking->options = *options;
    parking->count = options->watchers;
    for (size_t i = 0; i < parking->count; i++) {
        parking->watchers[i] = start_watcher(parking);
    }
    return parking;
}

void parking_end(struct parking *parking)
{
    if (parking != NULL) {
        atomic_store(&parking->is_ending, true);
    }
}

void parking_destroy(struct parking *parking)
{
    if (parking == NULL) {
        return;
    }
    for (size_t i = 0; i < parking->count; i++) {
        stop_watcher(parking->watchers[i]);
    }
    free(parking);
}

/* --- connections ------------------------------------------------------------------------------ */

void parked_init(struct parked *parked)
{
    *parked = (struct parked){.socket = -1, .pause = PAUSE_FIRST};
    sem_init(&parked->wake, 0, 0);
}

void parked_finish(struct parked *parked)
{
    strbuf_finish(&parked->unsent);
    sem_destroy(&parked->wake);
}

void parked_count(struct parked *parked, const struct http_request *request, size_t head_bytes)
{
    parked->taken += head_bytes;
    parked->is_unclear = parked->is_unclear ||
                         http_header_count(request, HTTP_CONTENT_LENGTH) > 0 ||
                         http_header_count(request, HTTP_TRANSFER_ENCODING) > 0;
}

bool parked_is_due(struct parked *parked)
{
    if (parked->pause > 0) {
        parked->pause--;
        return false;
    }
    return true;
}

/* After a time in which watchers have given so many answers. */
static void set_pause(struct parked *parked, uint64_t answers)
{
    if (answers > 0) {
        parked->pause_next = 0;
    } else {
        parked->pause = parked->pause_next;
        parked->pause_next =
            parked->pause_next < PAUSE_MAX ? parked->pause_next * 2 + 1 : PAUSE_MAX;
    }
}

uint64_t parked_untaken(const struct parked *parked)
{
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t len = sizeof(info);

    if (getsockopt(parked->socket, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_received) + 8) {
        return UINT64_MAX;
    }
    return info.tcpi_bytes_received - parked->taken;
}

/* Has every byte that came been part of a request that was answered? */
static bool is_all_taken(const struct parked *parked)
{
    return !parked->is_unclear && parked_untaken(parked) == 0;
}

/* True: it was parked, and is not any more. */
static bool park(struct parked *parked)
{
    /* told once when something comes, because a watcher then takes it, or wakes the thread */
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = parked};
    uint64_t answers = parked->answers;

    if (epoll_ctl(parked->watcher->epoll, EPOLL_CTL_ADD, parked->socket, &event) != 0) {
        return false;
    }
    while (sem_wait(&parked->wake) != 0) {
    }
    set_pause(parked, parked->answers - answers);
    return true;
}

bool parking_wait(struct parking *parking, struct parked *parked)
{
    bool was_parked;

    if (!is_all_taken(parked)) {
        return false;
    }
    if (parked->watcher == NULL) {
        parked->watcher = parking->watchers[atomic_fetch_add(&parking->turn, 1) % parking->count];
    }
    atomic_store(&parked->is_parked, true); /* before it is asked whether the end has come */
    was_parked = !atomic_load(&parking->is_ending) && park(parked);
    atomic_store(&parked->is_parked, false);
    return was_parked;
}
