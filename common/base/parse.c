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

static size_t digits_at(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && text[i] >= '0' && text[i] <= '9') {
        i++;
    }
    return i;
}

/* The parts of a JSON number. */
struct number {
    bool negative;
    const char *whole; /* the digits before the point */
    size_t whole_len;
    const char *fraction; /* those behind it */
    size_t fraction_len;
    int64_t exponent; /* at most EXPONENT_MAX either way */
};

#define EXPONENT_MAX 1000000000 /* more than a text has digits */

/* "e-12" at the start of `text`, to its end. */
static bool split_exponent(const char *text, size_t len, int64_t *ret_exponent)
{
    size_t i = 1;
    bool negative = false;
    int64_t value = 0;

    if (i < len && (text[i] == '+' || text[i] == '-')) {
        negative = text[i++] == '-';
    }
    if (i == len || digits_at(text + i, len - i) != len - i) {
        return false;
    }
    for (; i < len; i++) {
        value = value >= EXPONENT_MAX / 10 ? EXPONENT_MAX : value * 10 + (text[i] - '0');
    }
    *ret_exponent = negative ? -value : value;
    return true;
}

static bool split_number(const char *text, size_t len, struct number *ret)
{
    struct number number = {.negative = len > 0 && text[0] == '-'};
    size_t i = number.negative ? 1 : 0;

    number.whole = text + i;
    number.whole_len = digits_at(text + i, len - i);
    if (number.whole_len == 0 || (text[i] == '0' && number.whole_len > 1)) {
        return false;
    }
    i += number.whole_len;
    number.fraction = text + i;
    if (i < len && text[i] == '.') {
        number.fraction = text + i + 1;
        number.fraction_len = digits_at(text + i + 1, len - i - 1);
        if (number.fraction_len == 0) {
            return false;
        }
        i += 1 + number.fraction_len;
    }
    if (i < len && ((text[i] != 'e' && text[i] != 'E') ||
                    !split_exponent(text + i, len - i, &number.exponent))) {
        return false;
    }
    *ret = number;
    return true;
}

/* Adds a digit to the magnitude, which is kept negative because there is one more of these. */
static bool add_digit(int64_t *value, int digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_sub_overflow(*value, digit, value);
}

/* The digit at a place of the digits before and behind the point together. */
static int digit_of(const struct number *number, size_t place)
{
    return place < number->whole_len ? number->whole[place] - '0'
                                     : number->fraction[place - number->whole_len] - '0';
}

enum parse_number parse_json_number(const char *text, size_t len, int64_t *ret_value)
{
    return parse_json_decimal(text, len, 0, ret_value);
}

enum parse_number parse_json_decimal(const char *text, size_t len, int places, int64_t *ret_value)
{
    struct number number;
    size_t count;
    int64_t zeros; /* to be put behind the digits */
    int64_t value = 0;

    if (!split_number(text, len, &number)) {
        return PARSE_NO_NUMBER;
    }
    count = number.whole_len + number.fraction_len;
    zeros = number.exponent - (int64_t)number.fraction_len + places;
    for (; count > 0 && digit_of(&number, count - 1) == 0; count--) {
        zeros++;
    }
    if (count == 0) { /* 0, and -0, times any power of ten */
        *ret_value = 0;
        return PARSE_WHOLE;
    }
    if (zeros < 0) { /* the last digit that counts stands behind the places */
        return PARSE_NOT_WHOLE;
    }
    for (size_t i = 0; i < count; i++) {
        if (!add_digit(&value, digit_of(&number, i))) {
            return PARSE_NOT_WHOLE;
        }
    }
    for (; zeros > 0; zeros--) {
        if (!add_digit(&value, 0)) {
            return PARSE_NOT_WHOLE;
        }
    }
    if (!number.negative && __builtin_sub_overflow(0, value, &value)) {
        return PARSE_NOT_WHOLE;
    }
    *ret_value = value;
    return PARSE_WHOLE;
}

bool parse_seconds_us(const char *text, int64_t *ret_us)
{
    bool is_negative = *text == '-';
    const char *whole = text + is_negative;
    size_t whole_len = strspn(whole, "0123456789");
    const char *point = whole + whole_len;
    size_t decimals = *point == '.' ? strspn(point + 1, "0123456789") : 0;
    int64_t value = 0;

    if (whole_len == 0 || decimals > 6 || (*point == '.' && decimals == 0) ||
        point[*point == '.' ? decimals + 1 : 0] != '\0') {
        return false;
    }
    for (size_t i = 0; i < whole_len + 6; i++) { /* all digits, as if there were six decimals */
        size_t decimal = i - whole_len;
        int digit = i < whole_len        ? whole[i] - '0'
                    : decimal < decimals ? point[1 + decimal] - '0'
                                         : 0;

        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_us = is_negative ? -value : value;
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
