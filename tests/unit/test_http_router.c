#include "support.h"

#include "common/base/alloc.h"
#include "common/http/router.h"

#include <stdio.h>
#include <string.h>

static void answer(const struct http_request *request, struct http_response *response,
                   void *context)
{
    (void)request;
    (void)response;
    (void)context;
}

/* --- paths ------------------------------------------------------------------------------------ */

static void test_paths(void **state)
{
    static const struct {
        const char *pattern;
        const char *path;
        const char *params[HTTP_PARAMS_MAX];
        bool ok;
    } rows[] = {
        {"/", "/", {NULL, NULL}, true},
        {"/", "", {NULL, NULL}, false},
        {"/", "//", {NULL, NULL}, false},
        {"/api/products", "/api/products", {NULL, NULL}, true},
        {"/api/products", "/api/products/", {NULL, NULL}, false},
        {"/api/products", "/api/product", {NULL, NULL}, false},
        {"/api/products", "/api/productsx", {NULL, NULL}, false},
        {"/api/products", "/API/products", {NULL, NULL}, false},
        {"/api/products", "//api/products", {NULL, NULL}, false},
        {"/api/products", "/api/%70roducts", {NULL, NULL}, false}, /* not decoded */
        {"/p/{id}", "/p/1", {"1", NULL}, true},
        {"/p/{id}", "/p/abc", {"abc", NULL}, true},
        {"/p/{id}", "/p/{id}", {"{id}", NULL}, true},
        {"/p/{id}", "/p/a%2Fb", {"a%2Fb", NULL}, true},
        {"/p/{id}", "/p/", {NULL, NULL}, false},
        {"/p/{id}", "/p", {NULL, NULL}, false},
        {"/p/{id}", "/p/1/", {NULL, NULL}, false},
        {"/p/{id}", "/p/1/2", {NULL, NULL}, false},
        {"/p/{id}/stock", "/p/1/stock", {"1", NULL}, true},
        {"/p/{id}/stock", "/p//stock", {NULL, NULL}, false},
        {"/p/{id}/stock", "/p/1/stoc", {NULL, NULL}, false},
        {"/p/{id}/stock", "/p/1/stock/", {NULL, NULL}, false},
        {"/p/{id}/stock", "/p/1", {NULL, NULL}, false},
        {"/{a}/x/{b}", "/one/x/two", {"one", "two"}, true},
        {"/{a}/x/{b}", "/one/y/two", {NULL, NULL}, false},
        {"/{a}/{b}/{c}", "/1/2/3", {"1", "2"}, true}, /* more than there is room for */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_text params[HTTP_PARAMS_MAX] = {{NULL, 0}};

        check_row(http_path_matches(rows[i].pattern, rows[i].path, params) == rows[i].ok, "%s %s",
                  rows[i].pattern, rows[i].path);
        assert_true(http_path_matches(rows[i].pattern, rows[i].path, NULL) == rows[i].ok);
        for (size_t p = 0; rows[i].ok && p < HTTP_PARAMS_MAX; p++) {
            const char *wanted = rows[i].params[p] == NULL ? "" : rows[i].params[p];

            check_row(
                params[p].len == strlen(wanted) &&
                    memcmp(params[p].len == 0 ? "" : params[p].start, wanted, params[p].len) == 0,
                "%s %s: parameter %zu", rows[i].pattern, rows[i].path, p);
        }
    }
}

/* --- routes ----------------------------------------------------------------------------------- */

enum { PRODUCTS, PRODUCT, PRODUCT_STOCK, UPDATE_STOCK, HEALTH };

static const struct http_route all_routes[] = {
    [PRODUCTS] = {"GET", "/api/products", answer, NULL, false},
    [PRODUCT] = {"GET", "/api/products/{id}", answer, NULL, false},
    [PRODUCT_STOCK] = {"GET", "/api/products/{id}/stock", answer, NULL, false},
    [UPDATE_STOCK] = {"POST", "/api/products/{id}/update-stock", answer, NULL, false},
    [HEALTH] = {"GET", "/health", answer, NULL, false},
    {NULL, NULL, NULL, NULL, false},
};

/* A system of two services, with a path that both of them have. */
static const struct http_known_route system_routes[] = {
    {"GET", "/api/products/{id}", "reader"},
    {"POST", "/api/products/{id}/update-stock", "writer"},
    {"GET", "/api/orders", "reader"},
    {"POST", "/api/orders", "writer"},
    {"PATCH", "/api/products/{id}", "writer"},
    {NULL, NULL, NULL},
};
static const struct http_route writer_routes[] = {
    {"POST", "/api/products/{id}/update-stock", answer, NULL, false},
    {"POST", "/api/orders", answer, NULL, false},
    {"DELETE", "/api/orders", answer, NULL, false}, /* of its own: the system does not know of it */
    {NULL, NULL, NULL, NULL, false},
};

static struct http_request request_of(const char *method, const char *path)
{
    return (struct http_request){.method = method, .path = path, .query = "", .id = "req-1"};
}

