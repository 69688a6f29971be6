/* A command: what one request asks of the database, and what came of it. */
#ifndef FASTSTOCK_WRITE_SVC_COMMAND_H
#define FASTSTOCK_WRITE_SVC_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    WRITE_NOT_HELD,        /* the reservation was confirmed or released */
    WRITE_EXPIRED,         /* the reservation has expired */
    WRITE_CANCELLED,       /* the order was cancelled before */
    WRITE_CHANGES_REFUSED, /* WRITE_CHANGES_ALL: not all of its items can be applied */
    WRITE_LOCKED,          /* another transaction holds a row of it for long */
    WRITE_KEY_BUSY,        /* the first request with this key is being judged */
    WRITE_KEY_REUSED,      /* another request had this key */
    /* how it ended otherwise; nothing was changed, but perhaps for the first */
    WRITE_UNKNOWN, /* it may have been changed: PostgreSQL did not come back in time to tell */
    WRITE_UNAVAILABLE,
    WRITE_LATE,       /* the deadline passed, or the lane was full, before its batch began */
    WRITE_UNSTORABLE, /* a text has a character that the database's encoding lacks */
    WRITE_REFUSED,    /* PostgreSQL refuses it until an operator has looked at the log */
    WRITE_OUTCOMES    /* how many there are */
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

/* Frees what the result owns. */
void write_result_finish(struct write_result *result);

/* The words for kinds and outcomes, in metrics and between SQL and us. */
const char *write_kind_name(enum write_kind kind);
const char *write_outcome_name(enum write_outcome outcome);

/* The outcome that write_batch means by this word; false when it has no such word. */
bool write_outcome_parse(const char *name, enum write_outcome *ret_outcome);

#endif
