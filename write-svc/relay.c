#include "write-svc/relay.h"

#include "write-svc/relay_ledger.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_MS 100     /* between rounds of the relay that has the lock */
#define LOCK_TRY_MS 1000 /* between tries of the others */
#define BACKLOG_MS 50    /* for the backlogs between two rounds */
#define BACKLOGS_MAX 8   /* with so many, no further round begins until one is done */
#define QUERY_MS 10000   /* as long as main.c lets a statement of the relay take */
#define REDIS_S 10       /* deadline of a call of Redis; its own timeout is shorter */

static struct metric_family active_gauge = METRIC_GAUGE(
    "faststock_relay_active", "1 while this process has the relay's lock.", METRIC_NO_LABELS);
static struct metric_family age_gauge = METRIC_GAUGE(
    "faststock_relay_age_seconds",
    "Redis holds nothing older than what was committed so long ago; 0 while this relay "
    "is not active.",
    METRIC_NO_LABELS);
static struct metric_family movements_counter = METRIC_COUNTER(
    "faststock_relay_movements_total",
    "Movements that the relay compared with Redis: an older state was removed, there was none, or "
    "Redis did not answer.",
    "result");

enum series { ACTIVE, AGE, REMOVED, CURRENT, ERROR, SERIES };

static const struct metric_row series_rows[SERIES] = {
    [ACTIVE] = {&active_gauge, {NULL}},
    [AGE] = {&age_gauge, {NULL}},
    [REMOVED] = {&movements_counter, {"removed"}},
    [CURRENT] = {&movements_counter, {"current"}},
    [ERROR] = {&movements_counter, {"error"}},
};

/* Movements that are left to later, see relay.h. */
struct backlog {
    struct ledger_span span;
    int64_t whole_us; /* every commit before this moment (monotonic clock) is done */
    int64_t began_us;
    uint64_t movements; /* done so far */
};

struct relay {
    struct product_cache *cache;
    int64_t ttl_ms;
    struct ticker *ticker;
    struct metric *series[SERIES];
    _Atomic int64_t whole_us; /* as that of a backlog, of the relay; 0: not active */
    atomic_bool is_connected;

    /* of the thread alone */
    struct ledger_follower follower;
    struct relay_page page;
    bool has_lock;
    /* of the Redis that the spans are of; with an empty epoch they are of none */
    struct generation generation;
    struct ledger_span next; /* what the next round reads; it has no end */
    int64_t next_whole_us;
    struct backlog backlogs[BACKLOGS_MAX]; /* the oldest first */
    size_t backlog_count;
};

static int64_t run(void *arg);
static void update_gauges(void *arg);

struct relay *relay_create(struct pg_store *direct, struct product_cache *cache, int64_t ttl_ms)
{
    struct relay *relay = fs_calloc(1, sizeof(*relay));

    relay->follower =
        (struct ledger_follower){.name = "relay", .database = direct, .deadline_ms = QUERY_MS};
    relay->cache = cache;
    relay->ttl_ms = ttl_ms;
    metric_get_rows(series_rows, SERIES, NULL, relay->series);
    metrics_add_hook(update_gauges, relay);
    relay->ticker = ticker_create(run, relay);
    return relay;
}

static void forget_spans(struct relay *relay)
{
    ledger_span_finish(&relay->next);
    for (size_t i = 0; i < relay->backlog_count; i++) {
        ledger_span_finish(&relay->backlogs[i].span);
    }
    relay->backlog_count = 0;
}

