/* What PostgreSQL says when it refuses a statement, and what a caller can do about it. */
#ifndef FASTSTOCK_COMMON_STORES_PG_ERROR_H
#define FASTSTOCK_COMMON_STORES_PG_ERROR_H

/* Kinds of refusal, by the classes of SQLSTATE (Appendix A of PostgreSQL's manual). A refused
 * statement has changed nothing. */
enum pg_failure {
    /* May pass without anybody's doing: too few resources (53), an operator's intervention (57), a
     * connection that is going (08), and all states that are not listed below. Try later. */
    PG_FAILURE_PASSING,
    /* Aborted in favour of another transaction: a deadlock or a serialization failure (40). Run it
     * again at once. */
    PG_FAILURE_CONFLICT,
    /* Another transaction held a row for longer than lock_timeout (55P03). */
    PG_FAILURE_LOCKED,
    /* A value that was sent cannot be stored: out of range, or with a character that the encoding
     * of the database lacks (22), or too long for a limit of the server (54). The same statement
     * fails again for ever, another value may do. */
    PG_FAILURE_VALUE,
    /* A rule of the database forbids the change: a constraint (23, 44), or a function that raised
     * an exception of its own (P0). Fails again for ever. */
    PG_FAILURE_CONSTRAINT,
    /* The role lacks a right (42501, 28). Fails until an operator grants it. */
    PG_FAILURE_DENIED,
    /* The statement does not fit the database: something is not there, or is of another form (other
     * 42, and 0A, 21, 26, 3D, 3F). Fails until the migrations and the service agree. */
    PG_FAILURE_SCHEMA,
};

struct pg_error {
    enum pg_failure failure;
    char sqlstate[6]; /* "" when there is none */
    char message[256];
};

/* Thread-safe. "" and NULL are PG_FAILURE_PASSING. */
enum pg_failure pg_failure_of(const char *sqlstate);

/* "denied" and the like, for logs. */
const char *pg_failure_name(enum pg_failure failure);

#endif
