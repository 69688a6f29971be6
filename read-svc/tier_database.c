#include "read-svc/tier_database.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/products/product_rows.h"
#include "common/stores/pg_params.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_WORK_MS 2000  /* deadline of a lease or a fill, as in tier_redis.c */
#define REPLICA_WORK_MS 250 /* so that time is left for the primary */
#define STATEMENTS_MAX 64   /* for one batch that cannot be read as a whole */
#define LOG_EVERY_MS 10000  /* about products that cannot be read */

_Static_assert(TIER_BATCH_MAX <= PRODUCT_CACHE_BATCH_MAX, "a batch is one call of the cache");

static struct metric_family fills_counter =
    METRIC_COUNTER("faststock_cache_fills_total",
                   "Products put into Redis after they were read from PostgreSQL.", "result");

enum { HIT, MISS, STALE, ERROR, BATCH, FILL_STORED, FILL_OLDER, FILL_ERROR, SERIES };

static const struct metric_row rows[SERIES] = {
    [HIT] = {&tier_requests_counter, {"db", "hit"}},
    [MISS] = {&tier_requests_counter, {"db", "miss"}},
    [STALE] = {&tier_requests_counter, {"db", "stale"}},
    [ERROR] = {&tier_requests_counter, {"db", "error"}},
    [BATCH] = {&tier_batch_histogram, {"db"}},
    [FILL_STORED] = {&fills_counter, {"stored"}},
    [FILL_OLDER] = {&fills_counter, {"older"}},
    [FILL_ERROR] = {&fills_counter, {"error"}},
};

struct tier_database {
    struct tier tier;
    struct tier_database_options options;
    struct metric *series[SERIES];
    _Atomic int64_t next_log_us; /* of a product that cannot be read */
};

static void load(struct tier *tier, struct tier_batch *batch);

static void destroy(struct tier *tier)
{
    free(FS_CONTAINER_OF(tier, struct tier_database, tier));
}

struct tier *tier_database_create(const struct tier_database_options *options)
{
    struct tier_database *database = fs_calloc(1, sizeof(*database));

    database->tier = (struct tier){.workers = options->workers, .load = load, .destroy = destroy};
    database->options = *options;
    metric_get_rows(rows, SERIES, NULL, database->series);
    return &database->tier;
}

/* --- one statement ---------------------------------------------------------------------------- */

static const struct pg_statement products_statement = {
    .name = "products",
    .param_count = 1,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS " FROM (SELECT 1) AS mark"
           " LEFT JOIN products AS product ON product.id = ANY($1::bigint[]) ORDER BY product.id"};

/* Of a replica: also whether the WAL up to $2 was replayed there before, and when the last commit
 * was made that it has replayed. */
static const struct pg_statement replayed_statement = {
    .name = "products_replayed",
    .param_count = 2,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS ", product.has_replayed::int,"
           " extract(epoch FROM pg_last_xact_replay_timestamp())"
           " FROM products_replayed($1::bigint[], $2::pg_lsn) AS product"};

enum { COLUMN_HAS_REPLAYED = PRODUCT_ROWS_NEXT, COLUMN_REPLAYED };

/* A server, how it is asked, and for what. */
struct question {
    struct tier_database *database;
    struct pg_store *server;
    bool is_replica;              /* each row counts only if it is as new as wanted */
    const struct tail_mark *mark; /* of a replica: its rows count as read then, if it has replayed
                                     the WAL up to there; NULL: there is none */
    bool is_judged;               /* of a replica: its rows count only if it has */
    enum tier_source source;
    int64_t deadline_us;
    int statements_left;
    struct tier_batch *batch;
};

/* Members of the batch, by their indices. */
struct members {
    const size_t *indices;
    size_t count;
};

static void add_ids(struct pg_params *params, const struct tier_batch *batch,
                    struct members members)
{
    pg_params_begin_array(params);
    for (size_t i = 0; i < members.count; i++) {
        pg_params_add_int(params, batch->ids[members.indices[i]]);
    }
    pg_params_end_array(params);
}

/* The row of a product, -1 when there is none; `hint` is where the last search ended, as rows
 * mostly come in order. */
static int find_row(const struct pg_result *result, int64_t id, int *hint)
{
    int count = product_rows_count(result);

    for (int step = 0; step < count; step++) {
        int row = (*hint + step) % count;

        if (product_rows_id(result, row) == id) {
            *hint = row;
            return row;
        }
    }
    return -1;
}

/* The primary has the last word on why a product was not answered. */
static void fail(const struct question *question, struct members members, enum status status)
{
    if (question->is_replica) {
        return;
    }
    for (size_t i = 0; i < members.count; i++) {
        question->batch->answers[members.indices[i]].status = status;
    }
}