static void test_routes(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        size_t route;
        const char *param;
    } rows[] = {
        {"GET", "/api/products", PRODUCTS, ""},
        {"HEAD", "/api/products", PRODUCTS, ""},
        {"GET", "/api/products/7", PRODUCT, "7"},
        {"HEAD", "/api/products/7", PRODUCT, "7"},
        {"GET", "/api/products/stock", PRODUCT, "stock"},
        {"GET", "/api/products/7/stock", PRODUCT_STOCK, "7"},
        {"POST", "/api/products/99/update-stock", UPDATE_STOCK, "99"},
        {"GET", "/health", HEALTH, ""},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct http_request request = request_of(rows[i].method, rows[i].path);
        struct http_response response = {.status = 0};

        check_row(http_find_route(all_routes, NULL, &request, &response) ==
                      &all_routes[rows[i].route],
                  "%s %s", rows[i].method, rows[i].path);
        assert_int_equal(response.status, 0);
        assert_int_equal(request.params[0].len, strlen(rows[i].param));
        if (*rows[i].param != '\0') {
            assert_memory_equal(request.params[0].start, rows[i].param, strlen(rows[i].param));
        }
    }
}

static void check_refused_of(const struct http_route *routes, const struct http_known_route *known,
                             const char *method, const char *path, int status, const char *allow)
{
    struct http_request request = request_of(method, path);
    struct http_response response = {.status = 0};
    char header[64] = "";

    check_row(http_find_route(routes, known, &request, &response) == NULL, "%s %s", method, path);
    check_row(response.status == status, "%s %s: %d", method, path, response.status);
    assert_true(support_is_json_object(response.body.text, response.body.len));
    if (allow == NULL) {
        assert_lacks(response.headers.text, "Allow");
    } else {
        snprintf(header, sizeof(header), "Allow: %s\r\n", allow);
        assert_contains(response.headers.text, header);
        assert_contains(response.body.text, allow);
    }
    strbuf_finish(&response.headers);
    strbuf_finish(&response.body);
}

static void check_refused(const struct http_route *routes, const char *method, const char *path,
                          int status, const char *allow)
{
    check_refused_of(routes, NULL, method, path, status, allow);
}

static void test_unknown_paths(void **state)
{
    static const char *const rows[] = {"",
                                       "/",
                                       "/api",
                                       "/api/",
                                       "/api/products/",
                                       "/api/products/7/",
                                       "/api/products//stock",
                                       "/api/products/7/x",
                                       "/api/products/7/stock/8",
                                       "/healthz",
                                       "http://h/health"};

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_refused(all_routes, "GET", rows[i], 404, NULL);
        check_refused(all_routes, "DELETE", rows[i], 404, NULL);
    }
}

static void test_wrong_methods(void **state)
{
    (void)state;
    check_refused(all_routes, "POST", "/api/products", 405, "GET, HEAD");
    check_refused(all_routes, "DELETE", "/api/products/7", 405, "GET, HEAD");
    check_refused(all_routes, "OPTIONS", "/health", 405, "GET, HEAD");
    check_refused(all_routes, "GET", "/api/products/7/update-stock", 405, "POST");
    check_refused(all_routes, "HEAD", "/api/products/7/update-stock", 405, "POST");
    check_refused(all_routes, "get", "/api/products", 405,
                  "GET, HEAD"); /* methods are case-sensitive */
    check_refused(all_routes, "", "/api/products", 405, "GET, HEAD");
    check_refused(all_routes, "GET, HEAD", "/api/products", 405, "GET, HEAD");
}

/* The right method of another service's path is not found here, a wrong one is wrong everywhere. */
static void test_paths_of_the_other_service(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        int status;
        const char *allow;
    } rows[] = {
        {"GET", "/api/products/7", 404, NULL},
        {"HEAD", "/api/products/7", 404, NULL},
        {"PATCH", "/api/products/7", 404, NULL},
        {"POST", "/api/products/7", 405, "GET, HEAD, PATCH"},
        {"HEA", "/api/products/7", 405, "GET, HEAD, PATCH"},
        {"", "/api/products/7", 405, "GET, HEAD, PATCH"},
        {"GET,", "/api/products/7", 405, "GET, HEAD, PATCH"},
        {"GET", "/api/products/7/update-stock", 405, "POST"},
        {"GET", "/api/orders", 404, NULL},
        {"PATCH", "/api/orders", 405, "POST, DELETE, GET, HEAD"},
        {"OPTIONS", "/api/orders", 405, "POST, DELETE, GET, HEAD"},
        {"GET", "/api/nothing", 404, NULL},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_refused_of(writer_routes, system_routes, rows[i].method, rows[i].path, rows[i].status,
                         rows[i].allow);
    }
}

/* "*" is the server as a whole (RFC 9110 section 9.3.7). */
static void test_the_server_as_a_whole(void **state)
{
    (void)state;
    check_refused(all_routes, "OPTIONS", "*", 405, "GET, HEAD, POST");
    check_refused(all_routes, "GET", "*", 405, "GET, HEAD, POST");
    check_refused_of(writer_routes, system_routes, "OPTIONS", "*", 405,
                     "POST, DELETE, GET, HEAD, PATCH");
    check_refused_of(writer_routes, system_routes, "POST", "*", 405,
                     "POST, DELETE, GET, HEAD, PATCH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_unknown_paths),
        cmocka_unit_test(test_wrong_methods),
        cmocka_unit_test(test_paths_of_the_other_service),
        cmocka_unit_test(test_the_server_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
