#include "write-svc/relay.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/products/ledger.h"
#include "common/products/product_rows.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_MS 100     /* between rounds of the one that has the lock */
#define LOCK_TRY_MS 1000 /* between tries of the others */
#define QUERY_S 10       /* deadline; as long as main.c lets a statement of the relay take */

/* The lock is held by the session; taking it again is harmless. A session from which PostgreSQL has
 * heard nothing for long ends, and the lock with it: the process hangs, or its machine is gone. */
#define LOCK "pg_try_advisory_lock(hashtext('faststock.relay'))"
#define LOST_MS "5000"
#define LIMIT_SESSION                                                                              \
    "set_config('idle_session_timeout', '" LOST_MS                                                 \
    "', false), set_config('tcp_user_timeout', '" LOST_MS "', false)"

static struct metric_family active_gauge = METRIC_GAUGE(
    "faststock_relay_active", "1 while this process has the relay's lock.", METRIC_NO_LABELS);
static struct metric_family age_gauge =
    METRIC_GAUGE("faststock_relay_age_seconds",
                 "Time since this relay last had all commits in Redis; 0 while it is not active.",
                 METRIC_NO_LABELS);
static struct metric_family published_counter = METRIC_COUNTER(
    "faststock_relay_published_total",
    "States that the relay offered to Redis, by what came of it; what was there already is stored "
    "again.",
    "result");

struct relay {
    struct pg_store *direct;
    struct product_cache *cache;
    int64_t ttl_ms;
    struct ticker *ticker;
    struct metric *active;
    struct metric *age;
    struct metric *stored;
    struct metric *older;
    struct metric *failed;
    _Atomic int64_t complete_us; /* when the last complete round began; 0: not active */
    atomic_bool is_connected;

    /* of the thread alone */
    bool has_lock;
    struct product_cache_generation
        generation; /* of the Redis that `seen` is of; with an empty epoch: of none */
    char *seen; /* a snapshot: what it sees is in Redis, or was so long ago that it has expired */
    char *round_snapshot; /* of the first batch of the round under way; NULL between rounds */
    int64_t round_began_us;
    int64_t round_after_id;
};

static bool ask(struct relay *relay, const char *sql, const char *const *params, int count,
                struct pg_result **ret_result)
{
    struct pg_error error;
    enum status status = pg_query(relay->direct, sql, params, count,
                                  clock_mono_us() + QUERY_S * CLOCK_US_PER_S, ret_result, &error);

    if (status == STATUS_FAILED) {
        log_warn(log_msg("relay cannot read the ledger"), log_str("sqlstate", error.sqlstate),
                 log_str("error", error.message));
    }
    atomic_store(&relay->is_connected, status == STATUS_OK || status == STATUS_FAILED);
    return status == STATUS_OK;
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = fs_strdup(value);
}

static void set_lock(struct relay *relay, bool has_lock)
{
    if (relay->has_lock == has_lock) {
        return;
    }
    log_info(log_msg(has_lock ? "relay: this process repairs Redis now"
                              : "relay: another process may repair Redis"));
    relay->has_lock = has_lock;
    relay->generation.epoch[0] = '\0'; /* nothing is known of what is in Redis */
    atomic_store(&relay->complete_us, has_lock ? clock_mono_us() : 0);
}

/* --- where to begin --------------------------------------------------------------------------- */

/* A snapshot that sees nothing of the transactions whose states may still be in Redis, by their
 * age: twice the lifetime of an entry, as that is jittered and a fill comes after its read. The
 * newest 100,000 movements are looked at: in a lifetime with more than these, all that is older is
 * left to its expiry. */
static const char begin_sql[] =
    "SELECT xid || ':' || xid || ':' FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid"
    " UNION ALL"
    " SELECT xid FROM (SELECT xid, created_at FROM stock_movements ORDER BY xid DESC LIMIT 100000)"
    " AS recent"
    " WHERE created_at > now() - $1::bigint * interval '1 millisecond') AS candidates"
    " ORDER BY candidates.xid LIMIT 1";

