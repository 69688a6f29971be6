/* Orders and reservations, as the API shows them (sql/migrations/0011 makes the same of those that
 * it answers with). They come from the primary, so a read after an acknowledged write sees it. One
 * statement each, however many items there are. All functions are thread-safe. */
#ifndef FASTSTOCK_READ_SVC_ORDERS_H
#define FASTSTOCK_READ_SVC_ORDERS_H

#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORDERS_PAGE_MAX 100

/* Adds the JSON of one to `json`; `ret_found`: there is one. `database` must be the primary. */
enum status orders_read_order(struct pg_store *database, int64_t id, int64_t deadline_us,
                              struct strbuf *json, bool *ret_found);
enum status orders_read_reservation(struct pg_store *database, int64_t id, int64_t deadline_us,
                                    struct strbuf *json, bool *ret_found);

/* Adds up to `limit` <= ORDERS_PAGE_MAX orders with an id above `after`, with commas between them.
 * `ret_next`: the id of the last one, when others follow it; else 0. */
enum status orders_read_page(struct pg_store *database, int64_t after, size_t limit,
                             int64_t deadline_us, struct strbuf *json, int64_t *ret_next);

#endif
