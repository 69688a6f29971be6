/* What the routes of products and of stock have in common that ask by SKU. */
#ifndef FASTSTOCK_READ_SVC_HANDLERS_SKUS_H
#define FASTSTOCK_READ_SVC_HANDLERS_SKUS_H

#include "read-svc/handlers/answers.h"

/* Answers with the products of a list of SKUs, and the SKUs that no product has. `list` is the
 * value of the parameter `field`, and is changed. */
void skus_answer(const struct http_request *request, struct http_response *response,
                 struct handlers *handlers, const char *field, char *list, answers_render *render);

#endif