static bool begin_anew(struct relay *relay)
{
    char ttl_text[24];
    const char *const params[] = {ttl_text};
    struct pg_result *result = NULL;

    snprintf(ttl_text, sizeof(ttl_text), "%" PRId64, relay->ttl_ms * 2);
    if (!ask(relay, begin_sql, params, 1, &result)) {
        return false;
    }
    set_text(&relay->seen, pg_text(result, 0, 0));
    set_text(&relay->round_snapshot, NULL);
    pg_result_free(result);
    return true;
}

static bool try_lock(struct relay *relay)
{
    struct pg_result *result = NULL;
    bool locked;

    if (!ask(relay, "SELECT " LOCK ", " LIMIT_SESSION, NULL, 0, &result)) {
        return false;
    }
    locked = strcmp(pg_text(result, 0, 0), "t") == 0;
    pg_result_free(result);
    return locked;
}

/* Keeps the session from idling out while there is nothing to do with it. */
static void keep_lock(struct relay *relay)
{
    struct pg_result *result = NULL;

    if (ask(relay, "SELECT " LOCK, NULL, 0, &result)) {
        set_lock(relay, strcmp(pg_text(result, 0, 0), "t") == 0);
        pg_result_free(result);
    }
}

/* Begins anew for a Redis that is new to this relay: it was started, or promoted, or emptied. What
 * was published until now may be where nobody looks any more, also what other processes publish
 * that learn of it a moment later. */
static bool follow_generation(struct relay *relay)
{
    struct product_cache_generation now;

    if (product_cache_generation(relay->cache, clock_mono_us() + QUERY_S * CLOCK_US_PER_S, &now) !=
        STATUS_OK) {
        return false;
    }
    if (strcmp(now.epoch, relay->generation.epoch) == 0 &&
        strcmp(now.nonce, relay->generation.nonce) == 0) {
        return true;
    }
    if (!begin_anew(relay)) {
        return false;
    }
    relay->generation = now;
    return true;
}

/* --- a round ---------------------------------------------------------------------------------- */

/* Up to a batch of products, after id $2, that changed in transactions which snapshot $1 does not
 * see: those that were under way then, and all later ones. The mark tells whether the lock is still
 * held, and the snapshot of this batch. */
#define CHANGED_IDS "SELECT product_id FROM stock_movements WHERE " LEDGER_NOT_SEEN_BY("$1")

static const char changed_sql[] =
    "SELECT " PRODUCT_ROWS_COLUMNS ", mark.has_lock, mark.snapshot"
    " FROM (SELECT " LOCK "::int AS has_lock, pg_current_snapshot()::text AS snapshot) AS mark"
    " LEFT JOIN (SELECT * FROM products WHERE id > $2::bigint AND id IN (" CHANGED_IDS ")"
    "  ORDER BY id LIMIT $3::bigint) AS product ON true ORDER BY product.id";

enum { COLUMN_HAS_LOCK = PRODUCT_ROWS_NEXT, COLUMN_SNAPSHOT };

static bool publish(struct relay *relay, const struct pg_result *result)
{
    struct product *products[PRODUCT_CACHE_BATCH_MAX];
    size_t count = 0;
    size_t stored = 0;
    enum status status = STATUS_OK;

    for (int row = 0; row < product_rows_count(result); row++) {
        products[count] = product_rows_take(result, row);
        if (products[count] != NULL) {
            count++;
        } else {
            log_error(log_msg("relay leaves out a product that cannot be shown"),
                      log_int("product", product_rows_id(result, row)));
        }
    }
    if (count > 0) {
        status = product_cache_publish(relay->cache, products, count, &relay->generation,
                                       clock_mono_us() + QUERY_S * CLOCK_US_PER_S, &stored);
    }
    for (size_t i = 0; i < count; i++) {
        product_unref(products[i]);
    }
    if (status == STATUS_OK) {
        metric_add(relay->stored, stored);
        metric_add(relay->older, count - stored);
    } else {
        metric_add(relay->failed, count);
    }
    return status == STATUS_OK;
}

