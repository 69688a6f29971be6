#include "read-svc/handlers/skus.h"

#include "common/base/json.h"
#include "common/http/problem.h"

static void add_missing(struct strbuf *body, const char *const *names,
                        const struct flights_item *items, size_t count)
{
    const char *separator = "";

    strbuf_addc(body, '[');
    for (size_t i = 0; i < count; i++) {
        if (items[i].product == NULL) {
            strbuf_adds(body, separator);
            json_add_string(body, names[i]);
            separator = ",";
        }
    }
    strbuf_addc(body, ']');
}

void skus_answer(const struct http_request *request, struct http_response *response,
                 struct handlers *handlers, const char *field, char *list, answers_render *render)
{
    struct read_wish wish = answers_wish(handlers, request);
    const char *names[SKU_LIST_MAX];
    struct flights_item items[SKU_LIST_MAX];
    struct strbuf *body;
    enum status status;
    size_t count;
    bool is_asked;

    if (!sku_list_split(list, names, &count)) {
        http_bad_field(request, response, field,
                       "expected 1 to 100 SKUs with commas between them, each of 1 to 64 printable "
                       "ASCII characters without a blank at either end");
        return;
    }
    status = skus_load(handlers->skus, &wish, names, count, request->deadline_us, items, &is_asked);
    if (status != STATUS_OK) {
        answers_refuse_read(request, response, &wish, status);
        return;
    }
    /* PostgreSQL answered, too, when it was asked for the SKUs */
    body =
        answers_start_list(response, handlers, items, count, is_asked ? TIER_DATABASE : TIER_L1, 0);
    strbuf_adds(body, "{\"data\":");
    answers_add_array(body, items, count, render);
    strbuf_adds(body, ",\"missing\":");
    add_missing(body, names, items, count);
    strbuf_addc(body, '}');
    answers_release(items, count);
}
