#include "support.h"

#include "common/base/alloc.h"
#include "common/http/api_paths.h"
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
    [PRODUCTS] = {"GET", API_PRODUCTS, answer},
    [PRODUCT] = {"GET", API_PRODUCT, answer},
    [PRODUCT_STOCK] = {"GET", API_PRODUCT_STOCK, answer},
    [UPDATE_STOCK] = {"POST", API_UPDATE_STOCK, answer},
    [HEALTH] = {"GET", "/health", answer},
    {NULL, NULL, NULL},
};
static const struct http_route *const other_routes =
    all_routes + HEALTH; /* of a service that has none of the API */

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

        check_row(http_find_route(all_routes, &request, &response) == &all_routes[rows[i].route],
                  "%s %s", rows[i].method, rows[i].path);
        assert_int_equal(response.status, 0);
        assert_int_equal(request.params[0].len, strlen(rows[i].param));
        if (*rows[i].param != '\0') {
            assert_memory_equal(request.params[0].start, rows[i].param, strlen(rows[i].param));
        }
    }
}

static void check_refused(const struct http_route *routes, const char *method, const char *path,
                          int status, const char *allow)
{
    struct http_request request = request_of(method, path);
    struct http_response response = {.status = 0};
    char header[64] = "";

    check_row(http_find_route(routes, &request, &response) == NULL, "%s %s", method, path);
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
                                       "*",
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

/* A path of the other service: the right method is not found here, a wrong one is wrong
 * everywhere. */
static void test_paths_of_the_other_service(void **state)
{
    (void)state;
    for (const struct api_path *known = api_paths; known->path != NULL; known++) {
        char path[64] = "";
        const char *brace = strchr(known->path, '{');
        bool is_get = strcmp(known->allow, "GET, HEAD") == 0;

        snprintf(path, sizeof(path), "%.*s%s%s", (int)strcspn(known->path, "{"), known->path,
                 brace == NULL ? "" : "7", brace == NULL ? "" : strchr(brace, '}') + 1);
        assert_true(is_get || strcmp(known->allow, "POST") == 0);
        check_refused(other_routes, is_get ? "GET" : "POST", path, 404, NULL);
        check_refused(other_routes, is_get ? "POST" : "GET", path, 405, known->allow);
        check_refused(other_routes, "DELETE", path, 405, known->allow);
        if (is_get) {
            check_refused(other_routes, "HEAD", path, 404, NULL);
        }
        check_refused(other_routes, "", path, 405, known->allow);
        check_refused(other_routes, "HEA", path, 405, known->allow);
        check_refused(other_routes, "GET,", path, 405, known->allow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_unknown_paths),
        cmocka_unit_test(test_wrong_methods),
        cmocka_unit_test(test_paths_of_the_other_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
