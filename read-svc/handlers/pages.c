#include "read-svc/handlers/pages.h"

#include "common/base/digest.h"
#include "common/http/problem.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

/* Adds "; DIRECTIVE 'sha256-...'" for the text of the element `tag` of a page, if it has one. A
 * browser compares with the bytes between its tags. */
static void allow_element(struct strbuf *policy, const struct page_source *page,
                          const char *directive, const char *tag)
{
    char digest[DIGEST_BASE64_SIZE];
    struct strbuf mark = STRBUF_EMPTY;
    const char *start;
    const char *end;

    strbuf_addf(&mark, "<%s>", tag);
    start = strstr(page->text, mark.text);
    if (start != NULL) {
        start += mark.len;
        strbuf_clear(&mark);
        strbuf_addf(&mark, "</%s>", tag);
        end = strstr(start, mark.text);
        assert(end != NULL);
        digest_sha256_base64(start, (size_t)(end - start), digest);
        strbuf_addf(policy, "; %s 'sha256-%s'", directive, digest);
    }
    strbuf_finish(&mark);
}

/* Made once, and kept to the end. */
static struct strbuf console_policy;
static struct strbuf problems_policy;
static struct strbuf docs_policy;

static void make_policy(struct strbuf *policy, const struct page_source *page)
{
    strbuf_adds(policy,
                "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
                "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'");
    allow_element(policy, page, "script-src", "script");
    allow_element(policy, page, "style-src", "style");
}

static void make_policies(void)
{
    make_policy(&console_policy, &page_console);
    make_policy(&problems_policy, &page_problems);
    make_policy(&docs_policy, &page_docs);
}

/* An empty page; the caller adds the body. */
static struct strbuf *start_page(struct http_response *response, const struct strbuf *policy)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct strbuf *body = http_start_json(response, 200);

    pthread_once(&once, make_policies);
    response->content_type = "text/html; charset=utf-8";
    http_add_header(response, "Cache-Control", "no-cache");
    http_add_header(response, "Content-Security-Policy", policy->text);
    http_add_header(response, "X-Content-Type-Options", "nosniff");
    http_add_header(response, "Referrer-Policy", "no-referrer");
    http_add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    return body;
}

void handle_console(const struct http_request *request, struct http_response *response,
                    void *context)
{
    (void)request;
    (void)context;
    strbuf_add(start_page(response, &console_policy), page_console.text, page_console.len);
}

void handle_problems(const struct http_request *request, struct http_response *response,
                     void *context)
{
    (void)request;
    (void)context;
    strbuf_add(start_page(response, &problems_policy), page_problems.text, page_problems.len);
}

void handle_docs(const struct http_request *request, struct http_response *response, void *context)
{
    (void)request;
    (void)context;
    strbuf_add(start_page(response, &docs_policy), page_docs.text, page_docs.len);
}

void handle_openapi(const struct http_request *request, struct http_response *response,
                    void *context)
{
    struct strbuf *body = http_start_json(response, 200);

    (void)request;
    (void)context;
    response->content_type = "application/yaml";
    http_add_header(response, "Cache-Control", "no-cache");
    http_add_header(response, "X-Content-Type-Options", "nosniff");
    strbuf_add(body, page_openapi.text, page_openapi.len);
}

/* Of the articles of the page, the one with this id alone. */
void handle_problem(const struct http_request *request, struct http_response *response,
                    void *context)
{
    static const char begin[] = "<article ";
    static const char end[] = "</article>\n";
    const struct http_text *name = &request->params[0];
    const char *first = strstr(page_problems.text, begin);
    struct strbuf mark = STRBUF_EMPTY;
    const char *article;

    (void)context;
    strbuf_adds(&mark, "<article id=\"");
    strbuf_add(&mark, name->start, name->len);
    strbuf_adds(&mark, "\">");
    article = strstr(page_problems.text, mark.text);
    strbuf_finish(&mark);
    if (article == NULL) {
        http_problem(request, response, HTTP_NOT_FOUND, "no problem has this type", NULL);
    } else {
        const char *article_end = strstr(article, end) + strlen(end);
        const char *rest = strstr(page_problems.text, "</main>");
        struct strbuf *body = start_page(response, &problems_policy);

        strbuf_add(body, page_problems.text, (size_t)(first - page_problems.text));
        strbuf_add(body, article, (size_t)(article_end - article));
        strbuf_adds(body, rest);
    }
}