void relay_destroy(struct relay *relay)
{
    if (relay == NULL) {
        return;
    }
    ticker_destroy(relay->ticker);
    metrics_remove_hook(update_gauges, relay);
    forget_spans(relay);
    free(relay);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void set_lock(struct relay *relay, bool has_lock)
{
    if (relay->has_lock == has_lock) {
        return;
    }
    log_info(log_msg(has_lock ? "relay: this process repairs Redis now"
                              : "relay: another process may repair Redis"));
    relay->has_lock = has_lock;
    relay->generation.epoch[0] = '\0'; /* the relay does not know what was missed until now */
    atomic_store(&relay->whole_us, has_lock ? clock_mono_us() : 0);
}

/* Takes the lock, or keeps it while there is nothing else to ask PostgreSQL for. */
static void take_lock(struct relay *relay)
{
    bool has_lock;

    if (relay_ledger_lock(&relay->follower, &has_lock)) {
        set_lock(relay, has_lock);
    }
}

static bool follow_generation(struct relay *relay);
static bool run_round(struct relay *relay);
static bool work_off_backlogs(struct relay *relay);

/* One turn; true when another should follow at once. */
static bool take_turn(struct relay *relay)
{
    if (!relay->has_lock) {
        take_lock(relay);
        return relay->has_lock;
    }
    if (!follow_generation(relay)) {
        take_lock(relay);
        return false;
    }
    if (relay->backlog_count < BACKLOGS_MAX && !run_round(relay)) {
        return false;
    }
    if (!work_off_backlogs(relay)) {
        return false;
    }
    atomic_store(&relay->whole_us,
                 relay->backlog_count > 0 ? relay->backlogs[0].whole_us : relay->next_whole_us);
    return relay->backlog_count > 0;
}

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t run(void *arg)
{
    struct relay *relay = arg;
    bool is_more = take_turn(relay);

    atomic_store(&relay->is_connected, relay->follower.is_connected);
    if (is_more) {
        return 0;
    }
    return relay->has_lock ? ROUND_MS : LOCK_TRY_MS;
}

static void update_gauges(void *arg)
{
    struct relay *relay = arg;
    int64_t whole_us = atomic_load(&relay->whole_us);
    double age_s = (double)(clock_mono_us() - whole_us) / (double)CLOCK_US_PER_S;

    metric_set(relay->series[ACTIVE], whole_us != 0 && atomic_load(&relay->is_connected));
    metric_set(relay->series[AGE], whole_us == 0 ? 0 : age_s);
}

/* --- where to begin --------------------------------------------------------------------------- */

static void add_backlog(struct relay *relay, struct ledger_span span, int64_t whole_us)
{
    assert(relay->backlog_count < BACKLOGS_MAX);
    relay->backlogs[relay->backlog_count++] =
        (struct backlog){.span = span, .whole_us = whole_us, .began_us = clock_mono_us()};
}

/* All that may still be in Redis, as a backlog; rounds begin now. Two lifetimes of an entry,
 * because a lifetime is jittered and a fill happens after its read. */
static bool begin_anew(struct relay *relay)
{
    int64_t now_us = clock_mono_us();
    struct ledger_span recent;

    if (!relay_ledger_recent(&relay->follower, relay->ttl_ms * 2, &recent)) {
        return false;
    }
    forget_spans(relay);
    ledger_span_init(&relay->next, recent.until, NULL);
    relay->next_whole_us = now_us;
    add_backlog(relay, recent, atomic_load(&relay->whole_us));
    return true;
}

/* Begins anew when Redis has another generation than the spans are of, because it was restarted,
 * promoted or emptied. Entries published until now may be under the old generation's keys, and
 * other processes may go on publishing there for a moment. */
static bool follow_generation(struct relay *relay)
{
    struct generation now;

    if (product_cache_generation(relay->cache, clock_mono_us() + REDIS_S * CLOCK_US_PER_S, &now) !=
        STATUS_OK) {
        return false;
    }
    if (!generation_equals(&now, &relay->generation) && !begin_anew(relay)) {
        return false;
    }
    relay->generation = now;
    return true;
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Makes sure that Redis holds nothing older than the movements of the page. */
static bool repair(struct relay *relay, const struct relay_page *page)
{
    size_t removed = 0;
    enum status status = STATUS_OK;

    if (page->count > 0) {
        status = product_cache_drop_older(relay->cache, page->versions, page->count,
                                          clock_mono_us() + REDIS_S * CLOCK_US_PER_S, &removed);
    }
    if (status != STATUS_OK) {
        metric_add(relay->series[ERROR], page->count);
        return false;
    }
    metric_add(relay->series[REMOVED], removed);
    metric_add(relay->series[CURRENT], page->count - removed);
    return true;
}

/* Reads the next page of a span into relay->page and repairs what it tells; the span moves on only
 * when all of that was done. On true the caller finishes the page. */
static bool do_page(struct relay *relay, struct ledger_span *span)
{
    if (!relay_ledger_read(&relay->follower, span, &relay->page)) {
        return false;
    }
    if (!relay->page.has_lock) {
        set_lock(relay, false);
    }
    if (!relay->has_lock || !repair(relay, &relay->page)) {
        relay_page_finish(&relay->page);
        return false;
    }
    span->after = relay->page.last;
    return true;
}

/* --- rounds ----------------------------------------------------------------------------------- */

/* Reads the movements that the round before did not see. Those beyond a page become a backlog. */
static bool run_round(struct relay *relay)
{
    int64_t began_us = clock_mono_us();

    if (!do_page(relay, &relay->next)) {
        return false;
    }
    if (relay->page.count == RELAY_PAGE_MAX) {
        struct ledger_span rest;

        ledger_span_init(&rest, relay->next.seen, relay->page.snapshot);
        rest.after = relay->page.last;
        add_backlog(relay, rest, relay->next_whole_us);
        relay->backlogs[relay->backlog_count - 1].movements = RELAY_PAGE_MAX;
    }
    ledger_span_move_on(&relay->next, relay->page.snapshot);
    relay->next_whole_us = began_us;
    relay_page_finish(&relay->page);
    return true;
}

/* Removes the oldest backlog, which is done. */
static void end_backlog(struct relay *relay)
{
    struct backlog *done = &relay->backlogs[0];

    assert(relay->backlog_count > 0);
    if (done->movements > RELAY_PAGE_MAX) {
        log_info(log_msg("relay: many movements are repaired"),
                 log_int("movements", (int64_t)done->movements),
                 log_int("ms", (clock_mono_us() - done->began_us) / CLOCK_US_PER_MS));
    }
    ledger_span_finish(&done->span);
    relay->backlog_count--;
    memmove(done, done + 1, relay->backlog_count * sizeof(*done));
}

/* For BACKLOG_MS, then it is time for a round. */
static bool work_off_backlogs(struct relay *relay)
{
    int64_t until_us = clock_after_ms(BACKLOG_MS);

    while (relay->backlog_count > 0 && clock_mono_us() < until_us) {
        struct backlog *oldest = &relay->backlogs[0];
        bool is_done;

        if (!do_page(relay, &oldest->span)) {
            return false;
        }
        is_done = relay->page.count < RELAY_PAGE_MAX;
        oldest->movements += relay->page.count;
        relay_page_finish(&relay->page);
        if (is_done) {
            end_backlog(relay);
        }
    }
    return true;
}
