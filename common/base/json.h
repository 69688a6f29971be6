/* JSON: writing into a strbuf, and reading a small request body by a table of its fields. The only
 * file that includes jansson. */
#ifndef FASTSTOCK_COMMON_BASE_JSON_H
#define FASTSTOCK_COMMON_BASE_JSON_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Adds `text` quoted and escaped (RFC 8259 section 7). Bytes that are not UTF-8 become U+FFFD. */
void json_add_string(struct strbuf *buf, const char *text);

enum json_field_type { JSON_FIELD_INT, JSON_FIELD_STRING };

/* One field that a body may have. An array of them ends with name == NULL. */
struct json_field {
    const char *name;
    enum json_field_type type;
    int64_t min; /* of an integer, or of the characters of a string */
    int64_t max;
    /* Set by json_read_object: */
    bool present;
    int64_t integer;
    char *string; /* owned; json_fields_finish frees it */
};

/* What is wrong with a body; `field` is "" when it is the body as a whole. */
struct json_problem {
    char field[64];
    char detail[160];
};

/* Deeper bodies are refused before they are parsed: nothing of ours nests more. */
#define JSON_DEPTH_MAX 8

/* Reads an object strictly: valid UTF-8, no duplicate and no unknown fields, each of its type and
 * range, depth at most JSON_DEPTH_MAX. On false `problem` tells the first thing that is wrong. */
bool json_read_object(const char *body, size_t len, struct json_field *fields,
                      struct json_problem *ret_problem);

void json_fields_finish(struct json_field *fields);

#endif
