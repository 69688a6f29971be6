/* Stock changes of many products in one request.
 *
 * A change may name its product by the SKU. The SKUs become ids by one query, before the command is
 * run. For one that no product has, the command gets a number that no product has either: -1 for
 * the first change of the body, -2 for the second, and so on. The database refuses that change as
 * it refuses an unknown id, and in the answer the SKU takes the place of the number. The number
 * stands for a place in the body, so this is right also for an answer that was kept for a repeated
 * request: the body is the same then, and which SKUs are known may be not. */
#include "write-svc/handlers/answers.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"
#include "write-svc/skus.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"
#include "common/http/problem.h"
#include "common/products/api.h"
#include "common/products/sku.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_CHANGES, FIELD_ATOMIC };
enum { CHANGE_ID, CHANGE_SKU, CHANGE_STOCK, CHANGE_DELTA, CHANGE_IF_VERSION, CHANGE_REASON };

static const struct json_field change_fields[] = {
    [CHANGE_ID] = {.name = "id", .type = JSON_FIELD_INT, .min = 1, .max = INT64_MAX},
    [CHANGE_SKU] = {.name = "sku", .type = JSON_FIELD_STRING, .min = 1, .max = SKU_LENGTH_MAX},
    [CHANGE_STOCK] = {.name = "stock", .type = JSON_FIELD_INT, .min = 0, .max = PARSE_JSON_INT_MAX},
    [CHANGE_DELTA] = {.name = "delta",
                      .type = JSON_FIELD_INT,
                      .min = -PARSE_JSON_INT_MAX,
                      .max = PARSE_JSON_INT_MAX},
    [CHANGE_IF_VERSION] = {.name = "ifVersion",
                           .type = JSON_FIELD_INT,
                           .min = 1,
                           .max = PARSE_JSON_INT_MAX},
    [CHANGE_REASON] = {.name = "reason",
                       .type = JSON_FIELD_STRING,
                       .min = 0,
                       .max = CHECKS_REASON_LENGTH_MAX},
    {.name = NULL},
};

/* --- the body --------------------------------------------------------------------------------- */

/* What is wrong with a change beyond its fields; NULL: nothing. Sets the field's number. */
static const char *fault_of(const struct json_field *change, int *ret_field)
{
    if (change[CHANGE_ID].present == change[CHANGE_SKU].present) {
        *ret_field = CHANGE_ID;
        return "expected either id or sku";
    }
    if (change[CHANGE_STOCK].present == change[CHANGE_DELTA].present) {
        *ret_field = CHANGE_STOCK;
        return "expected either stock or delta";
    }
    if (change[CHANGE_SKU].present &&
        !sku_is_valid(change[CHANGE_SKU].string, strlen(change[CHANGE_SKU].string))) {
        *ret_field = CHANGE_SKU;
        return SKU_EXPECTED;
    }
    return NULL;
}

static bool check_changes(const struct http_request *request, struct http_response *response,
                          const struct json_field *changes)
{
    for (size_t i = 0; i < changes->item_count; i++) {
        int field = CHANGE_ID;
        const char *fault = fault_of(json_item(changes, i), &field);
        char name[64];

        if (fault != NULL) {
            snprintf(name, sizeof(name), "changes[%zu].%s", i, change_fields[field].name);
            http_bad_field(request, response, name, fault);
            return false;
        }
    }
    return true;
}

/* --- SKUs ------------------------------------------------------------------------------------- */

static int64_t id_of_unknown(size_t i)
{
    return -1 - (int64_t)i;
}

/* The SKUs by which changes name their products, in their order; returns how many. */
static size_t collect_skus(const struct json_field *changes, const char **skus)
{
    size_t count = 0;

    for (size_t i = 0; i < changes->item_count; i++) {
        const struct json_field *sku = &json_item(changes, i)[CHANGE_SKU];

        if (sku->present) {
            skus[count++] = sku->string;
        }
    }
    return count;
}

/* Gives the items that are named by an SKU their products. */
static void set_products(const struct json_field *changes, const int64_t *ids,
                         struct write_item *items)
{
    for (size_t i = 0; i < changes->item_count; i++) {
        if (json_item(changes, i)[CHANGE_SKU].present) {
            items[i].product_id = *ids > 0 ? *ids : id_of_unknown(i);
            ids++;
        }
    }
}

