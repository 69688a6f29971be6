#include "read-svc/catalog.h"

#include "read-svc/id_list.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/ticker.h"
#include "common/products/ledger.h"
#include "common/products/ledger_follower.h"
#include "common/stores/pg_params.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_CHUNK "50000" /* ids in one statement */
#define CHANGES_MAX 10000  /* more changes than that in a round: load anew */
#define CHANGES_LIMIT "10001"
#define CHANGES_IN_PLACE_MAX 8
#define RELOAD_EVERY_S 10  /* at most that often */
#define BEHIND_MAX_S 43200 /* PostgreSQL was away for so long: load anew */
#define HINT_PAUSE_MS 20   /* between rounds that only hints ask for: they are shared by many */
#define QUERY_MS 30000 /* deadline; the store's own timeout for a statement is usually shorter */

static struct metric_family products_gauge = METRIC_GAUGE(
    "faststock_catalog_products", "Products in the catalogue held in memory.", METRIC_NO_LABELS);
static struct metric_family age_gauge =
    METRIC_GAUGE("faststock_catalog_age_seconds",
                 "Time since the catalogue was last known to be up to date.", METRIC_NO_LABELS);

enum { PRODUCTS, AGE, SERIES };

static const struct metric_row series_rows[SERIES] = {
    [PRODUCTS] = {&products_gauge, {NULL}},
    [AGE] = {&age_gauge, {NULL}},
};

struct catalog {
    struct pg_store *database;
    int64_t refresh_ms;
    int64_t products_max;
    struct ticker *ticker;
    struct metric *series[SERIES];
    atomic_bool has_shrunk; /* since it was found too large */
    atomic_bool is_to_load; /* anew */
    atomic_int waiting;     /* requests, for a round */

    /* of the thread alone */
    struct ledger_follower follower;
    struct ledger_span next; /* what the next round reads; none before the first load */
    int64_t loaded_at_us;
    int64_t round_at_us;

    pthread_mutex_t moved_lock;
    pthread_cond_t moved; /* as_of_us has */

    pthread_rwlock_t lock; /* guards the rest; only the thread changes it */
    struct id_list ids;
    bool is_loaded;
    bool is_too_large;
    int64_t as_of_us; /* every change before it (monotonic) is in the ids; 0: not loaded */
};

static int64_t run_round(void *arg);
static void update_gauges(void *arg);

struct catalog *catalog_create(struct pg_store *database, int64_t refresh_ms, int64_t products_max)
{
    struct catalog *catalog = fs_calloc(1, sizeof(*catalog));

    catalog->database = database;
    catalog->refresh_ms = refresh_ms;
    catalog->products_max = products_max;
    catalog->follower = (struct ledger_follower){
        .name = "catalogue", .database = database, .deadline_ms = QUERY_MS};
    metric_get_rows(series_rows, SERIES, NULL, catalog->series);
    pthread_rwlock_init(&catalog->lock, NULL);
    pthread_mutex_init(&catalog->moved_lock, NULL);
    clock_cond_init(&catalog->moved);
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
    pthread_cond_destroy(&catalog->moved);
    pthread_mutex_destroy(&catalog->moved_lock);
    id_list_finish(&catalog->ids);
    ledger_span_finish(&catalog->next);
    free(catalog);
}

static void update_gauges(void *arg)
{
    struct catalog *catalog = arg;
    double age_s = 0;

    pthread_rwlock_rdlock(&catalog->lock);
    metric_set(catalog->series[PRODUCTS], (double)catalog->ids.count);
    if (catalog->as_of_us != 0) {
        age_s = (double)(clock_mono_us() - catalog->as_of_us) / (double)CLOCK_US_PER_S;
    }
    metric_set(catalog->series[AGE], age_s);
    pthread_rwlock_unlock(&catalog->lock);
}

/* --- the ids ---------------------------------------------------------------------------------- */

