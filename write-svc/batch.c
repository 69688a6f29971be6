#include "write-svc/batch.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/products/cache.h"
#include "common/products/product.h"
#include "common/products/product_rows.h"

#include <stdlib.h>
#include <string.h>

/* The columns behind those of a product. */
#define COMMAND_COLUMNS                                                                            \
    ", product.ord, product.outcome, product.result, product.etag, product.is_replayed"

enum {
    COLUMN_ORD = PRODUCT_ROWS_NEXT,
    COLUMN_OUTCOME,
    COLUMN_RESULT,
    COLUMN_ETAG,
    COLUMN_IS_REPLAYED
};

const struct pg_statement batch_statement = {
    .name = "write_batch",
    .param_count = 14,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS COMMAND_COLUMNS
           " FROM write_batch($1::bigint, $2::bigint, $3::boolean, $4::text[], $5::bigint[],"
           "  $6::text[], $7::text[], $8::text[], $9::int[], $10::bigint[], $11::bigint[],"
           "  $12::boolean[], $13::bigint[], $14::text[]) AS product"};

const struct pg_statement batch_change_statement = {
    .name = "write_change",
    .param_count = 6,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS COMMAND_COLUMNS
           " FROM write_change($1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint,"
           "  $6::text) AS product"};

const struct pg_statement batch_end_statement = {
    .name = "write_batch_end",
    .param_count = 2,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS COMMAND_COLUMNS
           " FROM write_batch_end($1::bigint, $2::bigint) AS product"};

const struct pg_statement batch_expire_statement = {
    .name = "expire_reservations",
    .param_count = 2,
    .sql = "SELECT " PRODUCT_ROWS_COLUMNS COMMAND_COLUMNS
           " FROM expire_reservations($1::int, $2::boolean) AS product"};

/* --- parameters ------------------------------------------------------------------------------- */

/* One array each, an element a command. */
static void add_commands(struct pg_params *params, const struct write_command *const *commands,
                         size_t count)
{
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, write_kind_name(commands[i]->kind));
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_int(params, commands[i]->subject);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, commands[i]->details);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, commands[i]->key);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_text(params, commands[i]->key == NULL ? NULL : commands[i]->fingerprint);
    }
    pg_params_end_array(params);
    pg_params_begin_array(params);
    for (size_t i = 0; i < count; i++) {
        pg_params_add_int(params, (int64_t)commands[i]->item_count);
    }
    pg_params_end_array(params);
}

enum item_array {
    ITEM_PRODUCT,
    ITEM_AMOUNT,
    ITEM_ABSOLUTE,
    ITEM_VERSION,
    ITEM_REASON,
    ITEM_ARRAYS
};

static void add_item(struct pg_params *params, const struct write_item *item, enum item_array array)
{
    switch (array) {
    case ITEM_PRODUCT:
        pg_params_add_int(params, item->product_id);
        break;
    case ITEM_AMOUNT:
        pg_params_add_int(params, item->amount);
        break;
    case ITEM_ABSOLUTE:
        pg_params_add_bool(params, item->is_absolute);
        break;
    case ITEM_VERSION:
        if (item->expected_version > 0) {
            pg_params_add_int(params, item->expected_version);
        } else {
            pg_params_add_text(params, NULL);
        }
        break;
    case ITEM_REASON:
        pg_params_add_text(params, item->reason);
        break;
    case ITEM_ARRAYS:
        break;
    }
}

void batch_params(struct pg_params *params, int64_t lane, int64_t number, bool waits,
                  const struct write_command *const *commands, size_t count)
{
    pg_params_add_int(params, lane);
    pg_params_add_int(params, number);
    pg_params_add_bool(params, waits);
    add_commands(params, commands, count);
    for (enum item_array array = 0; array < ITEM_ARRAYS; array++) {
        pg_params_begin_array(params);
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < commands[i]->item_count; j++) {
                add_item(params, &commands[i]->items[j], array);
            }
        }
        pg_params_end_array(params);
    }
}

