#include "write-svc/readiness.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_MS 1000 /* the timeout of a check, and the least time between two */

struct readiness {
    struct pg_store *database;
    pthread_mutex_t lock; /* guards the rest */
    int64_t checked_us;
    char missing[READINESS_WHY_SIZE]; /* what the last check found missing; "" for nothing */
};

struct readiness *readiness_create(struct pg_store *database)
{
    struct readiness *readiness = fs_calloc(1, sizeof(*readiness));

    readiness->database = database;
    pthread_mutex_init(&readiness->lock, NULL);
    snprintf(readiness->missing, sizeof(readiness->missing), "the schema was not looked at yet");
    return readiness;
}

void readiness_destroy(struct readiness *readiness)
{
    if (readiness == NULL) {
        return;
    }
    pthread_mutex_destroy(&readiness->lock);
    free(readiness);
}

/* NULL, or what is missing. A function that runs with its owner's rights (SECURITY DEFINER) needs
 * none of its caller's on the tables. */
static const char check_sql[] =
    "SELECT CASE"
    " WHEN f.oid IS NULL THEN 'the function write_change is not there, or the role '"
    "  || current_user || ' may not use its schema: apply the migrations (sql/migrate)'"
    " WHEN NOT has_function_privilege(f.oid, 'EXECUTE')"
    "  THEN 'the role ' || current_user || ' may not EXECUTE the function write_change'"
    " WHEN p.prosecdef THEN NULL"
    " ELSE (SELECT 'the role ' || current_user || ' lacks the right ' || r.name || ' on ' || r.of"
    "  FROM (VALUES (1, 'products', 'SELECT, INSERT, UPDATE'), (2, 'stock_movements', 'INSERT'),"
    "   (3, 'orders', 'SELECT, INSERT, UPDATE'), (4, 'order_items', 'SELECT, INSERT'),"
    "   (5, 'reservations', 'SELECT, INSERT, UPDATE'),"
    "   (6, 'reservation_items', 'SELECT, INSERT'),"
    "   (7, 'idempotency_keys', 'SELECT, INSERT'),"
    "   (8, 'write_lanes', 'SELECT, INSERT, UPDATE')) AS t (n, name, rights)"
    "  CROSS JOIN LATERAL (SELECT t.name AS of, name FROM"
    "   unnest(string_to_array(t.rights, ', ')) AS name) AS r"
    "  WHERE NOT has_any_column_privilege(to_regclass(r.of), r.name) ORDER BY t.n, r.name LIMIT 1)"
    " END"
    " FROM (SELECT to_regprocedure("
    "  'write_change(bigint,bigint,bigint,bigint,bigint,text)') AS oid) AS f"
    " LEFT JOIN pg_proc AS p ON p.oid = f.oid";

static void set_missing(struct readiness *readiness, const char *missing)
{
    bool is_news;

    pthread_mutex_lock(&readiness->lock);
    is_news = strcmp(readiness->missing, missing) != 0;
    snprintf(readiness->missing, sizeof(readiness->missing), "%s", missing);
    pthread_mutex_unlock(&readiness->lock);
    if (is_news && missing[0] != '\0') {
        log_error(log_msg("no change can be made"), log_str("error", missing));
    }
}

/* If PostgreSQL does not answer, the last verdict stays. Asks again while connections turn out to
 * be broken, because an idle writer would not notice an outage otherwise. */
static void ask(struct readiness *readiness)
{
    int64_t deadline_us = clock_after_ms(CHECK_MS);
    struct pg_result *rows = NULL;
    struct pg_error error;
    enum status status;

    do {
        status = pg_query(readiness->database, check_sql, NULL, 0, deadline_us, &rows, &error);
    } while (status == STATUS_BROKEN && clock_left_ms(deadline_us) > 0);
    if (status == STATUS_OK) {
        const char *missing = pg_text(rows, 0, 0);

        set_missing(readiness, missing == NULL ? "" : missing);
        pg_result_free(rows);
    } else if (status == STATUS_FAILED) {
        set_missing(readiness, error.message);
    }
}

/* While something is missing, each time. */
static bool is_due(struct readiness *readiness)
{
    int64_t now_us = clock_mono_us();
    bool due;

    pthread_mutex_lock(&readiness->lock);
    due = readiness->missing[0] != '\0' ||
          now_us - readiness->checked_us >= CHECK_MS * CLOCK_US_PER_MS;
    readiness->checked_us = due ? now_us : readiness->checked_us;
    pthread_mutex_unlock(&readiness->lock);
    return due;
}

bool readiness_check(struct readiness *readiness, char ret_why[READINESS_WHY_SIZE])
{
    ret_why[0] = '\0';
    if (pg_store_state(readiness->database) == BREAKER_CLOSED && is_due(readiness)) {
        ask(readiness);
    }
    if (pg_store_state(readiness->database) != BREAKER_CLOSED) {
        return false;
    }
    pthread_mutex_lock(&readiness->lock);
    memcpy(ret_why, readiness->missing, READINESS_WHY_SIZE);
    pthread_mutex_unlock(&readiness->lock);
    return ret_why[0] == '\0';
}
