#include "common/http/post.h"

#include "common/base/clock.h"
#include "common/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_DEFAULT 80
#define ANSWER_BYTES_MAX 65536
#define CHUNK_BYTES 4096

/* --- URLs ------------------------------------------------------------------------------------- */

static bool complain(char ret_why[CONFIG_WHY_SIZE], const char *why)
{
    snprintf(ret_why, CONFIG_WHY_SIZE, "%s", why);
    return false;
}

/* Copies a part of the URL; false when it is empty, too long, or has what no such part has. */
static bool take_part(const char *from, size_t len, const char *forbidden, char *to, size_t to_size)
{
    if (len == 0 || len >= to_size || strcspn(from, forbidden) < len) {
        return false;
    }
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

/* "host", "host:port", "[address]" or "[address]:port"; of `len` bytes. */
static bool take_authority(const char *text, size_t len, struct post_target *target)
{
    const char *end = text + len;
    const char *host_end;
    int64_t port = PORT_DEFAULT;

    if (*text == '[') {
        host_end = memchr(text, ']', len);
        if (host_end == NULL || !take_part(text + 1, (size_t)(host_end - text - 1), "/[@",
                                           target->host, sizeof(target->host))) {
            return false;
        }
        host_end++;
    } else {
        host_end = memchr(text, ':', len);
        host_end = host_end == NULL ? end : host_end;
        if (!take_part(text, (size_t)(host_end - text), "/[]@", target->host,
                       sizeof(target->host))) {
            return false;
        }
    }
    if (host_end < end &&
        (*host_end != ':' ||
         !parse_int(host_end + 1, (size_t)(end - host_end - 1), 1, 65535, &port))) {
        return false;
    }
    target->port = (int)port;
    return true;
}

bool post_parse_url(const char *url, struct post_target *ret_target, char ret_why[CONFIG_WHY_SIZE])
{
    const char *authority = url + strlen("http://");
    size_t authority_len;
    size_t path_len;

    ret_why[0] = '\0';
    if (strncmp(url, "https://", 8) == 0) {
        return complain(ret_why, "TLS is not spoken here: name a collector that is near, which can "
                                 "speak it to others");
    }
    if (strncmp(url, "http://", 7) != 0) {
        return false;
    }
    for (const char *p = url; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') {
            return complain(ret_why, "it has a blank, a control character or one beyond ASCII");
        }
    }
    authority_len = strcspn(authority, "/?#");
    if (memchr(authority, '@', authority_len) != NULL) {
        return complain(ret_why, "a user is not sent");
    }
    if (strpbrk(authority + authority_len, "?#") != NULL) {
        return complain(ret_why, "it has a query or a fragment");
    }
    path_len = strlen(authority + authority_len);
    while (path_len > 0 && authority[authority_len + path_len - 1] == '/') {
        path_len--;
    }
    if (path_len >= sizeof(ret_target->path)) {
        return complain(ret_why, "its path is too long");
    }
    memcpy(ret_target->path, authority + authority_len, path_len);
    ret_target->path[path_len] = '\0';
    return take_authority(authority, authority_len, ret_target);
}

static bool url_is_valid(const char *url, char ret_why[CONFIG_WHY_SIZE])
{
    struct post_target target;

    return post_parse_url(url, &target, ret_why);
}

static void url_show(const char *url, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s", url);
}

const struct config_url_kind post_url_kind = {
    .expected = "http://host[:port][/path]",
    .is_valid = url_is_valid,
    .redact = url_show,
};

/* --- connecting, sending, receiving ----------------------------------------------------------- */

static void fail(struct post_answer *answer, const char *what, const char *why)
{
    answer->status = 0;
    snprintf(answer->error, sizeof(answer->error), "%s: %s", what, why);
}

static bool wait_for(int fd, short events, int64_t deadline_us)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    int ready;

    do {
        ready = poll(&pollfd, 1, clock_left_ms(deadline_us));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* The socket, or -1 with errno set. */
static int connect_to(const struct addrinfo *address, int64_t deadline_us)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) {
        return fd;
    }
    if (errno != EINPROGRESS) {
        error = errno;
    } else if (!wait_for(fd, POLLOUT, deadline_us)) {
        error = ETIMEDOUT;
    } else {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    }
    if (error == 0) {
        return fd;
    }
    close(fd);
    errno = error;
    return -1;
}

/* Tries the host's addresses in turn. */
static int open_connection(const struct post_target *target, int64_t deadline_us,
                           struct post_answer *answer)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    char port[16];
    int error;
    int fd = -1;

    snprintf(port, sizeof(port), "%d", target->port);
    error = getaddrinfo(target->host, port, &hints, &addresses);
    if (error != 0) {
        fail(answer, "cannot find the host", gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *a = addresses; a != NULL && fd < 0; a = a->ai_next) {
        fd = connect_to(a, deadline_us);
    }
    if (fd < 0) {
        fail(answer, "cannot connect", strerror(errno));
    }
    freeaddrinfo(addresses);
    return fd;
}

