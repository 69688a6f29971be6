#include "read-svc/catalog.h"

#include "read-svc/id_list.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/products/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_CHUNK "50000"
#define CHANGES_MAX 10000 /* more changes than that in a round: load anew */
#define CHANGES_LIMIT "10001"
#define CHANGES_IN_PLACE_MAX 8
#define RELOAD_EVERY_S 10 /* at most that often */
#define QUERY_S                                                                                    \
    30 /* deadline of a round; the store's own timeout for a statement is usually shorter */

static struct metric_family products_gauge = METRIC_GAUGE(
    "faststock_catalog_products", "Products in the catalogue held in memory.", METRIC_NO_LABELS);
static struct metric_family age_gauge =
    METRIC_GAUGE("faststock_catalog_age_seconds",
                 "Time since the catalogue was last known to be up to date.", METRIC_NO_LABELS);

struct catalog {
    struct pg_store *database;
    int64_t refresh_ms;
    int64_t products_max;
    struct ticker *ticker;
    struct metric *products;
    struct metric *age;
    int64_t loaded_at_us;   /* of the thread alone */
    char *seen;             /* of the thread alone: a snapshot, what it sees is in the ids */
    atomic_bool has_shrunk; /* since it was found too large */

    pthread_rwlock_t lock; /* guards the rest */
    struct id_list ids;
    bool is_loaded;
    bool is_too_large;
    int64_t as_of_us; /* every change before it (monotonic) is in the ids; 0: not loaded */
};

/* --- following -------------------------------------------------------------------------------- */

/* Row 0 is the snapshot, the rest are changes, creations first: a product that was created and
 * deleted stays deleted. */
static const char round_sql[] =
    "SELECT 0::bigint AS product_id, '' AS kind, pg_current_snapshot()::text AS snapshot"
    " UNION ALL"
    " (SELECT product_id, kind, NULL FROM stock_movements"
    "  WHERE " LEDGER_NOT_SEEN_BY("$1") " AND kind IN ('created', 'deleted') LIMIT " CHANGES_LIMIT
                                        ")"
                                        " ORDER BY 2, 1";

/* A snapshot that sees everything: no changes, just the snapshot of now. */
static const char sees_all[] = "9223372036854775807:9223372036854775807:";

static bool ask_round(struct catalog *catalog, const char *seen, struct pg_result **ret_result)
{
    struct pg_error error;
    const char *const params[] = {seen};
    enum status status = pg_query(catalog->database, round_sql, params, 1,
                                  clock_mono_us() + QUERY_S * CLOCK_US_PER_S, ret_result, &error);

    if (status == STATUS_FAILED) {
        log_warn(log_msg("catalogue cannot be read"), log_str("sqlstate", error.sqlstate),
                 log_str("error", error.message));
    }
    return status == STATUS_OK;
}

static void take_snapshot(struct catalog *catalog, const struct pg_result *result, int64_t sent_us)
{
    free(catalog->seen);
    catalog->seen = fs_strdup(pg_text(result, 0, 2));
    pthread_rwlock_wrlock(&catalog->lock);
    catalog->as_of_us = sent_us;
    pthread_rwlock_unlock(&catalog->lock);
}

/* Takes over `ids`. Readers do not wait for it to be made, only for the exchange. */
static void install(struct catalog *catalog, struct id_list ids, bool is_too_large)
{
    struct id_list former;

    pthread_rwlock_wrlock(&catalog->lock);
    former = catalog->ids;
    catalog->ids = ids;
    catalog->is_loaded = true;
    catalog->is_too_large = is_too_large;
    atomic_store(&catalog->has_shrunk, false);
    pthread_rwlock_unlock(&catalog->lock);
    id_list_finish(&former);
}

static bool is_creation(const struct pg_result *result, int row)
{
    return strcmp(pg_text(result, row, 1), "created") == 0;
}

static void apply_in_place(struct catalog *catalog, const struct pg_result *result)
{
    pthread_rwlock_wrlock(&catalog->lock);
    for (int row = 1; row < pg_rows(result); row++) {
        if (is_creation(result, row)) {
            id_list_insert(&catalog->ids, pg_int(result, row, 0));
        } else {
            id_list_remove(&catalog->ids, pg_int(result, row, 0));
        }
    }
    pthread_rwlock_unlock(&catalog->lock);
}

/* The ids are read without the lock, because only this thread changes them. */
static void apply_merged(struct catalog *catalog, const struct pg_result *result)
{
    size_t count = (size_t)pg_rows(result) - 1;
    int64_t *changed = fs_calloc(count, sizeof(*changed));
    size_t created = 0;
    struct id_list merged;

    for (size_t i = 0; i < count; i++) {
        changed[i] = pg_int(result, (int)i + 1, 0);
        created += is_creation(result, (int)i + 1); /* these come first */
    }
    id_list_merge(&catalog->ids, (struct id_span){changed, created},
                  (struct id_span){changed + created, count - created}, &merged);
    free(changed);
    install(catalog, merged, false);
}