/* All changes that this snapshot sees are in the ids; it was asked for at `as_of_us`. */
static void move_on(struct catalog *catalog, const char *snapshot, int64_t as_of_us)
{
    ledger_span_move_on(&catalog->next, snapshot);
    pthread_rwlock_wrlock(&catalog->lock);
    catalog->as_of_us = as_of_us;
    pthread_rwlock_unlock(&catalog->lock);
    pthread_mutex_lock(&catalog->moved_lock);
    pthread_cond_broadcast(&catalog->moved);
    pthread_mutex_unlock(&catalog->moved_lock);
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

/* From now on pages come from PostgreSQL, until one of them tells that the catalogue has shrunk. */
static void give_up_if_too_large(struct catalog *catalog)
{
    if ((int64_t)catalog->ids.count > catalog->products_max) {
        log_warn(
            log_msg("the catalogue has outgrown catalog.products_max: it is paged in PostgreSQL"));
        install(catalog, ID_LIST_EMPTY, true);
    }
}

/* --- a round ---------------------------------------------------------------------------------- */

/* The changes that snapshot $1 did not see. Creations come first, so that a product that was
 * created and deleted stays deleted, although its movements may become visible in any order. */
static const char round_sql[] =
    "SELECT mark.snapshot, movement.product_id, movement.kind"
    " FROM (SELECT pg_current_snapshot()::text AS snapshot) AS mark"
    " LEFT JOIN (SELECT product_id, kind FROM stock_movements"
    "  WHERE " LEDGER_NOT_SEEN_BY("$1") " AND kind IN ('created', 'deleted')"
                                        "  LIMIT " CHANGES_LIMIT ") AS movement ON true"
                                        " ORDER BY movement.kind, movement.product_id";

enum { COLUMN_SNAPSHOT, COLUMN_PRODUCT, COLUMN_KIND };

/* How many changes there are; without any, the mark has a row of its own. */
static int change_count(const struct pg_result *result)
{
    return pg_text(result, 0, COLUMN_PRODUCT) == NULL ? 0 : pg_rows(result);
}

static bool is_creation(const struct pg_result *result, int row)
{
    return strcmp(pg_text(result, row, COLUMN_KIND), "created") == 0;
}

static void apply_in_place(struct catalog *catalog, const struct pg_result *result, int count)
{
    pthread_rwlock_wrlock(&catalog->lock);
    for (int row = 0; row < count; row++) {
        if (is_creation(result, row)) {
            id_list_insert(&catalog->ids, pg_int(result, row, COLUMN_PRODUCT));
        } else {
            id_list_remove(&catalog->ids, pg_int(result, row, COLUMN_PRODUCT));
        }
    }
    pthread_rwlock_unlock(&catalog->lock);
}

static void apply_merged(struct catalog *catalog, const struct pg_result *result, size_t count)
{
    int64_t *changed = fs_calloc(count, sizeof(*changed));
    size_t created = 0;
    struct id_list merged;

    for (size_t i = 0; i < count; i++) {
        changed[i] = pg_int(result, (int)i, COLUMN_PRODUCT);
        created += is_creation(result, (int)i);
    }
    id_list_merge(&catalog->ids, (struct id_span){changed, created},
                  (struct id_span){changed + created, count - created}, &merged);
    free(changed);
    install(catalog, merged, false);
}

/* A few changes are made in place while readers wait; for many, the list is made anew beside it. */
static void apply_changes(struct catalog *catalog, const struct pg_result *result)
{
    int count = change_count(result);

    if (count <= CHANGES_IN_PLACE_MAX) {
        apply_in_place(catalog, result, count);
    } else {
        apply_merged(catalog, result, (size_t)count);
    }
}

/* Brings the ids up to date; true when there is too much to change. */
static bool follow_changes(struct catalog *catalog)
{
    const char *const params[] = {catalog->next.seen};
    struct pg_result *result = NULL;
    int64_t sent_us = clock_mono_us();
    bool are_too_many;

    if (!ledger_follower_ask(&catalog->follower, round_sql, params, 1, &result)) {
        return false;
    }
    are_too_many = change_count(result) > CHANGES_MAX;
    if (!are_too_many) {
        apply_changes(catalog, result);
        give_up_if_too_large(catalog);
        move_on(catalog, pg_text(result, 0, COLUMN_SNAPSHOT), sent_us);
    }
    pg_result_free(result);
    return are_too_many;
}

/* PostgreSQL pages the catalogue, and this only says since when it has answered. */
static void follow_nothing(struct catalog *catalog)
{
    int64_t sent_us = clock_mono_us();
    char *snapshot;

    if (ledger_follower_snapshot(&catalog->follower, &snapshot)) {
        move_on(catalog, snapshot, sent_us);
        free(snapshot);
    }
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Appends the next chunk of ids to `loaded`; *ret_rows tells how many. */
static bool load_chunk(struct catalog *catalog, struct id_list *loaded, int *ret_rows)
{
    int64_t last = loaded->count > 0 ? loaded->ids[loaded->count - 1] : 0;
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    bool is_answered;

    pg_params_add_int(&params, last);
    is_answered =
        ledger_follower_ask(&catalog->follower,
                            "SELECT id FROM products WHERE deleted_at IS NULL AND id > $1::bigint"
                            " ORDER BY id LIMIT " LOAD_CHUNK,
                            pg_params_values(&params), 1, &result);
    pg_params_finish(&params);
    if (!is_answered) {
        return false;
    }
    *ret_rows = pg_rows(result);
    for (int row = 0; row < *ret_rows; row++) {
        id_list_insert(loaded, pg_int(result, row, 0)); /* at the end */
    }
    pg_result_free(result);
    return true;
}

/* All ids, or none when they are too many; false when PostgreSQL did not answer. */
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

/* The whole catalogue, and then the changes since a snapshot that was taken before. */
static void load(struct catalog *catalog)
{
    int64_t sent_us = clock_mono_us();
    struct id_list ids;
    char *snapshot;
    bool is_too_large;

    if (!ledger_follower_snapshot(&catalog->follower, &snapshot)) {
        return;
    }
    atomic_store(&catalog->is_to_load, false);
    if (load_ids(catalog, &ids, &is_too_large)) {
        log_info(log_msg("catalogue loaded"), log_int("products", (int64_t)ids.count),
                 log_str("kept_in", is_too_large ? "postgres" : "memory"));
        install(catalog, ids, is_too_large);
        move_on(catalog, snapshot, sent_us);
        catalog->loaded_at_us = clock_mono_us();
    }
    free(snapshot);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* True when the catalogue cannot be followed any further and is to be loaded anew. */
static bool follow(struct catalog *catalog)
{
    if (catalog->is_too_large) {
        follow_nothing(catalog);
        return atomic_load(&catalog->has_shrunk);
    }
    return follow_changes(catalog);
}

/* The ledger may lack movements that are older than a day (ledger.retention_days of write-svc). */
static bool is_long_behind(const struct catalog *catalog)
{
    return clock_mono_us() - catalog->as_of_us > BEHIND_MAX_S * CLOCK_US_PER_S;
}

static bool must_load(struct catalog *catalog)
{
    if (ledger_span_is_none(&catalog->next) || is_long_behind(catalog) ||
        atomic_load(&catalog->is_to_load)) {
        return true;
    }
    return follow(catalog) &&
           clock_mono_us() - catalog->loaded_at_us >= RELOAD_EVERY_S * CLOCK_US_PER_S;
}

/* How long a round that only a hint asks for has to wait. */
static int64_t too_early_ms(const struct catalog *catalog)
{
    int64_t since_ms = (clock_mono_us() - catalog->round_at_us) / CLOCK_US_PER_MS;

    return atomic_load(&catalog->waiting) == 0 && since_ms < HINT_PAUSE_MS
               ? HINT_PAUSE_MS - since_ms
               : 0;
}

/* Called by the ticker; returns after how many milliseconds to call again. */
static int64_t run_round(void *arg)
{
    struct catalog *catalog = arg;
    int64_t early_ms = too_early_ms(catalog);

    if (early_ms > 0) {
        return early_ms;
    }
    if (must_load(catalog)) {
        load(catalog);
    }
    catalog->round_at_us = clock_mono_us();
    return catalog->refresh_ms;
}

void catalog_hint(struct catalog *catalog)
{
    ticker_hurry(catalog->ticker);
}

static bool has_come_to(struct catalog *catalog, int64_t us)
{
    bool has_come;

    pthread_rwlock_rdlock(&catalog->lock);
    has_come = catalog->is_too_large || catalog->as_of_us >= us;
    pthread_rwlock_unlock(&catalog->lock);
    return has_come;
}

bool catalog_catch_up(struct catalog *catalog, int64_t deadline_us)
{
    int64_t now_us = clock_mono_us();
    int64_t until_us = clock_after_ms(CATALOG_CATCH_UP_MS);
    bool has_come;

    if (pg_store_state(catalog->database) == BREAKER_OPEN) {
        return false;
    }
    atomic_fetch_add(&catalog->waiting, 1);
    ticker_hurry(catalog->ticker);
    pthread_mutex_lock(&catalog->moved_lock);
    while (!(has_come = has_come_to(catalog, now_us)) &&
           clock_cond_wait(&catalog->moved, &catalog->moved_lock,
                           until_us < deadline_us ? until_us : deadline_us)) {
    }
    pthread_mutex_unlock(&catalog->moved_lock);
    atomic_fetch_sub(&catalog->waiting, 1);
    return has_come;
}

/* --- pages ------------------------------------------------------------------------------------ */

static void copy_slice(const struct catalog *catalog, size_t start, size_t limit,
                       struct catalog_page *page)
{
    page->count = id_list_slice(&catalog->ids, start, limit, page->ids);
    page->more = start < catalog->ids.count && catalog->ids.count - start > limit;
    page->total = (int64_t)catalog->ids.count;
    page->as_of_us = catalog->as_of_us;
}

/* Pages straight from PostgreSQL: the total on each row, and ids from $1 on. */
static const struct pg_statement page_statement = {
    .name = "catalog_page",
    .param_count = 2,
    .sql =
        "SELECT mark.total, product.id"
        " FROM (SELECT count(*) AS total FROM products WHERE deleted_at IS NULL) AS mark"
        " LEFT JOIN (SELECT id FROM products WHERE deleted_at IS NULL"
        "  ORDER BY id OFFSET $1::bigint LIMIT $2::bigint) AS product ON true ORDER BY product.id"};

static const struct pg_statement after_statement = {
    .name = "catalog_after",
    .param_count = 2,
    .sql = "SELECT 0, id FROM products WHERE deleted_at IS NULL AND id > $1::bigint"
           " ORDER BY id LIMIT $2::bigint"};

enum { COLUMN_TOTAL, COLUMN_ID };

static void take_page(const struct pg_result *result, size_t limit, struct catalog_page *page)
{
    int rows = pg_rows(result);

    page->total = rows > 0 ? pg_int(result, 0, COLUMN_TOTAL) : 0;
    page->count = 0;
    page->more = rows > (int)limit;
    if (rows > 0 && pg_text(result, 0, COLUMN_ID) == NULL) {
        return; /* the total alone */
    }
    for (int row = 0; row < rows && page->count < limit; row++) {
        page->ids[page->count++] = pg_int(result, row, COLUMN_ID);
    }
}

/* Asks for one id more than wanted, to know of more. */
static enum status page_from_database(struct catalog *catalog, const struct pg_statement *statement,
                                      int64_t start, size_t limit, int64_t deadline_us,
                                      struct catalog_page *ret_page)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    struct pg_error error;
    enum status status;

    if (deadline_us == CATALOG_AT_ONCE) {
        return STATUS_TIMEOUT;
    }
    pg_params_add_int(&params, start);
    pg_params_add_int(&params, (int64_t)limit + 1);
    ret_page->as_of_us = clock_mono_us();
    status = pg_run(catalog->database, statement, pg_params_values(&params), deadline_us, &result,
                    &error);
    pg_params_finish(&params);
    if (status == STATUS_OK) {
        take_page(result, limit, ret_page);
        pg_result_free(result);
    }
    return status;
}

/* True when the ids are in memory; they stay as they are until the caller unlocks. With
 * CATALOG_AT_ONCE also false while they change. */
static bool lock_ids(struct catalog *catalog, int64_t deadline_us)
{
    if (deadline_us != CATALOG_AT_ONCE) {
        pthread_rwlock_rdlock(&catalog->lock);
    } else if (pthread_rwlock_tryrdlock(&catalog->lock) != 0) {
        return false;
    }
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
    if (!lock_ids(catalog, deadline_us)) {
        enum status status =
            page_from_database(catalog, &page_statement, offset, limit, deadline_us, ret_page);

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
    if (!lock_ids(catalog, deadline_us)) {
        return page_from_database(catalog, &after_statement, after, limit, deadline_us, ret_page);
    }
    copy_slice(catalog, id_list_after(&catalog->ids, after), limit, ret_page);
    pthread_rwlock_unlock(&catalog->lock);
    return STATUS_OK;
}

bool catalog_lacks(struct catalog *catalog, int64_t id, int64_t *ret_age_us)
{
    int64_t last;
    size_t at;
    bool may_be_there;

    if (!lock_ids(catalog, INT64_MAX)) {
        return false;
    }
    at = id_list_after(&catalog->ids, id - 1);
    last = catalog->ids.count == 0 ? 0 : catalog->ids.ids[catalog->ids.count - 1];
    may_be_there =
        at < catalog->ids.count ? catalog->ids.ids[at] == id : id - last <= CATALOG_NEW_IDS;
    *ret_age_us = clock_mono_us() - catalog->as_of_us;
    pthread_rwlock_unlock(&catalog->lock);
    return !may_be_there;
}

void catalog_load_anew(struct catalog *catalog)
{
    atomic_store(&catalog->is_to_load, true);
}

bool catalog_is_loaded(struct catalog *catalog)
{
    bool is_loaded;

    pthread_rwlock_rdlock(&catalog->lock);
    is_loaded = catalog->is_loaded;
    pthread_rwlock_unlock(&catalog->lock);
    return is_loaded;
}
