/* Is this head plain HTTP/1.1? Pure functions.
 *
 * The HTTP library parses a head in place, and leniently: it passes over lines that it does not
 * understand, or takes them for the end of the headers. A proxy in front might understand one of
 * them, a Transfer-Encoding, say, and then the two would not agree where the request ends (request
 * smuggling). So the head is looked at again, in the library's buffer: it must be lines of
 * "Name: value", each ended by CR LF, and the library must have shown them all.
 *
 * The library overwrites the colon with NUL, also the blanks before it, and CR and LF:
 *
 *     Host: h\r\nX: 1 \r\n\r\n     as it came
 *     Host0 h00X0 1 00\r0          as the library leaves it (0 is a NUL)
 *     Host : h\r\n\r\n
 *     Host00 h00\r0                a second NUL behind the name, where a blank or the value belongs
 *
 * The last LF of the head has become NUL too. The CR before it stays, unless there was no header:
 * then all four bytes behind the version are NUL. */
#ifndef FASTSTOCK_COMMON_HTTP_HEAD_H
#define FASTSTOCK_COMMON_HTTP_HEAD_H

#include "common/http/message.h"

#include <stdbool.h>
#include <stddef.h>

/* What a request line and its headers may take: thriftier than nginx's default of 4 times 8 KiB. */
#define HEAD_BYTES_MAX 16384

/* Reads one head. */
struct head_reader {
    struct http_request *request; /* gets the headers */
    const char *line;             /* where the next line must begin */
    size_t bytes;
    bool is_plain;
    bool is_short; /* all headers found room */
};

/* `request` is initialised and `version` is the text behind "HTTP/". Both are in the library's
 * buffer. */
void head_begin(struct head_reader *reader, struct http_request *request, const char *version);
/* The next header. Blanks behind its value are cut off, because they are no part of it (RFC 9110
 * section 5.5). */
void head_add(struct head_reader *reader, const char *name, char *value);
void head_end(struct head_reader *reader);
/* How many bytes a plain head takes on the wire, from its method on. */
size_t head_len(const struct head_reader *reader);

enum head_fault {
    HEAD_IS_PLAIN,
    HEAD_TOO_LARGE,
    HEAD_BAD_HOST, /* none, or several (RFC 9112 section 3.2) */
    HEAD_BAD_PATH, /* it is not UTF-8 */
    HEAD_BAD_LINE,
    HEAD_EMPTY_LINES, /* more than one before the request; one is to be ignored (RFC 9112, 2.2) */
};

/* What is wrong with a head that was read. */
enum head_fault head_fault(const struct head_reader *reader, const char *version);

/* Are these bytes, behind empty lines, the beginning of a head with this method that the library
 * has parsed already (its blank is NUL)?
 *
 * The library takes two empty lines before a request for the end of its head, and yet parses the
 * request behind them. So the head itself lies where the body should be, and then where the next
 * request should be; the real body would be read as a further request. */
bool head_stands_again(const char *method, const char *bytes, size_t len);

/* Takes the target apart: "/path?query", the absolute form "http://host/path?query" (RFC 9112
 * section 3.2.2: every server must take it), or "*". False when it is none of these. Overwrites
 * the '?'. */
bool head_set_target(struct http_request *request, char *target);

/* Reads header lines as they came, "Name: value\r\n...\r\n", of which the last LF may be missing.
 * For heads whose headers the library has not parsed. False when they are not plain; an empty text
 * has no headers, which is. Cuts up `lines`, in which the request then points. */
bool head_read_lines(struct http_request *request, char *lines);

/* Reads the head of a GET as it came, at the beginning of `bytes`. Returns how many bytes it takes;
 * 0 when it is not whole, or unusual in any way (a body, HTTP/1.0, an end of the connection,
 * anything in the path but letters, digits and a few signs), or not plain. So it takes only heads
 * that the library and the functions above would take, for the same request. Initialises the
 * request, and cuts up the head, in which the request then points. */
size_t head_read_plain_get(struct http_request *request, char *bytes, size_t len);

#endif