static bool send_all(int fd, const struct strbuf *text, int64_t deadline_us)
{
    size_t done = 0;

    while (done < text->len) {
        ssize_t sent = send(fd, text->text + done, text->len - done, MSG_NOSIGNAL);

        if (sent > 0) {
            done += (size_t)sent;
        } else if (sent < 0 && errno != EINTR &&
                   (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline_us))) {
            return false;
        }
    }
    return true;
}

/* Reads until the server closes, because the request asks it to. False when that takes too long, or
 * the connection breaks. */
static bool receive_all(int fd, struct strbuf *text, int64_t deadline_us)
{
    char chunk[CHUNK_BYTES];

    while (text->len < ANSWER_BYTES_MAX) {
        ssize_t got = recv(fd, chunk, sizeof(chunk), 0);

        if (got == 0) {
            return true;
        }
        if (got > 0) {
            strbuf_add(text, chunk, (size_t)got);
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLIN, deadline_us))) {
            return false;
        }
    }
    return false;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The value of a header in a head of lines that end in CR LF, or NULL. */
static const char *find_header(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            return line + len + 1 + strspn(line + len + 1, " \t");
        }
    }
    return NULL;
}

/* Adds the data of chunks (RFC 9112 section 7.1); false when the last one is missing. */
static bool join_chunks(const char *text, struct strbuf *body)
{
    for (;;) {
        char *end;
        unsigned long size = strtoul(text, &end, 16);

        if (end == text || (end = strstr(end, "\r\n")) == NULL) {
            return false;
        }
        if (size == 0) {
            return true;
        }
        if (strlen(end + 2) < size) {
            return false;
        }
        strbuf_add(body, end + 2, size);
        text = end + 2 + size;
        text += strspn(text, "\r\n");
    }
}

bool post_read_answer(const char *text, size_t len, struct post_answer *ret_answer)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *value;
    char *head;
    int64_t number;
    bool is_whole = true;

    if (strlen(text) != len || end == NULL || strncmp(text, "HTTP/1.", 7) != 0 ||
        !parse_int(text + 9, 3, 100, 599, &number)) {
        return false;
    }
    ret_answer->status = (int)number;
    head = strndup(text, (size_t)(end - text));
    value = find_header(head, "Retry-After");
    ret_answer->retry_ms = -1;
    if (value != NULL && parse_int(value, strspn(value, "0123456789"), 0, 86400, &number)) {
        ret_answer->retry_ms = number * CLOCK_US_PER_MS;
    }
    value = find_header(head, "Transfer-Encoding");
    if (value != NULL && strncasecmp(value, "chunked", 7) == 0) {
        is_whole = join_chunks(end + 4, &ret_answer->body);
    } else {
        value = find_header(head, "Content-Length");
        is_whole = value == NULL || (size_t)strtoul(value, NULL, 10) == strlen(end + 4);
        strbuf_adds(&ret_answer->body, end + 4);
    }
    free(head);
    return is_whole;
}

static void exchange(int fd, const struct strbuf *head, const struct strbuf *body,
                     int64_t deadline_us, struct post_answer *answer)
{
    struct strbuf text = STRBUF_EMPTY;
    bool is_sent = send_all(fd, head, deadline_us) && send_all(fd, body, deadline_us);
    bool is_read = receive_all(fd, &text, deadline_us); /* a server may refuse early */

    if (!is_read || !post_read_answer(strbuf_text(&text), text.len, answer)) {
        fail(answer, is_sent ? "no answer" : "not sent",
             clock_left_ms(deadline_us) == 0 ? "not in time" : "the connection broke");
    }
    strbuf_finish(&text);
}

void post_send(const struct post_target *target, const char *path, const char *content_type,
               const struct strbuf *body, int64_t deadline_us, struct post_answer *ret_answer)
{
    bool is_v6 = strchr(target->host, ':') != NULL;
    struct strbuf head = STRBUF_EMPTY;
    int fd;

    *ret_answer = (struct post_answer){.retry_ms = -1};
    fd = open_connection(target, deadline_us, ret_answer);
    if (fd < 0) {
        return;
    }
    strbuf_addf(&head,
                "POST %s%s HTTP/1.1\r\nHost: %s%s%s:%d\r\nContent-Type: %s\r\n"
                "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                target->path, path, is_v6 ? "[" : "", target->host, is_v6 ? "]" : "", target->port,
                content_type, body->len);
    exchange(fd, &head, body, deadline_us, ret_answer);
    strbuf_finish(&head);
    close(fd);
}
