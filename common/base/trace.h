/* What a request waited for: spans, recorded by the thread that works for it.
 *
 * A thread that works for a sampled request has a *record*. The modules on its way begin and end
 * spans without knowing of the request; on a thread without a record that is one look at a
 * variable of the thread:
 *
 *      static const struct trace_kind flight = {.name = "flight"};
 *      int span = trace_begin(&flight, NULL, NULL);
 *      ...
 *      trace_end(span, STATUS_OK);
 *
 * Work that several requests share (a batch of products, a batch of writes) happens on a thread of
 * its own. That thread has a record of its own when one of the requests is sampled; each sampled
 * request gets a copy with its result, and adopts the spans, on its own thread, as children of the
 * span in which it waited. So a record belongs to one thread at a time, nothing is locked, and each
 * trace shows the whole of the work that its request waited for. A request that gave up before the
 * work was done has a wait without children.
 *
 * A record holds TRACE_SPANS_MAX spans; those beyond are counted, and lost. */
#ifndef FASTSTOCK_COMMON_BASE_TRACE_H
#define FASTSTOCK_COMMON_BASE_TRACE_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_SPANS_MAX 32
#define TRACE_ATTRIBUTES_MAX 8
#define TRACE_NONE (-1) /* no span */

#define TRACE_ID_SIZE 33 /* 32 hexadecimal digits and NUL */
#define TRACE_PARENT_SIZE 17

/* A static object of its module: what the spans of one place have in common. */
struct trace_kind {
    const char *name;
    const char *system; /* of a call to a store, for OpenTelemetry's db.system.name; else NULL */
    const char *detail_key; /* the attribute that a span's detail is shown as */
    const char *count_key;  /* the same for its count */
};

/* All texts live as long as the process. */
struct trace_span {
    const struct trace_kind *kind;
    const char *detail; /* e.g. the name of a statement; NULL: none */
    const char *store;  /* the store's name, where the kind has a system */
    int64_t count;      /* e.g. of products; 0: none is shown */
    int64_t start_us;   /* monotonic */
    int64_t end_us;     /* 0: it has not ended */
    int parent;         /* its place in the record; TRACE_NONE: the record's owner */
    enum status status;
};

struct trace_record {
    size_t count;
    size_t lost; /* spans that it had no room for */
    int open;    /* the innermost span that has not ended */
    struct trace_span spans[TRACE_SPANS_MAX];
};

struct trace_attribute {
    const char *key; /* lives as long as the process */
    char *text;      /* owned; NULL: it is the number */
    int64_t number;
};

/* A request and its spans. */
struct trace {
    struct trace *next; /* of a list; of its owner */
    char trace_id[TRACE_ID_SIZE];
    char parent_id[TRACE_PARENT_SIZE]; /* the span that the request came from */
    char *name;                        /* owned */
    size_t attribute_count;
    struct trace_attribute attributes[TRACE_ATTRIBUTES_MAX];
    bool is_failed;
    int64_t start_us; /* monotonic, as all times of a trace */
    int64_t end_us;
    int64_t wall_us; /* what is to be added to them for the time since 1970 */
    struct trace_record record;
};

/* The ids are copied. */
struct trace *trace_create(const char *trace_id, const char *parent_id, int64_t start_us);
void trace_destroy(struct trace *trace); /* NULL is fine */

/* Ends it now, under this name, which is copied. */
void trace_finish(struct trace *trace, const char *name, bool is_failed);

/* At most TRACE_ATTRIBUTES_MAX in all. The text is copied; NULL or "" adds none. */
void trace_add_text(struct trace *trace, const char *key, const char *text);
void trace_add_number(struct trace *trace, const char *key, int64_t number);

/* --- this thread's record --- */

void trace_record_init(struct trace_record *record);

/* From now on spans of this thread go into this record, which the caller owns; NULL: into none. */
void trace_record_into(struct trace_record *record);
bool trace_is_recording(void);

/* Begins a span within the one that is open; TRACE_NONE when it is not recorded. */
int trace_begin(const struct trace_kind *kind, const char *detail, const char *store);
/* TRACE_NONE is fine for all of these. */
void trace_set_detail(int span, const char *detail);
void trace_set_count(int span, int64_t count);
void trace_end(int span, enum status status);

/* Adds a span that is over, within the one that is open. */
void trace_add(const struct trace_kind *kind, int64_t start_us, int64_t end_us);

/* Copies this thread's record; spans that have not ended end now in the copy. */
void trace_copy(struct trace_record *ret_record);

/* Adds the spans of a record that no thread writes to any more, within the span that is open. */
void trace_adopt(const struct trace_record *record);

#endif
