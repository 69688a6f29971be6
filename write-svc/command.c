#include "write-svc/command.h"

#include "common/base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
    [WRITE_CHANGE] = "change",           [WRITE_CHANGES_EACH] = "changes_each",
    [WRITE_CHANGES_ALL] = "changes_all", [WRITE_ORDER] = "order",
    [WRITE_RESERVE] = "reserve",         [WRITE_CONFIRM] = "confirm",
    [WRITE_RELEASE] = "release",         [WRITE_CANCEL] = "cancel",
    [WRITE_CREATE] = "create",           [WRITE_EDIT] = "edit",
    [WRITE_DELETE] = "delete",
};

_Static_assert(FS_ARRAY_LEN(kind_names) == WRITE_KINDS, "each kind has a name");

static const char *const outcome_names[] = {
    [WRITE_APPLIED] = "applied",
    [WRITE_NOT_FOUND] = "not_found",
    [WRITE_INSUFFICIENT] = "insufficient_stock",
    [WRITE_VERSION_MISMATCH] = "version_mismatch",
    [WRITE_OUT_OF_RANGE] = "out_of_range",
    [WRITE_RESERVED] = "reserved",
    [WRITE_SKU_TAKEN] = "sku_taken",
    [WRITE_NOT_HELD] = "not_held",
    [WRITE_EXPIRED] = "expired",
    [WRITE_CANCELLED] = "cancelled",
    [WRITE_CHANGES_REFUSED] = "refused",
    [WRITE_LOCKED] = "locked",
    [WRITE_KEY_BUSY] = "key_busy",
    [WRITE_KEY_REUSED] = "key_reused",
    [WRITE_UNKNOWN] = "unknown",
    [WRITE_UNAVAILABLE] = "unavailable",
    [WRITE_LATE] = "late",
    [WRITE_UNSTORABLE] = "unstorable",
    [WRITE_REFUSED] = "refused_by_store",
};

_Static_assert(FS_ARRAY_LEN(outcome_names) == WRITE_OUTCOMES, "each outcome has a name");

void write_result_finish(struct write_result *result)
{
    free(result->text);
    result->text = NULL;
}

const char *write_kind_name(enum write_kind kind)
{
    assert(kind < WRITE_KINDS);
    return kind_names[kind];
}

const char *write_outcome_name(enum write_outcome outcome)
{
    assert(outcome < WRITE_OUTCOMES);
    return outcome_names[outcome];
}

bool write_outcome_parse(const char *name, enum write_outcome *ret_outcome)
{
    for (enum write_outcome outcome = WRITE_APPLIED; outcome < WRITE_UNKNOWN; outcome++) {
        if (strcmp(outcome_names[outcome], name) == 0) {
            *ret_outcome = outcome;
            return true;
        }
    }
    return false;
}
