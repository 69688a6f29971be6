#include "write-svc/skus.h"

#include "common/base/log.h"
#include "common/stores/pg_params.h"

#include <assert.h>

/* One row for each SKU, in their order. `p.sku IS NOT NULL` lets PostgreSQL use the index, which
 * has no others. */
static const struct pg_statement find_statement = {
    .name = "find_skus",
    .param_count = 1,
    .sql = "SELECT coalesce(p.id, 0)"
           " FROM unnest($1::text[]) WITH ORDINALITY AS s (sku, ord)"
           " LEFT JOIN products AS p"
           "  ON p.sku = s.sku AND p.sku IS NOT NULL AND p.deleted_at IS NULL"
           " ORDER BY s.ord"};

enum status skus_find(struct pg_store *database, const char *const *skus, size_t count,
                      int64_t deadline_us, int64_t *ret_ids)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *rows = NULL;
    struct pg_error error;
    enum status status;

    pg_params_begin_array(&params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(&params, skus[i]);
    }
    pg_params_end_array(&params);
    status =
        pg_run(database, &find_statement, pg_params_values(&params), deadline_us, &rows, &error);
    pg_params_finish(&params);
    if (status == STATUS_FAILED) {
        log_error(log_msg("PostgreSQL refused to look for SKUs"),
                  log_str("kind", pg_failure_name(error.failure)),
                  log_str("sqlstate", error.sqlstate), log_str("error", error.message));
    }
    if (status != STATUS_OK) {
        return status;
    }
    assert((size_t)pg_rows(rows) == count); /* no two products that are there have one SKU */
    for (size_t i = 0; i < count; i++) {
        ret_ids[i] = pg_int(rows, (int)i, 0);
    }
    pg_result_free(rows);
    return STATUS_OK;
}
