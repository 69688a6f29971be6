/* Lines in, results out. A batch of lines is gathered from the body, given to the importer, and
 * answered; so memory holds one batch, and what is held back of the answer.
 *
 * The answer is held back until the body ends, or until it has grown to HELD_BYTES_MAX, because
 * many clients read nothing before they have sent all (stream.h). Larger imports need a client that
 * reads while it sends, or come in several requests, as `./dev import` sends them.
 *
 * A body that ends early, and PostgreSQL that goes away, end the import. Then a problem tells how
 * many lines, from the first, were judged: as the answer, or as its last line if it was begun. */
#include "write-svc/handlers/catalog.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/http/content.h"
#include "common/http/problem.h"
#include "common/http/stream.h"
#include "common/products/sku.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define IMPORTS_MAX 4       /* at a time: each holds a thread and, most of the time, a connection */
#define LINE_BYTES_MAX 8192 /* the longest name, sku and so on, all of it escaped, takes 3 KiB */
#define HELD_BYTES_MAX 4194304
#define BATCH_WAIT_MS 1000 /* for more lines, of a client that is slow */

/* What becomes of a line: counted, and told. */
enum { CREATED, UPDATED, UNCHANGED, REFUSED, COUNTS };

static const char *const count_names[COUNTS] = {"created", "updated", "unchanged", "refused"};

/* A line of the batch. */
struct line {
    int64_t number;
    struct json_problem *problem; /* owned; NULL: it is imported */
};

struct import {
    struct importer *importer;
    struct http_stream *stream;
    struct strbuf text; /* the line that is being read */
    int64_t number;     /* of the last line */
    int64_t judged;     /* lines, from the first, whose results are in the answer */
    int64_t counts[COUNTS];
    int64_t begun_us; /* when the first line of the batch came */
    size_t line_count;
    size_t import_count;
    struct line lines[IMPORT_BATCH_MAX];
    struct import_line imports[IMPORT_BATCH_MAX]; /* those that are imported, in their order */
    struct import_result results[IMPORT_BATCH_MAX];
};

static struct import *import_create(struct importer *importer, struct http_stream *stream)
{
    struct import *import = fs_calloc(1, sizeof(*import));

    import->importer = importer;
    import->stream = stream;
    return import;
}

static void clear_batch(struct import *import)
{
    for (size_t i = 0; i < import->line_count; i++) {
        free(import->lines[i].problem);
    }
    for (size_t i = 0; i < import->import_count; i++) {
        free((char *)import->imports[i].sku);
        free((char *)import->imports[i].name);
    }
    import->line_count = 0;
    import->import_count = 0;
}

static void import_destroy(struct import *import)
{
    clear_batch(import);
    strbuf_finish(&import->text);
    free(import);
}

/* --- one line --------------------------------------------------------------------------------- */

static void set_problem(struct json_problem *problem, const char *field, const char *detail)
{
    *problem = (struct json_problem){.field = ""};
    memcpy(problem->field, field, strnlen(field, sizeof(problem->field) - 1));
    memcpy(problem->detail, detail, strnlen(detail, sizeof(problem->detail) - 1));
}

/* Reads one product. The texts of *ret_line are the caller's. */
static bool read_line(const char *text, size_t len, struct import_line *ret_line,
                      struct json_problem *ret_problem)
{
    struct json_field fields[CATALOG_FIELDS + 1];
    bool ok;

    memcpy(fields, catalog_fields, sizeof(fields));
    ok = json_read_object(text, len, fields, ret_problem);
    if (ok && !catalog_has_valid_sku(fields)) {
        set_problem(ret_problem, "sku", SKU_EXPECTED);
        ok = false;
    }
    if (ok) {
        *ret_line = (struct import_line){.sku = fields[CATALOG_SKU].string,
                                         .name = fields[CATALOG_NAME].string,
                                         .price = fields[CATALOG_PRICE].integer,
                                         .stock = fields[CATALOG_STOCK].integer};
        fields[CATALOG_SKU].string = NULL;
        fields[CATALOG_NAME].string = NULL;
    }
    json_fields_finish(fields);
    return ok;
}

