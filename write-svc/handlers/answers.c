#include "write-svc/handlers/answers.h"

#include "common/base/digest.h"
#include "common/base/parse.h"
#include "common/http/etag.h"
#include "common/http/problem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

_Static_assert(DIGEST_SIZE == WRITE_FINGERPRINT_SIZE, "a fingerprint is a digest");

#define KEY_LENGTH_MAX 255

/* --- idempotency ------------------------------------------------------------------------------ */

/* draft-ietf-httpapi-idempotency-key-header: a string of structured fields, so in quotes. The bare
 * form, which most clients send, is taken for the same key. */
static bool read_key(const struct http_request *request, char key[KEY_LENGTH_MAX + 1])
{
    const struct http_header *header = http_header_first(request, HTTP_IDEMPOTENCY_KEY);
    const char *start = header->value;
    size_t len = header->value_len;

    if (http_header_count(request, HTTP_IDEMPOTENCY_KEY) != 1) {
        return false;
    }
    if (len >= 2 && start[0] == '"' && start[len - 1] == '"') {
        start++;
        len -= 2;
    }
    if (len < 1 || len > KEY_LENGTH_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (start[i] < ' ' || start[i] > '~') {
            return false;
        }
    }
    memcpy(key, start, len);
    key[len] = '\0';
    return true;
}

/* Everything that makes it another request: what is asked, of which version, by which client. A
 * line end stands between the parts, and none can be in them but in the body, which is last. */
static void make_fingerprint(const struct http_request *request, char fingerprint[DIGEST_SIZE])
{
    struct strbuf text = STRBUF_EMPTY;

    strbuf_addf(&text, "%s\n%s\n", request->method, request->path);
    for (const struct http_header *header = http_header_first(request, HTTP_IF_MATCH);
         header != NULL; header = http_header_next(request, header)) {
        strbuf_addf(&text, "If-Match: %s\n", header->value);
    }
    strbuf_addc(&text, '\n');
    strbuf_add(&text, request->body, request->body_len);
    digest_sha256(&text, fingerprint);
    strbuf_finish(&text);
}

/* --- refusals --------------------------------------------------------------------------------- */

/* One for each outcome that is a problem of this domain. */
static const struct {
    struct http_problem_type type;
    const char *detail;
} refusals[WRITE_OUTCOMES] = {
    [WRITE_INSUFFICIENT] = {{409, "insufficient-stock", "Insufficient stock"},
                            "the stock would fall below zero"},
    [WRITE_VERSION_MISMATCH] = {{412, "precondition-failed", "Precondition failed"},
                                "the product is not at the version of If-Match"},
    [WRITE_OUT_OF_RANGE] = {{409, "out-of-range", "Stock out of range"},
                            "the stock, with what is reserved, would exceed 9007199254740991"},
    [WRITE_RESERVED] = {{409, "reserved", "Reserved"},
                        "units of the product are reserved: release them, or wait until the "
                        "reservations expire"},
    [WRITE_SKU_TAKEN] = {{409, "sku-taken", "SKU taken"}, "another product has this SKU"},
    [WRITE_NOT_HELD] = {{409, "not-held", "Not held"},
                        "the reservation was confirmed or released before"},
    [WRITE_EXPIRED] = {{409, "reservation-expired", "Reservation expired"},
                       "the reservation has expired, and its items are put back"},
    [WRITE_CANCELLED] = {{409, "order-cancelled", "Order cancelled"},
                         "the order was cancelled before"},
    [WRITE_CHANGES_REFUSED] = {{409, "changes-refused", "Changes refused"},
                               "some of the changes cannot be made, so none was made"},
    [WRITE_KEY_BUSY] = {{409, "key-in-use", "Idempotency-Key in use"},
                        "the first request with this Idempotency-Key is being worked on"},
    [WRITE_KEY_REUSED] = {{422, "key-reused", "Idempotency-Key reused"},
                          "another request was sent with this Idempotency-Key"},
    [WRITE_REFUSED] = {{500, "refused-by-store", "Refused by a store"},
                       "PostgreSQL refused the change, and will until an operator has looked at "
                       "the log; nothing was changed"},
};

static const char *not_found_detail(enum write_kind kind)
{
    switch (kind) {
    case WRITE_CONFIRM:
    case WRITE_RELEASE:
        return "no such reservation";
    case WRITE_CANCEL:
        return "no such order";
    case WRITE_ORDER:
    case WRITE_RESERVE:
        return "a product does not exist: \"items\" has it without \"stock\"";
    case WRITE_CHANGE:
    case WRITE_CHANGES_EACH:
    case WRITE_CHANGES_ALL:
    case WRITE_CREATE:
    case WRITE_EDIT:
    case WRITE_DELETE:
    case WRITE_KINDS:
        break;
    }
    return "no such product";
}