/* One batch. `*ret_more` tells whether another is to follow in this round. */
static bool run_batch(struct relay *relay, bool *ret_more)
{
    char after_text[24];
    char limit_text[24];
    const char *const params[] = {relay->seen, after_text, limit_text};
    struct pg_result *result = NULL;
    bool ok;

    snprintf(after_text, sizeof(after_text), "%" PRId64, relay->round_after_id);
    snprintf(limit_text, sizeof(limit_text), "%d", PRODUCT_CACHE_BATCH_MAX);
    if (!ask(relay, changed_sql, params, 3, &result)) {
        return false;
    }
    if (pg_int(result, 0, COLUMN_HAS_LOCK) !=
        1) { /* the connection was lost, and with it the lock, and another took it */
        set_lock(relay, false);
        pg_result_free(result);
        return false;
    }
    ok = publish(relay, result);
    if (ok) {
        if (relay->round_snapshot == NULL) {
            set_text(&relay->round_snapshot, pg_text(result, 0, COLUMN_SNAPSHOT));
        }
        *ret_more = product_rows_count(result) == PRODUCT_CACHE_BATCH_MAX;
        if (*ret_more) {
            relay->round_after_id = product_rows_id(result, pg_rows(result) - 1);
        }
    }
    pg_result_free(result);
    return ok;
}

/* Publishes one batch of what changed since the last complete round; true when more of the round is
 * left. What the *first* batch's snapshot sees is done after the last one: what became visible
 * while later batches were read may belong before their ids. */
static bool continue_round(struct relay *relay)
{
    bool more = false;

    if (!follow_generation(relay)) {
        keep_lock(relay);
        return false;
    }
    if (relay->round_snapshot == NULL) {
        relay->round_began_us = clock_mono_us();
        relay->round_after_id = 0;
    }
    if (!run_batch(relay, &more) || more) {
        return more;
    }
    free(relay->seen);
    relay->seen = relay->round_snapshot;
    relay->round_snapshot = NULL;
    atomic_store(&relay->complete_us, relay->round_began_us);
    return false;
}

/* --- the thread ------------------------------------------------------------------------------- */

static int64_t tick(void *arg)
{
    struct relay *relay = arg;

    if (relay->has_lock) {
        if (continue_round(relay)) {
            return 0;
        }
    } else if (try_lock(relay)) {
        set_lock(relay, true);
    }
    return relay->has_lock ? ROUND_MS : LOCK_TRY_MS;
}

static void update_gauges(void *arg)
{
    struct relay *relay = arg;
    int64_t complete_us = atomic_load(&relay->complete_us);

    metric_set(relay->active, complete_us != 0 && atomic_load(&relay->is_connected));
    metric_set(relay->age, complete_us == 0
                               ? 0
                               : (double)(clock_mono_us() - complete_us) / (double)CLOCK_US_PER_S);
}

struct relay *relay_create(struct pg_store *direct, struct product_cache *cache, int64_t ttl_ms)
{
    struct relay *relay = fs_calloc(1, sizeof(*relay));

    relay->direct = direct;
    relay->cache = cache;
    relay->ttl_ms = ttl_ms;
    relay->active = metric_get(&active_gauge);
    relay->age = metric_get(&age_gauge);
    relay->stored = metric_get(&published_counter, "stored");
    relay->older = metric_get(&published_counter, "older");
    relay->failed = metric_get(&published_counter, "error");
    metrics_add_hook(update_gauges, relay);
    relay->ticker = ticker_create(tick, relay);
    return relay;
}

void relay_destroy(struct relay *relay)
{
    if (relay == NULL) {
        return;
    }
    ticker_destroy(relay->ticker);
    metrics_remove_hook(update_gauges, relay);
    free(relay->seen);
    free(relay->round_snapshot);
    free(relay);
}