bool batch_is_lone_change(const struct write_command *const *commands, size_t count)
{
    return count == 1 && commands[0]->kind == WRITE_CHANGE && commands[0]->key == NULL &&
           !commands[0]->items[0].is_absolute;
}

void batch_change_params(struct pg_params *params, int64_t lane, int64_t number,
                         const struct write_command *command)
{
    const struct write_item *item = &command->items[0];

    pg_params_add_int(params, lane);
    pg_params_add_int(params, number);
    add_item(params, item, ITEM_PRODUCT);
    add_item(params, item, ITEM_AMOUNT);
    add_item(params, item, ITEM_VERSION);
    add_item(params, item, ITEM_REASON);
}

/* --- rows ------------------------------------------------------------------------------------- */

enum batch_end batch_read_end(const struct pg_result *rows)
{
    if (pg_rows(rows) == 0 || pg_text(rows, 0, COLUMN_ORD) == NULL ||
        pg_int(rows, 0, COLUMN_ORD) != 0) {
        return BATCH_LOST;
    }
    return strcmp(pg_text(rows, 0, COLUMN_OUTCOME), "made") == 0 ? BATCH_MADE : BATCH_NOT_MADE;
}

static void read_result(const struct pg_result *rows, int row, struct write_result *result)
{
    const char *outcome = pg_text(rows, row, COLUMN_OUTCOME);
    const char *text = pg_text(rows, row, COLUMN_RESULT);
    const char *is_replayed = pg_text(rows, row, COLUMN_IS_REPLAYED);

    if (!write_outcome_parse(outcome, &result->outcome)) {
        log_error(log_msg("write_batch gave an outcome that this version does not know"),
                  log_str("outcome", outcome));
        return;
    }
    result->is_replayed = is_replayed != NULL && is_replayed[0] == 't';
    result->version = pg_text(rows, row, COLUMN_ETAG) == NULL ? 0 : pg_int(rows, row, COLUMN_ETAG);
    result->text = fs_strdup(text == NULL ? "" : text);
}

void batch_read_results(const struct pg_result *rows, struct write_result *results, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        results[i] = (struct write_result){.outcome = WRITE_UNKNOWN};
    }
    for (int row = 0; row < pg_rows(rows); row++) {
        int64_t ord = pg_text(rows, row, COLUMN_ORD) == NULL ? 0 : pg_int(rows, row, COLUMN_ORD);

        if (ord >= 1 && (size_t)ord <= count && results[ord - 1].text == NULL) {
            read_result(rows, row, &results[ord - 1]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (results[i].text == NULL) {
            results[i].text = fs_strdup("");
        }
    }
}

/* The products of the rows: references, and NULL for one that cannot be shown. */
static struct product **take_products(const struct pg_result *rows, size_t *ret_count)
{
    struct product **products = fs_calloc((size_t)pg_rows(rows), sizeof(struct product *));
    struct product_read read = {.us = 0};
    size_t count = 0;

    if (pg_rows(rows) > 0) {
        read = product_rows_read(rows);
    }
    for (int row = 0; row < pg_rows(rows); row++) {
        if (product_rows_has(rows, row)) {
            products[count++] = product_rows_take(rows, row, read);
        }
    }
    *ret_count = count;
    return products;
}

void batch_publish(const struct pg_result *rows, struct publisher *publisher,
                   const struct generation *generation)
{
    size_t count = 0;
    struct product **products = take_products(rows, &count);

    for (size_t i = 0; i < count; i += PRODUCT_CACHE_BATCH_MAX) {
        size_t left = count - i;

        publisher_publish(publisher, products + i,
                          left < PRODUCT_CACHE_BATCH_MAX ? left : PRODUCT_CACHE_BATCH_MAX,
                          generation);
    }
    for (size_t i = 0; i < count; i++) {
        product_unref(products[i]);
    }
    free(products);
}
