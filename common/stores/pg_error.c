#include "common/stores/pg_error.h"

#include "common/base/alloc.h"

#include <stddef.h>
#include <string.h>

/* The longest prefix stands first, because the first match counts. */
static const struct {
    const char *prefix;
    enum pg_failure failure;
} failures[] = {
    {"42501", PG_FAILURE_DENIED},  {"55P03", PG_FAILURE_LOCKED}, {"0A", PG_FAILURE_SCHEMA},
    {"21", PG_FAILURE_SCHEMA},     {"22", PG_FAILURE_VALUE},     {"23", PG_FAILURE_CONSTRAINT},
    {"26", PG_FAILURE_SCHEMA},     {"28", PG_FAILURE_DENIED},    {"3D", PG_FAILURE_SCHEMA},
    {"3F", PG_FAILURE_SCHEMA},     {"40", PG_FAILURE_CONFLICT},  {"42", PG_FAILURE_SCHEMA},
    {"44", PG_FAILURE_CONSTRAINT}, {"54", PG_FAILURE_VALUE},     {"P0", PG_FAILURE_CONSTRAINT},
};

enum pg_failure pg_failure_of(const char *sqlstate)
{
    for (size_t i = 0; sqlstate != NULL && i < FS_ARRAY_LEN(failures); i++) {
        if (strncmp(sqlstate, failures[i].prefix, strlen(failures[i].prefix)) == 0) {
            return failures[i].failure;
        }
    }
    return PG_FAILURE_PASSING;
}

const char *pg_failure_name(enum pg_failure failure)
{
    static const char *const names[] = {
        [PG_FAILURE_PASSING] = "passing",       [PG_FAILURE_CONFLICT] = "conflict",
        [PG_FAILURE_LOCKED] = "locked",         [PG_FAILURE_VALUE] = "value",
        [PG_FAILURE_CONSTRAINT] = "constraint", [PG_FAILURE_DENIED] = "denied",
        [PG_FAILURE_SCHEMA] = "schema",
    };

    return names[failure];
}
