/* The parameters of a statement, $1 and on, as the texts that pg_run takes. The one place where
 * numbers and arrays become text, and where the elements of an array are quoted.
 *
 *     struct pg_params params = PG_PARAMS_EMPTY;
 *
 *     pg_params_begin_array(&params);                        $1::bigint[]
 *     pg_params_add_int(&params, 7);
 *     pg_params_add_int(&params, 9);
 *     pg_params_end_array(&params);
 *     pg_params_add_text(&params, reason);                   $2::text, NULL is SQL's NULL
 *     pg_run(store, &statement, pg_params_values(&params), ...);
 *     pg_params_finish(&params);
 *
 * Values are copied. Not thread-safe: one statement, one thread. */
#ifndef FASTSTOCK_COMMON_STORES_PG_PARAMS_H
#define FASTSTOCK_COMMON_STORES_PG_PARAMS_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_PARAMS_MAX 16

struct pg_params {
    struct strbuf texts; /* one behind the other, each with a NUL */
    size_t starts[PG_PARAMS_MAX];
    bool is_null[PG_PARAMS_MAX];
    const char *values[PG_PARAMS_MAX];
    size_t count;
    bool is_in_array;
    bool has_elements; /* the array, so far */
};

/* clang-format off */
#define PG_PARAMS_EMPTY {.texts = STRBUF_EMPTY}
/* clang-format on */

void pg_params_finish(struct pg_params *params);

/* Adds a parameter or, between begin and end, an element of an array. */
void pg_params_add_int(struct pg_params *params, int64_t value);
void pg_params_add_bool(struct pg_params *params, bool value);
void pg_params_add_text(struct pg_params *params, const char *text); /* NULL is SQL's NULL */

/* An array is one parameter; of one dimension, and possibly empty. */
void pg_params_begin_array(struct pg_params *params);
void pg_params_end_array(struct pg_params *params);

/* The texts, as many as were added; valid until the next call that adds. */
const char *const *pg_params_values(struct pg_params *params);

#endif
