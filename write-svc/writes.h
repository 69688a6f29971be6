/* Writes: what requests ask of the database, batched, and judged once.
 *
 * A *command* is what one request asks for: a stock change, an order, a reservation, its end, a
 * change of the catalogue. Commands are judged in PostgreSQL by one function, write_batch
 * (sql/migrations/0011), many at a time, each on its own. A command is acknowledged when the
 * transaction of its batch is committed and its products are published to Redis.
 *
 * **Lanes.** A command waits in the *lane* of its first product, so that the commands of a hot
 * product are in one lane. A lane is a gather with one worker: while a batch is in flight, the next
 * one gathers; no timer holds a command back. So one product costs one transaction and one flush of
 * the WAL a batch, however many requests want it. (Locks on rows alone would let each of them wait
 * for the commit of the one before.)
 *
 * **Deadlines.** A command whose deadline passes before its batch begins is certainly not made, and
 * its request hears so at once (WRITE_EXPIRED). One whose batch has begun waits for the truth.
 *
 * **The truth.** A connection may break after COMMIT was sent. Each batch moves the row of its lane
 * on, in its own transaction; so the lane asks that row: write_batch_end either finds the batch
 * with its answers, or moves the lane on itself, after which the transaction cannot commit any
 * more, wherever it may still be running. Only when no PostgreSQL answers that question in time a
 * command ends as WRITE_UNKNOWN.
 *
 * **Held products.** A product that another transaction holds for long would make a whole lane wait
 * with each batch. Its commands are set aside, and refused (WRITE_LOCKED) without waiting until the
 * product is free again; the others of the lane go on.
 *
 * Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_WRITES_H
#define FASTSTOCK_WRITE_SVC_WRITES_H

#include "write-svc/publisher.h"

#include "common/stores/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct writes;

/* What write_batch knows of each stands in sql/migrations/0011. */
enum write_kind {
    WRITE_CHANGE,       /* one item */
    WRITE_CHANGES_EACH, /* many items, each judged on its own */
    WRITE_CHANGES_ALL,  /* many items, all or nothing */
    WRITE_ORDER,        /* items with quantities */
    WRITE_RESERVE,      /* items with quantities; subject: for how many seconds */
    WRITE_CONFIRM,      /* subject: the reservation */
    WRITE_RELEASE,      /* subject: the reservation */
    WRITE_CANCEL,       /* subject: the order */
    WRITE_CREATE,       /* details: {"name","price","stock","sku"} */
    WRITE_EDIT,         /* one item: the product; details: {"name","price"}, each optional */
    WRITE_DELETE,       /* one item: the product */
    WRITE_KINDS         /* how many there are */
};

enum write_outcome {
    /* what write_batch answers */
    WRITE_APPLIED,
    WRITE_NOT_FOUND,
    WRITE_INSUFFICIENT,     /* the stock would fall below zero */
    WRITE_VERSION_MISMATCH, /* not at expected_version */
    WRITE_OUT_OF_RANGE,     /* stock and reserved together would exceed PARSE_JSON_INT_MAX */
    WRITE_RESERVED,         /* units of the product are reserved, so it is not deleted */
    WRITE_SKU_TAKEN,
    WRITE_NOT_HELD,         /* the reservation was confirmed or released */
    WRITE_RESERVATION_OVER, /* it has expired */
    WRITE_CANCELLED,        /* the order was cancelled before */
    WRITE_CHANGES_REFUSED,  /* WRITE_CHANGES_ALL: not all of its items can be applied */
    WRITE_LOCKED,           /* another transaction holds a row of it for long */
    WRITE_KEY_BUSY,         /* the first request with this key is being judged */
    WRITE_KEY_REUSED,       /* another request had this key */
    /* how it ended otherwise; nothing was changed, but perhaps for the first */
    WRITE_UNKNOWN, /* it may have been changed: PostgreSQL did not come back in time to tell */
    WRITE_UNAVAILABLE,
    WRITE_EXPIRED,  /* the deadline passed, or the lane was full, before its batch began */
    WRITE_UNSTORABLE, /* a text has a character that the database's encoding lacks */
    WRITE_REFUSED,  /* PostgreSQL refuses it until an operator has looked at the log */
    WRITE_OUTCOMES  /* how many there are */
};

struct write_item {
    int64_t product_id;
    int64_t amount;           /* what is added; the new stock; or a quantity, by the kind */
    bool is_absolute;         /* WRITE_CHANGE...: `amount` is the new stock */
    int64_t expected_version; /* 0: any */
    const char *reason;       /* NULL: none */
};

#define WRITE_ITEMS_MAX 1000
#define WRITE_FINGERPRINT_SIZE 65 /* SHA-256 in hex, and NUL */

struct write_command {
    enum write_kind kind;
    int64_t subject;         /* by the kind; else 0 */
    const char *details;     /* by the kind; else NULL */
    const char *key;         /* Idempotency-Key; NULL: none */
    const char *fingerprint; /* of the request; with a key only */
    const struct write_item *items;
    size_t item_count; /* at most WRITE_ITEMS_MAX */
};

struct write_result {
    enum write_outcome outcome;
    bool is_replayed; /* the answer is that of an earlier request with the same key */
    int64_t version;  /* of the product, for the ETag; 0: none */
    /* JSON. WRITE_APPLIED: the body of the answer. Refused by write_batch: the further members of
     * the problem, each behind a comma, or "". Else "". */
    char *text;
};

struct writes_options {
    struct pg_store *database;   /* borrowed */
    struct publisher *publisher; /* borrowed */
    int lanes;                   /* each has one connection in use at a time, at most */
    size_t batch_max;            /* commands of a batch */
    size_t waiting_max;          /* commands that may wait in a lane */
};

/* Starts the lanes' threads. */
struct writes *writes_create(const struct writes_options *options);
void writes_destroy(struct writes *writes); /* NULL is fine; no request may be under way */

/* Runs one command, which is borrowed until the call returns. Applied is durable. It returns at the
 * deadline unless the command's batch has begun by then; then some seconds later at most. The
 * result is the caller's: write_result_finish. */
void writes_run(struct writes *writes, const struct write_command *command, int64_t deadline_us,
                struct write_result *ret_result);
void write_result_finish(struct write_result *result);

/* The word for an outcome, in metrics and between SQL and us. */
const char *write_outcome_name(enum write_outcome outcome);

#endif