/* The product itself is at fault, so this is said once in a while only, not for each request. */
static void log_unreadable(struct tier_database *database, int64_t id, const struct pg_error *error)
{
    int64_t now_us = clock_mono_us();
    int64_t next_us = atomic_load(&database->next_log_us);

    if (now_us >= next_us &&
        atomic_compare_exchange_strong(&database->next_log_us, &next_us,
                                       now_us + LOG_EVERY_MS * CLOCK_US_PER_MS)) {
        log_error(log_msg("a product cannot be read"), log_int("product", id),
                  log_str("sqlstate", error->sqlstate), log_str("error", error->message));
    }
}

/* When the rows count as read. What a replica lacks that has not replayed up to the mark is not
 * known; it has everything that was committed before the last commit that it has replayed. */
static struct product_read read_of(const struct question *question, const struct pg_result *result,
                                   bool has_replayed)
{
    struct product_read read = {.us = 0};
    const char *replayed;

    if (!question->is_replica) {
        return product_rows_read(result);
    }
    replayed = pg_text(result, 0, COLUMN_REPLAYED);
    if (has_replayed) {
        return question->mark->read;
    }
    if (replayed != NULL) {
        parse_seconds_us(replayed, &read.us);
    }
    return read;
}

static void take_rows(const struct question *question, const struct pg_result *result,
                      struct members members, struct product_read read)
{
    static const struct pg_error not_shown = {.message = "it holds a time that cannot be shown"};
    struct tier_batch *batch = question->batch;
    int hint = 0;

    for (size_t i = 0; i < members.count; i++) {
        size_t at = members.indices[i];
        int row = find_row(result, batch->ids[at], &hint);
        struct product *product =
            row < 0 ? product_missing(batch->ids[at], read) : product_rows_take(result, row, read);

        if (product == NULL) {
            fail(question, (struct members){&members.indices[i], 1}, STATUS_FAILED);
            log_unreadable(question->database, batch->ids[at], &not_shown);
        } else if (question->is_replica && product->version < batch->min_versions[at]) {
            product_unref(product); /* the primary may know better */
        } else {
            batch->answers[at] = (struct tier_answer){.product = product,
                                                      .source = question->source,
                                                      .as_of_us = read.us,
                                                      .is_latest = !question->is_replica};
        }
    }
}

static enum status ask_once(struct question *question, struct members members,
                            struct pg_error *ret_error)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    enum status status;

    add_ids(&params, question->batch, members);
    if (question->is_replica) {
        pg_params_add_text(&params, question->mark == NULL ? "0/0" : question->mark->lsn);
    }
    status =
        pg_run(question->server, question->is_replica ? &replayed_statement : &products_statement,
               pg_params_values(&params), question->deadline_us, &result, ret_error);
    pg_params_finish(&params);
    question->statements_left--;
    if (status == STATUS_OK) {
        bool has_replayed = question->is_replica && question->mark != NULL &&
                            pg_int(result, 0, COLUMN_HAS_REPLAYED) == 1;

        if (has_replayed || !question->is_judged) {
            take_rows(question, result, members, read_of(question, result, has_replayed));
        }
        pg_result_free(result);
    }
    return status;
}

/* --- one server, for all that have no answer -------------------------------------------------- */

/* Did the statement fail because of the content of a row? Class 22 is "data exception", XX001 is a
 * corrupted row. */
static bool is_of_a_row(const struct pg_error *error)
{
    return strncmp(error->sqlstate, "22", 2) == 0 || strcmp(error->sqlstate, "XX001") == 0;
}

/* Asks for these members; for halves of them, and so on, when a row of theirs makes the statement
 * fail. STATUS_OK also when that is all that failed. (The recursion is eight deep at most, as often
 * as a batch can be halved.) */
// NOLINTNEXTLINE(misc-no-recursion)
static enum status ask_members(struct question *question, struct members members)
{
    struct pg_error error;
    enum status status = ask_once(question, members, &error);
    size_t half = members.count / 2;

    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    if (status != STATUS_FAILED || !is_of_a_row(&error)) {
        if (status == STATUS_FAILED) {
            log_error(log_msg("products cannot be read"), log_str("sqlstate", error.sqlstate),
                      log_str("error", error.message));
        }
        fail(question, members, status);
        return status;
    }
    if (half > 0 && question->statements_left > 1) {
        enum status first = ask_members(question, (struct members){members.indices, half});
        enum status second =
            ask_members(question, (struct members){members.indices + half, members.count - half});

        return first == STATUS_OK ? second : first;
    }
    log_unreadable(question->database, question->batch->ids[members.indices[0]], &error);
    fail(question, members, STATUS_FAILED);
    return STATUS_OK; /* the server is well */
}

