/* What came of a stock change. */
#ifndef FASTSTOCK_WRITE_SVC_STOCK_OUTCOME_H
#define FASTSTOCK_WRITE_SVC_STOCK_OUTCOME_H

#include <stdbool.h>

enum stock_outcome {
    /* what change_stock answers */
    STOCK_APPLIED,
    STOCK_NOT_FOUND,
    STOCK_INSUFFICIENT,     /* it would fall below zero */
    STOCK_VERSION_MISMATCH, /* not at expected_version */
    STOCK_OUT_OF_RANGE,     /* it would exceed PARSE_JSON_INT_MAX */
    /* how the transaction ended otherwise (transaction.h); nothing was changed, but for the first
     */
    STOCK_UNKNOWN, /* it may have been changed */
    STOCK_UNAVAILABLE,
    STOCK_LOCKED,
    STOCK_BAD_REASON, /* the database cannot store the reason */
    STOCK_REFUSED,
    STOCK_OUTCOMES /* how many there are */
};

/* The word for an outcome, in metrics and between SQL and us. */
const char *stock_outcome_name(enum stock_outcome outcome);

/* The outcome that change_stock means by this word; false when it has no such word. */
bool stock_outcome_parse(const char *name, enum stock_outcome *ret_outcome);

#endif
