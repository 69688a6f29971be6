/* JSON: writing into a strbuf, and reading a small request body by a table of its fields. Pure
 * functions. */
#ifndef FASTSTOCK_COMMON_BASE_JSON_H
#define FASTSTOCK_COMMON_BASE_JSON_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Adds `text` quoted and escaped (RFC 8259 section 7). Bytes that are not UTF-8 become U+FFFD. */
void json_add_string(struct strbuf *buf, const char *text);

enum json_field_type {
    JSON_FIELD_INT,
    JSON_FIELD_STRING,
    JSON_FIELD_MONEY, /* a number of at most two decimals, or a string that holds one */
    JSON_FIELD_BOOL,
    JSON_FIELD_OBJECTS, /* an array of objects that have the same fields */
};

/* One field that a body may have. An array of them ends with name == NULL. */
struct json_field {
    const char *name;
    enum json_field_type type;
    int64_t min; /* of an integer, of hundredths, of the length of a string in characters, or of an
                    array */
    int64_t max;
    bool is_nullable;                     /* null is the same as leaving it out */
    const struct json_field *item_fields; /* JSON_FIELD_OBJECTS: the fields of each; borrowed */
    bool is_required;
    /* Set by json_read_object: */
    bool present;
    bool truth;
    int64_t integer;          /* of JSON_FIELD_MONEY: hundredths */
    char *string;             /* owned; json_fields_finish frees it, and the next */
    struct json_field *items; /* the fields of one object behind those of another; json_item */
    size_t item_count;
};

/* What is wrong with a body; `field` is "" when it is the body as a whole, and "changes[3].delta"
 * for a field of an object in an array, the first of which has the number 0. */
struct json_problem {
    char field[64];
    char detail[160];
};

/* Deeper bodies are refused before they are parsed: nothing of ours nests more. */
#define JSON_DEPTH_MAX 8

/* The same for bodies of more values: each takes the parser some 100 bytes, and 1,000 stock changes
 * have 5,003. */
#define JSON_VALUES_MAX 10000

/* Reads an object strictly: valid UTF-8, no duplicate and no unknown fields, each of its type and
 * range and none of those that are required missing, within JSON_DEPTH_MAX and JSON_VALUES_MAX. A
 * whole number may be written as 5.0 or 0.5e1 too, as in JSON Schema, and money is exact: no double
 * is rounded. On false *ret_problem tells the first thing that is wrong; fields read until then are
 * set. json_fields_finish is due in either case. */
bool json_read_object(const char *body, size_t len, struct json_field *fields,
                      struct json_problem *ret_problem);

/* The fields of object `i` of a field that was read, which owns them. */
const struct json_field *json_item(const struct json_field *field, size_t i);

/* Frees the strings and objects. */
void json_fields_finish(struct json_field *fields);

#endif
