/* Strict parsers of texts that come from outside. Each takes the whole text or nothing; outputs are
 * set on success only. Pure functions. */
#ifndef FASTSTOCK_COMMON_BASE_PARSE_H
#define FASTSTOCK_COMMON_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest whole number that every JSON reader keeps exactly (2^53 - 1, RFC 8259 section 6). */
#define PARSE_JSON_INT_MAX INT64_C(9007199254740991)

/* A decimal number, digits only (a '-' in front when min < 0), no leading zeros, in [min, max]. */
bool parse_int(const char *text, size_t len, int64_t min, int64_t max, int64_t *ret_value);

/* What a number in JSON is (RFC 8259 section 6), whichever way it is written: 5, 5.0, 0.5e1. */
enum parse_number {
    PARSE_NO_NUMBER,
    PARSE_WHOLE,     /* a whole number within 64 bits: *ret_value is set */
    PARSE_NOT_WHOLE, /* another number */
};

/* Judges the number exactly: no double is involved, which would take 9007199254740993 for ...992,
 * and 5.0000000000000001 for a whole number. */
enum parse_number parse_json_number(const char *text, size_t len, int64_t *ret_value);

/* The same for the number times 10^places: 12.5 with two places is 1250, and whole. `places` is 0
 * to 9. */
enum parse_number parse_json_decimal(const char *text, size_t len, int places, int64_t *ret_value);

/* Decimal seconds with up to six decimals and maybe a '-', as PostgreSQL writes an epoch, in
 * microseconds; false for any other text, "Infinity" among them, and for what does not fit. */
bool parse_seconds_us(const char *text, int64_t *ret_us);

/* A product or order id: 1 to 2^63-1 (PostgreSQL's bigint identity). */
bool parse_id(const char *text, size_t len, int64_t *ret_id);

/* True when the bytes are well-formed UTF-8 (RFC 3629) without NUL. */
bool parse_is_utf8(const char *bytes, size_t len);

/* Undoes percent-encoding and '+' in place; false on a bad escape, or when the result has a NUL or
 * is not UTF-8. The text is changed even when false is returned. */
bool parse_percent_decode(char *text, size_t *len);

#endif