/* A few changes are made in place while readers wait; for many, the list is made anew beside it. */
static void apply_changes(struct catalog *catalog, const struct pg_result *result)
{
    if (pg_rows(result) - 1 <= CHANGES_IN_PLACE_MAX) {
        apply_in_place(catalog, result);
    } else {
        apply_merged(catalog, result);
    }
}

/* From now on pages come from PostgreSQL, until one of them tells that the catalogue has shrunk. */
static void give_up_if_too_large(struct catalog *catalog)
{
    if ((int64_t)catalog->ids.count > catalog->products_max) { /* only this thread changes it */
        log_warn(
            log_msg("the catalogue has outgrown catalog.products_max: it is paged in PostgreSQL"));
        install(catalog, (struct id_list)ID_LIST_EMPTY, true);
    }
}

/* Appends the next chunk of ids to `loaded`; *ret_rows tells how many. */
static bool load_chunk(struct catalog *catalog, struct id_list *loaded, int *ret_rows)
{
    int64_t last = loaded->count > 0 ? loaded->ids[loaded->count - 1] : 0;
    char last_text[24];
    const char *const params[] = {last_text};
    struct pg_result *result = NULL;
    struct pg_error error;

    snprintf(last_text, sizeof(last_text), "%" PRId64, last);
    if (pg_query(catalog->database,
                 "SELECT id FROM products WHERE deleted_at IS NULL AND id > $1::bigint"
                 " ORDER BY id LIMIT " LOAD_CHUNK,
                 params, 1, clock_mono_us() + QUERY_S * CLOCK_US_PER_S, &result,
                 &error) != STATUS_OK) {
        return false;
    }
    *ret_rows = pg_rows(result);
    for (int row = 0; row < *ret_rows; row++) {
        id_list_insert(loaded, pg_int(result, row, 0)); /* at the end */
    }
    pg_result_free(result);
    return true;
}

/* All ids, in chunks; false when PostgreSQL did not answer. */
static bool load_ids(struct catalog *catalog, struct id_list *ret_ids, bool *ret_is_too_large)
{
    struct id_list loaded = ID_LIST_EMPTY;
    bool is_too_large = false;
    int rows = 1;

    while (rows > 0 && !is_too_large) {
        if (!load_chunk(catalog, &loaded, &rows)) {
            id_list_finish(&loaded);
            return false;
        }
        is_too_large = (int64_t)loaded.count > catalog->products_max;
    }
    if (is_too_large) {
        id_list_finish(&loaded);
    }
    *ret_ids = loaded;
    *ret_is_too_large = is_too_large;
    return true;
}

/* The whole catalogue. The snapshot is taken first, so that the rounds that follow see whatever
 * changes meanwhile. */
static bool load(struct catalog *catalog)
{
    struct id_list ids;
    struct pg_result *result = NULL;
    int64_t sent_us = clock_mono_us();
    bool is_too_large;

    if (!ask_round(catalog, sees_all, &result)) {
        return false;
    }
    if (!load_ids(catalog, &ids, &is_too_large)) {
        pg_result_free(result);
        return false;
    }
    log_info(log_msg("catalogue loaded"), log_int("products", (int64_t)ids.count),
             log_str("kept_in", is_too_large ? "postgres" : "memory"));
    install(catalog, ids, is_too_large);
    take_snapshot(catalog, result, sent_us);
    pg_result_free(result);
    catalog->loaded_at_us = clock_mono_us();
    return true;
}

static void follow(struct catalog *catalog)
{
    struct pg_result *result = NULL;
    int64_t sent_us = clock_mono_us();
    bool reload;

    if (!ask_round(catalog, catalog->is_too_large ? sees_all : catalog->seen, &result)) {
        return;
    }
    reload = pg_rows(result) - 1 > CHANGES_MAX;
    if (!reload) {
        apply_changes(catalog, result);
        give_up_if_too_large(catalog);
        take_snapshot(catalog, result, sent_us);
    }
    pg_result_free(result);
    reload = reload || (catalog->is_too_large && atomic_load(&catalog->has_shrunk));
    if (reload && clock_mono_us() - catalog->loaded_at_us >= RELOAD_EVERY_S * CLOCK_US_PER_S) {
        load(catalog);
    }
}

static int64_t run_round(void *arg)
{
    struct catalog *catalog = arg;

    if (catalog->loaded_at_us == 0) {
        load(catalog);
    } else {
        follow(catalog);
    }
    return catalog->refresh_ms;
}

static void update_gauges(void *arg)
{
    struct catalog *catalog = arg;

    pthread_rwlock_rdlock(&catalog->lock);
    metric_set(catalog->products, (double)catalog->ids.count);
    metric_set(catalog->age,
               catalog->as_of_us == 0
                   ? 0
                   : (double)(clock_mono_us() - catalog->as_of_us) / (double)CLOCK_US_PER_S);
    pthread_rwlock_unlock(&catalog->lock);
}