static enum status find_products(struct handlers *handlers, const struct json_field *changes,
                                 int64_t deadline_us, struct write_item *items)
{
    const char **skus = fs_calloc(changes->item_count, sizeof(*skus));
    int64_t *ids = fs_calloc(changes->item_count, sizeof(*ids));
    size_t count = collect_skus(changes, skus);
    enum status status = STATUS_OK;

    if (count > 0) {
        status = skus_find(handlers->database, skus, count, deadline_us, ids);
    }
    if (status == STATUS_OK) {
        set_products(changes, ids, items);
    }
    free(ids);
    free(skus);
    return status;
}

/* Puts the SKUs in the place of the numbers. The results hold no texts of a client, so the mark is
 * nowhere but where it is meant. */
static void name_unknown(struct http_response *response, const struct json_field *changes)
{
    static const char mark[] = "{\"id\":-";
    struct strbuf named = STRBUF_EMPTY;
    const char *rest = strbuf_text(&response->body);

    for (const char *at; (at = strstr(rest, mark)) != NULL;) {
        const char *digits = at + strlen(mark);
        size_t len = strspn(digits, "0123456789");
        int64_t number = 0;
        bool is_known = parse_int(digits, len, 1, (int64_t)changes->item_count, &number);

        assert(is_known); /* the body is the one that the results are of */
        (void)is_known;
        strbuf_add(&named, rest, (size_t)(at - rest));
        strbuf_adds(&named, "{\"sku\":");
        json_add_string(&named, json_item(changes, (size_t)number - 1)[CHANGE_SKU].string);
        rest = digits + len;
    }
    strbuf_adds(&named, rest);
    strbuf_finish(&response->body);
    response->body = named;
}

/* --- the request ------------------------------------------------------------------------------ */

/* Items of the changes, but for the products that are named by their SKU. */
static void take_items(const struct json_field *changes, struct write_item *items)
{
    for (size_t i = 0; i < changes->item_count; i++) {
        const struct json_field *change = json_item(changes, i);
        bool is_absolute = change[CHANGE_STOCK].present;

        items[i] =
            (struct write_item){.product_id = change[CHANGE_ID].integer,
                                .amount = change[is_absolute ? CHANGE_STOCK : CHANGE_DELTA].integer,
                                .is_absolute = is_absolute,
                                .expected_version = change[CHANGE_IF_VERSION].integer,
                                .reason = change[CHANGE_REASON].string};
    }
}

static void make_changes(const struct http_request *request, struct http_response *response,
                         struct handlers *handlers, const struct json_field *fields)
{
    const struct json_field *changes = &fields[FIELD_CHANGES];
    struct write_item *items = fs_calloc(changes->item_count, sizeof(*items));
    struct write_command command = {.kind = fields[FIELD_ATOMIC].truth ? WRITE_CHANGES_ALL
                                                                       : WRITE_CHANGES_EACH,
                                    .items = items,
                                    .item_count = changes->item_count};

    take_items(changes, items);
    if (find_products(handlers, changes, request->deadline_us, items) == STATUS_OK) {
        answers_write(request, response, handlers, &command, 200);
        name_unknown(response, changes);
    } else {
        http_problem(request, response, HTTP_UNAVAILABLE,
                     "PostgreSQL is away, too busy, or refuses for now; nothing was changed", NULL);
    }
    free(items);
}

void handle_change_stock(const struct http_request *request, struct http_response *response,
                         void *context)
{
    struct handlers *handlers = context;
    struct json_field fields[] = {
        [FIELD_CHANGES] = {.name = "changes",
                           .type = JSON_FIELD_OBJECTS,
                           .min = 1,
                           .max = WRITE_ITEMS_MAX,
                           .item_fields = change_fields,
                           .is_required = true},
        [FIELD_ATOMIC] = {.name = "atomic", .type = JSON_FIELD_BOOL},
        {.name = NULL},
    };

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    if (checks_read_json(request, response, fields) &&
        check_changes(request, response, &fields[FIELD_CHANGES])) {
        make_changes(request, response, handlers, fields);
    }
    json_fields_finish(fields);
}
