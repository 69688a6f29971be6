#include "common/base/parse.h"

#include <string.h>

bool parse_int(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret_value)
{
    bool negative = len > 0 && text[0] == '-' && min < 0;
    size_t i = negative ? 1 : 0;
    int64_t value = 0;

    if (i == len || (text[i] == '0' && (len > i + 1 || negative))) {
        return false;
    }
    for (; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            (negative ? __builtin_sub_overflow(value, text[i] - '0', &value)
                      : __builtin_add_overflow(value, text[i] - '0', &value))) {
            return false;
        }
    }
    if (value < min || value > max) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool parse_id(const char *text, size_t len, int64_t *ret_id)
{
    return parse_int(text, len, 1, INT64_MAX, ret_id);
}

/* Length of the well-formed sequence at the start of `bytes`, 0 when there is none (RFC 3629
 * section 4). */
static size_t utf8_sequence_len(const unsigned char *bytes, size_t len)
{
    unsigned char first = bytes[0];
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t need;

    if (first >= 0x01 && first <= 0x7F) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        need = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        need = 3;
        low = first == 0xE0 ? 0xA0 : low;   /* no overlong forms */
        high = first == 0xED ? 0x9F : high; /* no surrogates */
    } else if (first >= 0xF0 && first <= 0xF4) {
        need = 4;
        low = first == 0xF0 ? 0x90 : low;
        high = first == 0xF4 ? 0x8F : high; /* at most U+10FFFF */
    } else {
        return 0;
    }
    if (len < need || bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if (bytes[i] < 0x80 || bytes[i] > 0xBF) {
            return 0;
        }
    }
    return need;
}

bool parse_is_utf8(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;

    for (size_t i = 0, step; i < len; i += step) {
        step = utf8_sequence_len(p + i, len - i);
        if (step == 0) {
            return false;
        }
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool parse_percent_decode(char *text, size_t *len)
{
    size_t out = 0;

    for (size_t in = 0; in < *len; in++) {
        if (text[in] == '%') {
            int high = in + 2 < *len ? hex_value(text[in + 1]) : -1;
            int low = in + 2 < *len ? hex_value(text[in + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            text[out++] = (char)(high * 16 + low);
            in += 2;
        } else {
            text[out++] = text[in] == '+' ? ' ' : text[in];
        }
    }
    *len = out;
    return parse_is_utf8(text, out);
}
