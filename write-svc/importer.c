#include "write-svc/importer.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/stores/pg_params.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_MS 5000 /* of one statement, with the wait for a connection */
#define CONFLICT_TRIES 5
#define LOCKED_TRIES 2 /* each waits for lock_timeout */
#define BROKEN_TRIES 3
#define LOG_EVERY_MS 10000

static struct metric_family lines_counter =
    METRIC_COUNTER("faststock_import_lines_total",
                   "Lines of imports that PostgreSQL judged, by what came of them.", "status");

static const char *const status_names[] = {
    [IMPORT_CREATED] = "created",     [IMPORT_UPDATED] = "updated",
    [IMPORT_UNCHANGED] = "unchanged", [IMPORT_OUT_OF_RANGE] = "out_of_range",
    [IMPORT_LOCKED] = "locked",       [IMPORT_UNSTORABLE] = "unstorable",
    [IMPORT_FORBIDDEN] = "forbidden",
};

_Static_assert(FS_ARRAY_LEN(status_names) == IMPORT_STATUSES, "each status has a name");

struct importer {
    struct pg_store *database;
    struct publisher *publisher;
    struct metric *lines[IMPORT_STATUSES];
    _Atomic int64_t logged_us; /* when a refusal was last logged; 0: never */
};

struct importer *importer_create(struct pg_store *database, struct publisher *publisher)
{
    struct importer *importer = fs_calloc(1, sizeof(*importer));

    importer->database = database;
    importer->publisher = publisher;
    for (enum import_status status = 0; status < IMPORT_STATUSES; status++) {
        importer->lines[status] = metric_get(&lines_counter, status_names[status]);
    }
    return importer;
}

void importer_destroy(struct importer *importer)
{
    free(importer);
}

/* --- one transaction -------------------------------------------------------------------------- */

static const struct pg_statement import_statement = {
    .name = "import_products",
    .param_count = 4,
    .sql = "SELECT status, id, version"
           " FROM import_products($1::text[], $2::text[], $3::numeric[], $4::bigint[])"};

enum { COLUMN_STATUS, COLUMN_ID, COLUMN_VERSION };

static void add_texts(struct pg_params *params, const struct import_line *lines, size_t count)
{
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, lines[i].sku);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, lines[i].name);
    }
    pg_params_end_array(params);
}

static void add_numbers(struct pg_params *params, const struct import_line *lines, size_t count)
{
    char price[32];

    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        snprintf(price, sizeof(price), "%" PRId64 ".%02" PRId64, lines[i].price / 100,
                 lines[i].price % 100);
        pg_params_add_text(params, price);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_int(params, lines[i].stock);
    }
    pg_params_end_array(params);
}

static enum status run_once(struct importer *importer, const struct import_line *lines,
                            size_t count, struct pg_result **ret_rows, struct pg_error *ret_error)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    enum status status;

    add_texts(&params, lines, count);
    add_numbers(&params, lines, count);
    status = pg_run(importer->database, &import_statement, pg_params_values(&params),
                    clock_after_ms(TRY_MS), ret_rows, ret_error);
    pg_params_finish(&params);
    return status;
}

static struct import_result read_row(const struct pg_result *rows, int row)
{
    const char *status = pg_text(rows, row, COLUMN_STATUS);
    struct import_result result = {.status = IMPORT_OUT_OF_RANGE};

    for (enum import_status known = IMPORT_CREATED; known <= IMPORT_UNCHANGED; known++) {
        if (strcmp(status_names[known], status) == 0) {
            result.status = known;
            result.id = pg_int(rows, row, COLUMN_ID);
            result.version = pg_int(rows, row, COLUMN_VERSION);
        }
    }
    return result;
}

/* Takes over the results of lines that are committed, and lets Redis forget what they replace. */
static void take_results(struct importer *importer, const struct pg_result *rows, size_t count,
                         struct import_result *results)
{
    struct product_version *changed = fs_calloc(count, sizeof(*changed));
    size_t changed_count = 0;

    assert((size_t)pg_rows(rows) == count); /* import_products gives a row a line */
    for (size_t i = 0; i < count; i++) {
        results[i] = read_row(rows, (int)i);
        if (results[i].status == IMPORT_CREATED || results[i].status == IMPORT_UPDATED) {
            changed[changed_count++] = (struct product_version){results[i].id, results[i].version};
        }
    }
    publisher_forget(importer->publisher, changed, changed_count);
    free(changed);
}

/* --- failures --------------------------------------------------------------------------------- */

static bool all_have_skus(const struct import_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (lines[i].sku == NULL) {
            return false;
        }
    }
    return true;
}

/* How often a transaction that ended like this is tried. */
static int tries_of(enum status status, const struct pg_error *error,
                    const struct import_line *lines, size_t count)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_UNAVAILABLE:
        return 1;
    case STATUS_TIMEOUT:
    case STATUS_BROKEN:
        return all_have_skus(lines, count) ? BROKEN_TRIES : 1;
    case STATUS_FAILED:
        break;
    }
    return error->failure == PG_FAILURE_CONFLICT ? CONFLICT_TRIES
           : error->failure == PG_FAILURE_LOCKED ? LOCKED_TRIES
                                                 : 1;
}