static size_t unanswered(const struct tier_batch *batch, size_t indices[TIER_BATCH_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (batch->answers[i].product == NULL) {
            indices[count++] = i;
        }
    }
    return count;
}

/* STATUS_OK also when single products could not be read. */
static enum status ask_server(struct question *question, int64_t work_ms)
{
    size_t indices[TIER_BATCH_MAX];
    size_t count = unanswered(question->batch, indices);

    if (count == 0) {
        return STATUS_OK;
    }
    question->deadline_us = clock_after_ms(work_ms);
    question->statements_left = STATEMENTS_MAX;
    return ask_members(question, (struct members){indices, count});
}

/* The replica as far as it is known to keep up, then the primary; when that does not answer, the
 * replica once more, however far behind it may be. */
static void ask_database(struct tier_database *database, struct tier_batch *batch)
{
    const struct tier_database_options *options = &database->options;
    struct question primary = {
        .database = database, .server = options->primary, .source = TIER_DATABASE, .batch = batch};
    struct question replica = {.database = database,
                               .server = options->replica,
                               .is_replica = true,
                               .source = TIER_DATABASE,
                               .batch = batch};
    struct tail_mark mark;

    if (replica.server != NULL && tail_get_mark(options->tail, &mark)) {
        replica.mark = &mark;
    }
    if (replica.mark != NULL && freshness_age_us(options->freshness, mark.read.us) <=
                                    options->freshness->max_staleness_us) {
        replica.is_judged = true;
        ask_server(&replica, REPLICA_WORK_MS);
    }
    if (ask_server(&primary, 2 * options->timeout_ms) != STATUS_OK && replica.server != NULL) {
        replica.is_judged = false;
        replica.source = TIER_STALE;
        ask_server(&replica, REPLICA_WORK_MS);
    }
}

/* --- filling Redis ---------------------------------------------------------------------------- */

/* To be taken before the rows are read: Redis refuses a fill without a lease. */
static bool take_lease(struct tier_database *database, const struct tier_batch *batch,
                       struct product_cache_lease *ret_lease)
{
    return database->options.cache != NULL &&
           product_cache_lease(database->options.cache, batch->ids, batch->count,
                               clock_after_ms(CACHE_WORK_MS), ret_lease) == STATUS_OK;
}

/* May Redis have this answer? A replica may be behind by as much as the mark is old: its row counts
 * for an answer, but is put into Redis only when Redis knows of no publication. */
static bool is_to_fill(const struct tier_answer *answer, const char *leased_version)
{
    return answer->product != NULL && answer->source == TIER_DATABASE &&
           (answer->is_latest || strcmp(leased_version, PRODUCT_CACHE_UNPUBLISHED) == 0);
}

/* Rows of a replica stay only briefly, because Redis may have forgotten a publication. */
static void fill(struct tier_database *database, const struct tier_batch *batch,
                 const struct product_cache_lease *lease)
{
    struct product *products[TIER_BATCH_MAX];
    bool is_brief[TIER_BATCH_MAX];
    size_t count = 0;
    size_t stored = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const struct tier_answer *answer = &batch->answers[i];
        bool keep = is_to_fill(answer, lease->guards[i]);

        products[i] = keep ? answer->product : NULL;
        is_brief[i] = !answer->is_latest;
        count += keep;
    }
    if (product_cache_fill(database->options.cache, products, is_brief, batch->count, lease,
                           clock_after_ms(CACHE_WORK_MS), &stored) == STATUS_OK) {
        metric_add(database->series[FILL_STORED], stored);
        metric_add(database->series[FILL_OLDER], count - stored);
    } else {
        metric_add(database->series[FILL_ERROR], count);
    }
}

/* --- the tier --------------------------------------------------------------------------------- */

static struct metric *result_of(const struct tier_database *database,
                                const struct tier_answer *answer)
{
    if (answer->product == NULL) {
        return database->series[ERROR];
    }
    if (answer->source == TIER_STALE) {
        return database->series[STALE];
    }
    return database->series[answer->product->state == PRODUCT_MISSING ? MISS : HIT];
}

static void load(struct tier *tier, struct tier_batch *batch)
{
    struct tier_database *database = FS_CONTAINER_OF(tier, struct tier_database, tier);
    struct product_cache_lease lease;
    bool has_lease = take_lease(database, batch, &lease);

    for (size_t i = 0; i < batch->count; i++) {
        batch->answers[i] = (struct tier_answer){.status = STATUS_OK};
    }
    metric_observe(database->series[BATCH], (double)batch->count);
    ask_database(database, batch);
    if (has_lease) {
        fill(database, batch, &lease);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->answers[i].product != NULL && batch->answers[i].source == TIER_DATABASE) {
            l1_put(database->options.freshness->l1, batch->answers[i].product);
        }
        metric_add(result_of(database, &batch->answers[i]), 1);
    }
}