/* Takes the line that was read into the batch. */
static void take_line(struct import *import)
{
    struct line *line = &import->lines[import->line_count++];
    struct json_problem problem;
    bool ok;

    assert(import->line_count <= IMPORT_BATCH_MAX);
    if (import->line_count == 1) {
        import->begun_us = clock_mono_us();
    }
    line->number = ++import->number;
    line->problem = NULL;
    if (import->text.len > LINE_BYTES_MAX) {
        set_problem(&problem, "line", "expected a line of at most 8192 bytes");
        ok = false;
    } else {
        ok = read_line(strbuf_text(&import->text), import->text.len,
                       &import->imports[import->import_count], &problem);
    }
    if (ok) {
        import->import_count++;
    } else {
        line->problem = fs_calloc(1, sizeof(problem));
        *line->problem = problem;
    }
    strbuf_clear(&import->text);
}

/* --- results ---------------------------------------------------------------------------------- */

static void answer_refused(struct import *import, int64_t number, const char *field,
                           const char *detail)
{
    struct strbuf *body = &import->stream->response->body;

    strbuf_addf(body, "{\"line\":%" PRId64 ",\"status\":\"refused\",\"field\":", number);
    json_add_string(body, *field == '\0' ? "line" : field);
    strbuf_adds(body, ",\"detail\":");
    json_add_string(body, detail);
    strbuf_adds(body, "}\n");
    import->counts[REFUSED]++;
}

static void answer_imported(struct import *import, int64_t number,
                            const struct import_result *result, int count)
{
    strbuf_addf(&import->stream->response->body,
                "{\"line\":%" PRId64 ",\"status\":\"%s\",\"id\":%" PRId64 ",\"version\":%" PRId64
                "}\n",
                number, count_names[count], result->id, result->version);
    import->counts[count]++;
}

static void answer_judged(struct import *import, int64_t number, const struct import_result *result)
{
    switch (result->status) {
    case IMPORT_CREATED:
        answer_imported(import, number, result, CREATED);
        break;
    case IMPORT_UPDATED:
        answer_imported(import, number, result, UPDATED);
        break;
    case IMPORT_UNCHANGED:
        answer_imported(import, number, result, UNCHANGED);
        break;
    case IMPORT_OUT_OF_RANGE:
        answer_refused(import, number, "stock",
                       "with what is reserved it would exceed 9007199254740991");
        break;
    case IMPORT_LOCKED:
        answer_refused(import, number, "sku",
                       "another change of this product takes long; nothing was changed");
        break;
    case IMPORT_UNSTORABLE:
        answer_refused(import, number, "name",
                       "the encoding of the database lacks a character of it");
        break;
    case IMPORT_FORBIDDEN:
        answer_refused(import, number, "line", "a constraint of the database forbids it");
        break;
    case IMPORT_STATUSES:
        assert(false); /* it is none */
    }
}

/* The results of the batch, up to the first line that was not judged. */
static void answer_batch(struct import *import, size_t done)
{
    size_t judged = 0;

    for (size_t i = 0; i < import->line_count; i++) {
        const struct line *line = &import->lines[i];

        if (line->problem != NULL) {
            answer_refused(import, line->number, line->problem->field, line->problem->detail);
        } else if (judged < done) {
            answer_judged(import, line->number, &import->results[judged++]);
        } else {
            return;
        }
        import->judged = line->number;
    }
}

/* {"lines":7,"created":7,...; `lines` are those that were judged. */
static void add_counts(const struct import *import, struct strbuf *text)
{
    strbuf_addf(text, "\"lines\":%" PRId64, import->judged);
    for (int i = 0; i < COUNTS; i++) {
        strbuf_addf(text, ",\"%s\":%" PRId64, count_names[i], import->counts[i]);
    }
}

/* --- the end of an import --------------------------------------------------------------------- */

