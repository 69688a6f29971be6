/* A growable text buffer. The memory belongs to the buffer; `text` is always NUL-terminated once
 * something was added. Not thread-safe: one buffer, one thread. */
#ifndef FASTSTOCK_COMMON_BASE_STRBUF_H
#define FASTSTOCK_COMMON_BASE_STRBUF_H

#include <stddef.h>
#include <stdint.h>

struct strbuf {
    char *text; /* NULL while nothing was ever added */
    size_t len;
    size_t capacity;
};

#define STRBUF_EMPTY ((struct strbuf){NULL, 0, 0})

void strbuf_finish(struct strbuf *buf);

/* Forgets the text and keeps the memory. */
void strbuf_clear(struct strbuf *buf);

/* Forgets what comes after the first `len` bytes. */
void strbuf_truncate(struct strbuf *buf, size_t len);

void strbuf_add(struct strbuf *buf, const char *bytes, size_t len);
void strbuf_adds(struct strbuf *buf, const char *text);
void strbuf_addc(struct strbuf *buf, char c);
void strbuf_add_int(struct strbuf *buf, int64_t value);
void strbuf_addf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text, "" when there is none; valid until the next call that adds. */
const char *strbuf_text(const struct strbuf *buf);

#endif
