#include "read-svc/handlers/skus.h"

#include "common/base/json.h"
#include "common/http/problem.h"

/* The context is the names. */
static void add_missing(struct strbuf *body, const struct answers_list *list,
                        const struct product *const *products)
{
    const char *const *names = list->context;
    const char *separator = "";

    strbuf_adds(body, "\"missing\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (products[i] == NULL) {
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
    struct answers_list answer = {.render = render, .add_rest = add_missing, .context = names};
    enum status status;
    bool is_asked;

    if (!sku_list_split(list, names, &answer.count)) {
        http_bad_field(request, response, field,
                       "expected 1 to 100 SKUs with commas between them, each of 1 to 64 printable "
                       "ASCII characters without a blank at either end");
        return;
    }
    status = skus_load(handlers->skus, &wish, names, answer.count, request->deadline_us, items,
                       &is_asked);
    if (status != STATUS_OK) {
        answers_refuse_read(request, response, &wish, status);
        return;
    }
    /* PostgreSQL answered, too, when it was asked for the SKUs */
    answer.source = is_asked ? TIER_DATABASE : TIER_L1;
    answers_list_loaded(response, handlers, &answer, items);
    answers_release(items, answer.count);
}