/* A problem as the answer, or as the last line of one that was begun, which then lacks its end. */
static void fail(struct import *import, enum import_end end)
{
    static const struct http_problem_type refused_by_store = {500, "refused-by-store",
                                                              "Refused by a store"};
    const struct http_request *request = import->stream->request;
    struct http_response *response = import->stream->response;
    struct strbuf members = STRBUF_EMPTY;

    strbuf_addc(&members, ',');
    add_counts(import, &members);
    switch (end) {
    case IMPORT_DONE:
        http_stream_problem(import->stream, members.text);
        break;
    case IMPORT_UNAVAILABLE:
        http_problem(
            request, response, HTTP_UNAVAILABLE,
            "PostgreSQL is away, or too busy; the lines behind \"lines\" were not imported",
            members.text);
        break;
    case IMPORT_UNKNOWN:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL did not confirm a batch: up to 1000 of the lines behind \"lines\" "
                     "may or may not have been imported",
                     members.text);
        break;
    case IMPORT_REFUSED:
        http_problem_of(request, response, &refused_by_store,
                        "PostgreSQL refuses imports until an operator has looked at the log; the "
                        "lines behind \"lines\" were not imported",
                        members.text);
        break;
    }
    if (import->stream->is_begun) {
        strbuf_addc(&response->body, '\n');
        response->is_cut = true;
    }
    strbuf_finish(&members);
}

static void finish(struct import *import)
{
    struct strbuf *body = &import->stream->response->body;

    strbuf_addc(body, '{');
    add_counts(import, body);
    strbuf_adds(body, "}\n");
}

/* --- batches ---------------------------------------------------------------------------------- */

/* False when the import is over. */
static bool run_batch(struct import *import)
{
    size_t done = 0;
    enum import_end end = importer_run(import->importer, import->imports, import->import_count,
                                       import->results, &done);

    answer_batch(import, done);
    clear_batch(import);
    if ((import->stream->is_begun || import->stream->response->body.len > HELD_BYTES_MAX) &&
        !http_stream_flush(import->stream)) {
        return false;
    }
    if (end != IMPORT_DONE) {
        fail(import, end);
    }
    return end == IMPORT_DONE;
}

/* Takes bytes of the body, and runs each batch that is full. False when the import is over. */
static bool take_bytes(struct import *import, const char *bytes, size_t len)
{
    const char *end = bytes + len;

    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t part = (size_t)((newline == NULL ? end : newline) - bytes);

        /* of a line that is too long no more is kept than shows that it is */
        if (import->text.len <= LINE_BYTES_MAX) {
            strbuf_add(&import->text, bytes, part);
        }
        bytes += part;
        if (newline != NULL) {
            bytes++;
            take_line(import);
            if (import->line_count == IMPORT_BATCH_MAX && !run_batch(import)) {
                return false;
            }
        }
    }
    return true;
}

/* Have the lines of the batch waited long for others? */
static bool is_due(const struct import *import)
{
    return import->line_count > 0 &&
           clock_mono_us() - import->begun_us >= BATCH_WAIT_MS * CLOCK_US_PER_MS;
}

static void run(struct import *import)
{
    char bytes[HTTP_STREAM_READ_MAX];
    size_t len;

    while ((len = http_stream_read(import->stream, bytes, sizeof(bytes))) > 0) {
        if (!take_bytes(import, bytes, len) || (is_due(import) && !run_batch(import))) {
            return;
        }
    }
    if (import->stream->end != HTTP_STREAM_WHOLE) {
        fail(import, IMPORT_DONE);
        return;
    }
    if (import->text.len > 0) { /* the last line need not end */
        take_line(import);
    }
    if (import->line_count == 0 || run_batch(import)) {
        finish(import);
    }
}

static bool check(const struct http_request *request, struct http_response *response,
                  struct handlers *handlers)
{
    if (!checks_token(request, response, handlers->auth) || !http_check_ndjson(request, response)) {
        return false;
    }
    if (http_header_count(request, HTTP_IDEMPOTENCY_KEY) > 0) {
        http_bad_field(request, response, "Idempotency-Key",
                       "expected none with an import: a line with an SKU may be repeated without "
                       "harm");
        return false;
    }
    return true;
}

void handle_import(const struct http_request *request, struct http_response *response,
                   void *context)
{
    static atomic_int running;
    struct handlers *handlers = context;
    struct import *import;

    if (!check(request, response, handlers)) {
        return;
    }
    if (atomic_fetch_add(&running, 1) < IMPORTS_MAX) {
        import = import_create(handlers->importer, request->stream);
        http_start_json(response, 200);
        response->content_type = "application/x-ndjson";
        http_add_header(response, "Cache-Control", "no-store");
        run(import);
        import_destroy(import);
    } else {
        http_problem(request, response, HTTP_OVERLOADED,
                     "as many imports run here as may at a time; nothing was imported", NULL);
    }
    atomic_fetch_sub(&running, 1);
}
