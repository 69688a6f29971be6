#include "read-svc/skus.h"

#include "read-svc/rows.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLACES (1U << 21) /* of 8 bytes */

struct skus {
    struct products_read *read;
    struct pg_store *database;
    _Atomic int64_t *hints; /* product ids; 0: none */
};

struct skus *skus_create(struct products_read *read, struct pg_store *database)
{
    struct skus *skus = fs_calloc(1, sizeof(*skus));

    skus->read = read;
    skus->database = database;
    skus->hints = fs_calloc(PLACES, sizeof(*skus->hints));
    return skus;
}

void skus_destroy(struct skus *skus)
{
    if (skus == NULL) {
        return;
    }
    free(skus->hints);
    free(skus);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* What is wanted, and what of it has a product by now. */
struct search {
    struct skus *skus;
    const struct read_wish *wish;
    const char *const *names;
    size_t count;
    int64_t deadline_us;
    struct flights_item *items;
};

/* FNV-1a */
static _Atomic int64_t *place_of(struct skus *skus, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const char *p = name; *p != '\0'; p++) {
        hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
    }
    return &skus->hints[(hash ^ hash >> 32) % PLACES];
}

static void release(struct flights_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        product_unref(items[i].product);
        items[i].product = NULL;
    }
}

/* Loads the items that have an id and no product, and keeps those that are the product of their
 * SKU. Returns the status of one that could not be loaded, if any. */
static enum status load_found(struct search *search)
{
    struct flights_item loads[SKU_LIST_MAX];
    size_t places[SKU_LIST_MAX];
    size_t count = 0;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < search->count; i++) {
        if (search->items[i].id != 0 && search->items[i].product == NULL) {
            places[count] = i;
            loads[count++] = search->items[i];
        }
    }
    if (count > 0) {
        products_read_load(search->skus->read, search->wish, loads, count, search->deadline_us);
    }
    for (size_t i = 0; i < count; i++) {
        struct flights_item *item = &search->items[places[i]];

        if (loads[i].status != STATUS_OK) {
            status = loads[i].status;
        } else if (product_has_sku(loads[i].product, search->names[places[i]])) {
            *item = loads[i];
            continue;
        }
        product_unref(loads[i].product);
        *item = (struct flights_item){.id = 0};
    }
    return status;
}

static size_t count_found(const struct search *search)
{
    size_t found = 0;

    for (size_t i = 0; i < search->count; i++) {
        found += search->items[i].product != NULL;
    }
    return found;
}

static void try_hints(struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        search->items[i] = (struct flights_item){
            .id = atomic_load_explicit(place_of(search->skus, search->names[i]),
                                       memory_order_relaxed)};
    }
    load_found(search); /* PostgreSQL is asked for those that could not be loaded */
}

/* --- asking PostgreSQL ------------------------------------------------------------------------ */

static const struct pg_statement ids_statement = {
    .name = "ids_of_skus",
    .param_count = 1,
    .sql = "SELECT id, sku FROM products WHERE sku = ANY($1::text[]) AND deleted_at IS NULL"};

enum { COLUMN_ID, COLUMN_SKU };

/* A product that is there has a version, so a tier that takes it for missing is passed over. */
static void take_ids(struct search *search, const struct pg_result *result)
{
    for (int row = 0; row < pg_rows(result); row++) {
        const char *sku = pg_text(result, row, COLUMN_SKU);
        size_t i = 0;

        while (i < search->count && strcmp(search->names[i], sku) != 0) {
            i++;
        }
        assert(i < search->count && search->items[i].product == NULL);
        search->items[i] =
            (struct flights_item){.id = pg_int(result, row, COLUMN_ID), .min_version = 1};
    }
}

static enum status ask_database(struct search *search)
{
    struct pg_params params = PG_PARAMS_EMPTY;
    struct pg_result *result = NULL;
    enum status status;

    pg_params_begin_array(&params);
    for (size_t i = 0; i < search->count; i++) {
        if (search->items[i].product == NULL) {
            pg_params_add_text(&params, search->names[i]);
        }
    }
    pg_params_end_array(&params);
    status =
        rows_ask(search->skus->database, &ids_statement, &params, search->deadline_us, &result);
    if (status == STATUS_OK) {
        take_ids(search, result);
        pg_result_free(result);
    }
    return status;
}

static void keep_hints(const struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        if (search->items[i].product != NULL) {
            atomic_store_explicit(place_of(search->skus, search->names[i]), search->items[i].id,
                                  memory_order_relaxed);
        }
    }
}

enum status skus_load(struct skus *skus, const struct read_wish *wish, const char *const *names,
                      size_t count, int64_t deadline_us, struct flights_item *ret_items,
                      bool *ret_asked)
{
    struct search search = {.skus = skus,
                            .wish = wish,
                            .names = names,
                            .count = count,
                            .deadline_us = deadline_us,
                            .items = ret_items};
    enum status status = STATUS_OK;
    bool is_asked;

    assert(count <= SKU_LIST_MAX);
    try_hints(&search);
    is_asked = count_found(&search) < count;
    if (is_asked && wish->is_cached) {
        status = STATUS_FAILED;
    } else if (is_asked) {
        status = ask_database(&search);
        if (status == STATUS_OK) {
            status = load_found(&search);
        }
        keep_hints(&search);
    }
    if (status != STATUS_OK) {
        release(ret_items, count);
        return status;
    }
    *ret_asked = is_asked;
    return STATUS_OK;
}
