/* A POST to another server, over HTTP/1.1, on a connection of its own. For a thread that may wait;
 * thread-safe. */
#ifndef FASTSTOCK_COMMON_HTTP_POST_H
#define FASTSTOCK_COMMON_HTTP_POST_H

#include "common/base/config.h"
#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POST_HOST_SIZE 256
#define POST_PATH_SIZE 1024
#define POST_ERROR_SIZE 160

/* The parts of http://host[:port][/path]. */
struct post_target {
    char host[POST_HOST_SIZE]; /* of an IPv6 address without the brackets */
    int port;
    char path[POST_PATH_SIZE]; /* "" when there is none; without a '/' at its end */
};

/* False when the URL is not of this form; https:// is not spoken. */
bool post_parse_url(const char *url, struct post_target *ret_target, char ret_why[CONFIG_WHY_SIZE]);

extern const struct config_url_kind post_url_kind;

struct post_answer {
    int status;         /* of HTTP; 0: no whole answer came, for the reason in `error` */
    int64_t retry_ms;   /* of Retry-After, when it is a number of seconds; else -1 */
    struct strbuf body; /* the caller's: strbuf_finish */
    char error[POST_ERROR_SIZE];
};

/* Sends `body` to the target's path and `path` behind it, and reads the answer, within the
 * deadline; the resolver keeps to no deadline, and takes its own time. */
void post_send(const struct post_target *target, const char *path, const char *content_type,
               const struct strbuf *body, int64_t deadline_us, struct post_answer *ret_answer);

/* Reads an answer that came whole (the server has closed the connection). False when it is not one
 * of HTTP/1.1, or was cut off. */
bool post_read_answer(const char *text, size_t len, struct post_answer *ret_answer);

#endif
