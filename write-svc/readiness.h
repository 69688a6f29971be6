/* Can changes be made? PostgreSQL answers and takes writes (the store's own state), the migrations
 * were applied, and the role of DATABASE_URL has the rights that a change needs. Asked at most once
 * a second, however many ask; thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_READINESS_H
#define FASTSTOCK_WRITE_SVC_READINESS_H

#include "common/stores/pg.h"

#include <stdbool.h>

#define READINESS_WHY_SIZE 512

struct readiness;

/* `database` is borrowed and outlives it. */
struct readiness *readiness_create(struct pg_store *database);
void readiness_destroy(struct readiness *readiness); /* NULL is fine */

/* On false `ret_why` says what is missing; "" when the state of the store says it. May take a
 * second. */
bool readiness_check(struct readiness *readiness, char ret_why[READINESS_WHY_SIZE]);

#endif
