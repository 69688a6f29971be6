#include "write-svc/handlers/handlers.h"

#include "common/base/json.h"
#include "common/products/api.h"

/* A GET of the path that makes orders comes through an edge that knows paths only. read-svc has the
 * same list below another path, which such an edge takes for a read. */
void handle_list_of_orders(const struct http_request *request, struct http_response *response,
                           void *context)
{
    struct strbuf location = STRBUF_EMPTY;
    struct strbuf *body;

    (void)context;
    strbuf_adds(&location, API_ORDERS_BY_PATH);
    if (request->query[0] != '\0') {
        strbuf_addf(&location, "?%s", request->query);
    }
    body = http_start_json(response, 307);
    strbuf_adds(body, "{\"location\":");
    json_add_string(body, location.text);
    strbuf_addc(body, '}');
    http_add_header(response, "Location", location.text);
    strbuf_finish(&location);
}
