#include "write-svc/stock_outcome.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char *const names[] = {
    [STOCK_APPLIED] = "applied",
    [STOCK_NOT_FOUND] = "not_found",
    [STOCK_INSUFFICIENT] = "insufficient_stock",
    [STOCK_VERSION_MISMATCH] = "version_mismatch",
    [STOCK_OUT_OF_RANGE] = "out_of_range",
    [STOCK_UNKNOWN] = "unknown",
    [STOCK_UNAVAILABLE] = "unavailable",
    [STOCK_LOCKED] = "locked",
    [STOCK_BAD_REASON] = "bad_reason",
    [STOCK_REFUSED] = "refused",
};

_Static_assert(FS_ARRAY_LEN(names) == STOCK_OUTCOMES, "each outcome has a name");

const char *stock_outcome_name(enum stock_outcome outcome)
{
    assert(outcome < STOCK_OUTCOMES);
    return names[outcome];
}

bool stock_outcome_parse(const char *name, enum stock_outcome *ret_outcome)
{
    for (enum stock_outcome outcome = STOCK_APPLIED; outcome < STOCK_UNKNOWN; outcome++) {
        if (strcmp(names[outcome], name) == 0) {
            *ret_outcome = outcome;
            return true;
        }
    }
    return false;
}