struct catalog *catalog_create(struct pg_store *database, int64_t refresh_ms, int64_t products_max)
{
    struct catalog *catalog = fs_calloc(1, sizeof(*catalog));

    catalog->database = database;
    catalog->refresh_ms = refresh_ms;
    catalog->products_max = products_max;
    catalog->products = metric_get(&products_gauge);
    catalog->age = metric_get(&age_gauge);
    pthread_rwlock_init(&catalog->lock, NULL);
    metrics_add_hook(update_gauges, catalog);
    catalog->ticker = ticker_create(run_round, catalog);
    return catalog;
}

void catalog_destroy(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    ticker_destroy(catalog->ticker);
    metrics_remove_hook(update_gauges, catalog);
    pthread_rwlock_destroy(&catalog->lock);
    id_list_finish(&catalog->ids);
    free(catalog->seen);
    free(catalog);
}

/* --- pages ------------------------------------------------------------------------------------ */

static void copy_slice(const struct catalog *catalog, size_t start, size_t limit,
                       struct catalog_page *page)
{
    page->count = id_list_slice(&catalog->ids, start, limit, page->ids);
    page->more = start < catalog->ids.count && catalog->ids.count - start > limit;
    page->total = (int64_t)catalog->ids.count;
}

/* A page straight from PostgreSQL; each row is an id and the total. Asks for one id more than
 * wanted, to know of more. */
static enum status page_from_database(struct catalog *catalog, const char *sql, int64_t start,
                                      size_t limit, int64_t deadline_us, struct catalog_page *page)
{
    char start_text[24];
    char limit_text[24];
    const char *const params[] = {start_text, limit_text};
    struct pg_result *result = NULL;
    struct pg_error error;
    enum status status;

    snprintf(start_text, sizeof(start_text), "%" PRId64, start);
    snprintf(limit_text, sizeof(limit_text), "%zu", limit + 1);
    status = pg_query(catalog->database, sql, params, 2, deadline_us, &result, &error);
    if (status != STATUS_OK) {
        return status;
    }
    page->count = 0;
    page->total = pg_int(result, 0, 1); /* row 0 is the total */
    page->more = pg_rows(result) - 1 > (int)limit;
    for (int row = 1; row < pg_rows(result) && page->count < limit; row++) {
        page->ids[page->count++] = pg_int(result, row, 0);
    }
    pg_result_free(result);
    return STATUS_OK;
}

/* True when the ids are in memory; they stay as they are until the caller unlocks. */
static bool lock_ids(struct catalog *catalog)
{
    pthread_rwlock_rdlock(&catalog->lock);
    if (catalog->is_loaded && !catalog->is_too_large) {
        return true;
    }
    pthread_rwlock_unlock(&catalog->lock);
    return false;
}

enum status catalog_page(struct catalog *catalog, int64_t offset, size_t limit, int64_t deadline_us,
                         struct catalog_page *ret_page)
{
    assert(limit <= CATALOG_PAGE_MAX);
    if (!lock_ids(catalog)) {
        enum status status = page_from_database(
            catalog,
            "SELECT 0::bigint AS id, count(*) FROM products WHERE deleted_at IS NULL"
            " UNION ALL (SELECT id, 0 FROM products WHERE deleted_at IS NULL"
            " ORDER BY id OFFSET $1::bigint LIMIT $2::bigint) ORDER BY id",
            offset, limit, deadline_us, ret_page);

        if (status == STATUS_OK && ret_page->total < catalog->products_max / 10 * 9) {
            atomic_store(&catalog->has_shrunk, true);
        }
        return status;
    }
    copy_slice(catalog, (size_t)offset, limit, ret_page);
    pthread_rwlock_unlock(&catalog->lock);
    return STATUS_OK;
}

enum status catalog_after(struct catalog *catalog, int64_t after, size_t limit, int64_t deadline_us,
                          struct catalog_page *ret_page)
{
    assert(limit <= CATALOG_PAGE_MAX);
    if (!lock_ids(catalog)) {
        return page_from_database(
            catalog,
            "SELECT 0::bigint AS id, 0::bigint UNION ALL"
            " (SELECT id, 0 FROM products WHERE deleted_at IS NULL AND id > $1::bigint"
            " ORDER BY id LIMIT $2::bigint) ORDER BY id",
            after, limit, deadline_us, ret_page);
    }
    copy_slice(catalog, id_list_after(&catalog->ids, after), limit, ret_page);
    pthread_rwlock_unlock(&catalog->lock);
    return STATUS_OK;
}

bool catalog_is_loaded(struct catalog *catalog)
{
    bool is_loaded;

    pthread_rwlock_rdlock(&catalog->lock);
    is_loaded = catalog->is_loaded;
    pthread_rwlock_unlock(&catalog->lock);
    return is_loaded;
}