static void answer_refused(const struct http_request *request, struct http_response *response,
                           const struct write_command *command, const struct write_result *result)
{
    switch (result->outcome) {
    case WRITE_NOT_FOUND:
        http_problem(request, response, HTTP_NOT_FOUND, not_found_detail(command->kind),
                     result->text);
        return;
    case WRITE_LOCKED:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "another change of this product takes long; nothing was changed", NULL);
        return;
    case WRITE_UNKNOWN:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL did not confirm the change: it may or may not have been made",
                     NULL);
        return;
    case WRITE_UNAVAILABLE:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL is away, too busy, or refuses for now; nothing was changed", NULL);
        return;
    case WRITE_LATE:
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "too many changes wait before this one; nothing was changed", NULL);
        return;
    case WRITE_UNSTORABLE:
        http_bad_field(request, response, command->kind == WRITE_CHANGE ? "reason" : "body",
                       "the encoding of the database lacks a character of it");
        return;
    case WRITE_INSUFFICIENT:
    case WRITE_VERSION_MISMATCH:
    case WRITE_OUT_OF_RANGE:
    case WRITE_RESERVED:
    case WRITE_SKU_TAKEN:
    case WRITE_NOT_HELD:
    case WRITE_EXPIRED:
    case WRITE_CANCELLED:
    case WRITE_CHANGES_REFUSED:
    case WRITE_KEY_BUSY:
    case WRITE_KEY_REUSED:
    case WRITE_REFUSED:
        break;
    case WRITE_APPLIED:
    case WRITE_OUTCOMES:
        assert(false); /* no refusal */
    }
    http_problem_of(request, response, &refusals[result->outcome].type,
                    refusals[result->outcome].detail, result->text);
    if (result->outcome == WRITE_KEY_BUSY) {
        http_add_header(response, "Retry-After", "1");
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answer_applied(struct http_response *response, const struct write_result *result,
                           int status)
{
    if (status == 204) {
        http_response_reset(response);
        response->status = status;
    } else {
        strbuf_adds(http_start_json(response, status), result->text);
    }
    if (result->version > 0) {
        http_add_etag(response, result->version);
    }
    http_add_header(response, "Cache-Control", "no-store");
}

/* Of several tags in If-Match one version is asked for at a time. A mismatch tells the product's
 * version: if that is in the list, it is asked for next. Versions only rise, so none is asked for
 * twice. (A mismatch is not kept under a key, so the next version can be asked for under it.) */
static void run(const struct http_request *request, struct handlers *handlers,
                const struct write_command *command, struct write_result *result)
{
    struct write_item item;
    struct write_command again = *command;

    writes_run(handlers->writes, command, request->deadline_us, result);
    while (result->outcome == WRITE_VERSION_MISMATCH && command->item_count == 1 &&
           result->version > 0) {
        item = again.items[0];
        if (item.expected_version == result->version ||
            http_if_match(request, result->version, NULL) != ETAG_FOUND) {
            return;
        }
        item.expected_version = result->version;
        again.items = &item;
        write_result_finish(result);
        writes_run(handlers->writes, &again, request->deadline_us, result);
    }
}

enum write_outcome answers_write(const struct http_request *request, struct http_response *response,
                                 struct handlers *handlers, struct write_command *command,
                                 int status)
{
    struct write_result result;
    enum write_outcome outcome;
    char key[KEY_LENGTH_MAX + 1];
    char fingerprint[DIGEST_SIZE];

    if (http_header_count(request, HTTP_IDEMPOTENCY_KEY) > 0) {
        if (!read_key(request, key)) {
            http_bad_field(request, response, "Idempotency-Key",
                           "expected one key of 1 to 255 printable ASCII characters");
            return WRITE_OUTCOMES;
        }
        make_fingerprint(request, fingerprint);
        command->key = key;
        command->fingerprint = fingerprint;
    }
    run(request, handlers, command, &result);
    command->key = NULL;
    command->fingerprint = NULL;
    if (result.outcome == WRITE_APPLIED) {
        answer_applied(response, &result, status);
    } else {
        answer_refused(request, response, command, &result);
    }
    if (result.is_replayed) {
        http_add_header(response, "Idempotency-Replayed", "true");
    }
    outcome = result.outcome;
    write_result_finish(&result);
    return outcome;
}

/* The id of what was made: the body of the answer begins with {"id":N. */
static bool read_made_id(const struct http_response *response, int64_t *ret_id)
{
    static const char head[] = "{\"id\":";
    const char *start = response->body.text + strlen(head);

    return response->body.len > strlen(head) &&
           memcmp(response->body.text, head, strlen(head)) == 0 &&
           parse_id(start, strspn(start, "0123456789"), ret_id);
}

void answers_create(const struct http_request *request, struct http_response *response,
                    struct handlers *handlers, struct write_command *command, const char *path)
{
    char location[64];
    int64_t id;

    if (answers_write(request, response, handlers, command, 201) == WRITE_APPLIED &&
        read_made_id(response, &id)) {
        snprintf(location, sizeof(location), "%s/%" PRId64, path, id);
        http_add_header(response, "Location", location);
    }
}