static enum status run_batch(struct importer *importer, const struct import_line *lines,
                             size_t count, struct pg_result **ret_rows, struct pg_error *ret_error)
{
    enum status status;
    int tries = 0;

    do {
        status = run_once(importer, lines, count, ret_rows, ret_error);
        tries++;
    } while (status != STATUS_OK && tries < tries_of(status, ret_error, lines, count));
    return status;
}

/* A refusal is logged once in a while, because there may be one for each line. */
static void log_refusal(struct importer *importer, const struct pg_error *error)
{
    int64_t now_us = clock_mono_us();
    int64_t logged_us = atomic_load(&importer->logged_us);

    if ((logged_us == 0 || now_us - logged_us >= LOG_EVERY_MS * CLOCK_US_PER_MS) &&
        atomic_compare_exchange_strong(&importer->logged_us, &logged_us, now_us)) {
        log_error(log_msg("PostgreSQL refused an import"),
                  log_str("kind", pg_failure_name(error->failure)),
                  log_str("sqlstate", error->sqlstate), log_str("error", error->message));
    }
}

/* What a failure says of a single line; false when it says something of PostgreSQL instead. */
static bool blames_line(enum status status, const struct pg_error *error,
                        enum import_status *ret_status)
{
    if (status != STATUS_FAILED) {
        return false;
    }
    switch (error->failure) {
    case PG_FAILURE_LOCKED:
        *ret_status = IMPORT_LOCKED;
        return true;
    case PG_FAILURE_VALUE:
        *ret_status = IMPORT_UNSTORABLE;
        return true;
    case PG_FAILURE_CONSTRAINT:
        *ret_status = IMPORT_FORBIDDEN;
        return true;
    case PG_FAILURE_PASSING:
    case PG_FAILURE_CONFLICT:
    case PG_FAILURE_DENIED:
    case PG_FAILURE_SCHEMA:
        break;
    }
    return false;
}

static enum import_end judge_failure(enum status status, const struct pg_error *error)
{
    switch (status) {
    case STATUS_OK:
        return IMPORT_DONE;
    case STATUS_UNAVAILABLE:
        return IMPORT_UNAVAILABLE;
    case STATUS_TIMEOUT:
    case STATUS_BROKEN:
        return IMPORT_UNKNOWN;
    case STATUS_FAILED:
        break;
    }
    return error->failure == PG_FAILURE_DENIED || error->failure == PG_FAILURE_SCHEMA
               ? IMPORT_REFUSED
               : IMPORT_UNAVAILABLE;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Imports lines in one transaction; or refuses the line, if it is only one. *ret_is_split: they are
 * to be imported in smaller parts. */
static enum import_end run_part(struct importer *importer, const struct import_line *lines,
                                size_t count, struct import_result *results, bool *ret_is_split)
{
    struct pg_error error = {.failure = PG_FAILURE_PASSING};
    struct pg_result *rows = NULL;
    enum status status = run_batch(importer, lines, count, &rows, &error);
    enum import_status blame;

    *ret_is_split = false;
    if (status == STATUS_OK) {
        take_results(importer, rows, count, results);
        pg_result_free(rows);
        return IMPORT_DONE;
    }
    if (status == STATUS_FAILED && error.failure != PG_FAILURE_LOCKED) {
        log_refusal(importer, &error);
    }
    if (!blames_line(status, &error, &blame)) {
        return judge_failure(status, &error);
    }
    *ret_is_split = count > 1;
    *results = (struct import_result){.status = blame};
    return IMPORT_DONE;
}

/* A part that fails is tried in halves; behind one that is done the next may be twice as long. */
static enum import_end run_parts(struct importer *importer, const struct import_line *lines,
                                 size_t count, struct import_result *results, size_t *ret_done)
{
    size_t part = count;
    bool is_split;

    for (*ret_done = 0; *ret_done < count;) {
        size_t left = count - *ret_done;
        enum import_end end;

        part = part < left ? part : left;
        end = run_part(importer, lines + *ret_done, part, results + *ret_done, &is_split);
        if (end != IMPORT_DONE) {
            return end;
        }
        *ret_done += is_split ? 0 : part;
        part = is_split ? part / 2 : part * 2;
    }
    return IMPORT_DONE;
}

enum import_end importer_run(struct importer *importer, const struct import_line *lines,
                             size_t count, struct import_result *ret_results, size_t *ret_done)
{
    enum import_end end;

    assert(count <= IMPORT_BATCH_MAX);
    end = run_parts(importer, lines, count, ret_results, ret_done);
    for (size_t i = 0; i < *ret_done; i++) {
        metric_add(importer->lines[ret_results[i].status], 1);
    }
    return end;
}
