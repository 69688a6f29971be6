#include "read-svc/handlers/pages.h"

#include "common/base/digest.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

/* Adds "; DIRECTIVE 'sha256-...'" for the text of the element `tag` of a page, which must have one
 * without attributes. A browser compares with the bytes between its tags. */
static void allow_element(struct strbuf *policy, const struct page_source *page,
                          const char *directive, const char *tag)
{
    char digest[DIGEST_BASE64_SIZE];
    struct strbuf mark = STRBUF_EMPTY;
    const char *start;
    const char *end;

    strbuf_addf(&mark, "<%s>", tag);
    start = strstr(page->text, mark.text);
    assert(start != NULL);
    start += mark.len;
    strbuf_clear(&mark);
    strbuf_addf(&mark, "</%s>", tag);
    end = strstr(start, mark.text);
    assert(end != NULL);
    digest_sha256_base64(start, (size_t)(end - start), digest);
    strbuf_addf(policy, "; %s 'sha256-%s'", directive, digest);
    strbuf_finish(&mark);
}

static struct strbuf console_policy; /* made once, and kept to the end */

static void make_policies(void)
{
    strbuf_adds(&console_policy,
                "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
                "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'");
    allow_element(&console_policy, &page_console, "script-src", "script");
    allow_element(&console_policy, &page_console, "style-src", "style");
}

void handle_console(const struct http_request *request, struct http_response *response,
                    void *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct strbuf *body = http_start_json(response, 200);

    (void)request;
    (void)context;
    pthread_once(&once, make_policies);
    response->content_type = "text/html; charset=utf-8";
    strbuf_add(body, page_console.text, page_console.len);
    http_add_header(response, "Cache-Control", "no-cache");
    http_add_header(response, "Content-Security-Policy", console_policy.text);
    http_add_header(response, "X-Content-Type-Options", "nosniff");
    http_add_header(response, "Referrer-Policy", "no-referrer");
    http_add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
}
