#include "write-svc/handlers/answers.h"
#include "write-svc/handlers/checks.h"
#include "write-svc/handlers/handlers.h"
#include "write-svc/handlers/items.h"

#include "common/http/problem.h"
#include "common/products/api.h"

#define TTL_S 600 /* unless the request says another */
#define TTL_S_MAX 86400

/* --- create ----------------------------------------------------------------------------------- */

enum { FIELD_ITEMS, FIELD_TTL };

void handle_create_reservation(const struct http_request *request, struct http_response *response,
                               void *context)
{
    struct handlers *handlers = context;
    struct json_field fields[] = {
        [FIELD_ITEMS] = ITEMS_FIELD,
        [FIELD_TTL] = {.name = "ttlSeconds", .type = JSON_FIELD_INT, .min = 1, .max = TTL_S_MAX},
        {.name = NULL},
    };
    struct write_item items[ITEMS_MAX];
    struct write_command command = {.kind = WRITE_RESERVE, .items = items};

    if (!checks_token(request, response, handlers->auth)) {
        return;
    }
    fields[FIELD_ITEMS].is_required = true;
    if (checks_read_json(request, response, fields) &&
        items_take(request, response, &fields[FIELD_ITEMS], items)) {
        command.item_count = fields[FIELD_ITEMS].item_count;
        command.subject = fields[FIELD_TTL].present ? fields[FIELD_TTL].integer : TTL_S;
        answers_create(request, response, handlers, &command, API_RESERVATIONS);
    }
    json_fields_finish(fields);
}

/* --- end -------------------------------------------------------------------------------------- */

static bool read_end(const struct http_request *request, struct http_response *response,
                     struct handlers *handlers, struct write_command *command)
{
    return checks_token(request, response, handlers->auth) &&
           checks_read_id(request, response, "a reservation id", &command->subject) &&
           checks_read_nothing(request, response);
}

void handle_confirm_reservation(const struct http_request *request, struct http_response *response,
                                void *context)
{
    struct write_command command = {.kind = WRITE_CONFIRM};

    if (read_end(request, response, context, &command)) {
        answers_create(request, response, context, &command, API_ORDERS);
    }
}

void handle_release_reservation(const struct http_request *request, struct http_response *response,
                                void *context)
{
    struct write_command command = {.kind = WRITE_RELEASE};

    if (read_end(request, response, context, &command)) {
        answers_write(request, response, context, &command, 200);
    }
}
