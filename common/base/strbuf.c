#include "common/base/strbuf.h"

#include "common/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INITIAL_CAPACITY 256u

/* Makes room for `extra` bytes and the NUL behind them. */
static void reserve(struct strbuf *buf, size_t extra)
{
    size_t needed = buf->len + extra + 1;
    size_t capacity = buf->capacity > 0 ? buf->capacity : INITIAL_CAPACITY;

    if (needed <= buf->capacity) {
        return;
    }
    while (capacity < needed) {
        capacity *= 2;
    }
    buf->text = fs_realloc(buf->text, capacity);
    buf->capacity = capacity;
}

void strbuf_finish(struct strbuf *buf)
{
    free(buf->text);
    *buf = STRBUF_EMPTY;
}

void strbuf_clear(struct strbuf *buf)
{
    strbuf_truncate(buf, 0);
}

void strbuf_truncate(struct strbuf *buf, size_t len)
{
    if (len < buf->len) {
        buf->len = len;
    }
    if (buf->text != NULL) {
        buf->text[buf->len] = '\0';
    }
}

void strbuf_add(struct strbuf *buf, const char *bytes, size_t len)
{
    reserve(buf, len);
    memcpy(buf->text + buf->len, bytes, len);
    buf->len += len;
    buf->text[buf->len] = '\0';
}

void strbuf_adds(struct strbuf *buf, const char *text)
{
    strbuf_add(buf, text, strlen(text));
}

void strbuf_addc(struct strbuf *buf, char c)
{
    strbuf_add(buf, &c, 1);
}

void strbuf_add_int(struct strbuf *buf, int64_t value)
{
    char digits[20];
    size_t start = sizeof(digits);
    uint64_t left = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;

    do {
        digits[--start] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0) {
        strbuf_addc(buf, '-');
    }
    strbuf_add(buf, digits + start, sizeof(digits) - start);
}

void strbuf_addf(struct strbuf *buf, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    reserve(buf, (size_t)len);
    va_start(args, format);
    vsnprintf(buf->text + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

const char *strbuf_text(const struct strbuf *buf)
{
    return buf->text == NULL ? "" : buf->text;
}
