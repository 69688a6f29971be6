#include "common/base/json.h"

#include "common/base/alloc.h"
#include "common/base/parse.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds bytes that need no escape in one go, and returns how many these were. */
static size_t add_plain_run(struct strbuf *buf, const char *text, size_t len)
{
    size_t run = 0;

    while (run < len && (unsigned char)text[run] >= 0x20 && (unsigned char)text[run] < 0x7F &&
           text[run] != '"' && text[run] != '\\') {
        run++;
    }
    strbuf_add(buf, text, run);
    return run;
}

/* Adds the one character at the start of `text`, and returns its length in bytes. */
static size_t add_special(struct strbuf *buf, const char *text, size_t len)
{
    unsigned char c = (unsigned char)text[0];

    if (c == '"' || c == '\\') {
        strbuf_addc(buf, '\\');
        strbuf_addc(buf, (char)c);
        return 1;
    }
    if (c == '\n' || c == '\t' || c == '\r') {
        strbuf_addc(buf, '\\');
        strbuf_addc(buf, c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        return 1;
    }
    if (c < 0x20 || c == 0x7F) {
        strbuf_addf(buf, "\\u%04x", c);
        return 1;
    }
    for (size_t step = 2; step <= 4 && step <= len; step++) {
        if (parse_is_utf8(text, step)) {
            strbuf_add(buf, text, step);
            return step;
        }
    }
    strbuf_adds(buf, "\xEF\xBF\xBD");
    return 1;
}

void json_add_string(struct strbuf *buf, const char *text)
{
    size_t len = strlen(text);

    strbuf_addc(buf, '"');
    for (size_t i = 0; i < len;) {
        i += add_plain_run(buf, text + i, len - i);
        if (i < len) {
            i += add_special(buf, text + i, len - i);
        }
    }
    strbuf_addc(buf, '"');
}

static bool problem_set(struct json_problem *problem, const char *field, const char *detail)
{
    snprintf(problem->field, sizeof(problem->field), "%s", field);
    snprintf(problem->detail, sizeof(problem->detail), "%s", detail);
    return false;
}

/* The form of a body, as far as it can be seen without parsing it. */
struct form {
    int depth;     /* of brackets; jansson itself recurses up to 2048 levels */
    size_t values; /* at least as many as there are; names count with their values */
};

static struct form form_of(const char *body, size_t len)
{
    struct form form = {.values = 1};
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (body[i] == '\\') {
                i++; /* the escaped byte, a quote perhaps */
            } else if (body[i] == '"') {
                in_string = false;
            }
        } else if (body[i] == '"') {
            in_string = true;
        } else if (body[i] == '[' || body[i] == '{') {
            form.values++;
            depth++;
            form.depth = depth > form.depth ? depth : form.depth;
        } else if (body[i] == ']' || body[i] == '}') {
            depth--;
        } else if (body[i] == ',') {
            form.values++;
        }
    }
    return form;
}

/* Is it worth parsing? */
static bool check_form(const char *body, size_t len, struct json_problem *problem)
{
    struct form form = form_of(body, len);
    char detail[sizeof(problem->detail)];

    if (form.depth > JSON_DEPTH_MAX) {
        snprintf(detail, sizeof(detail), "expected JSON nested at most %d deep", JSON_DEPTH_MAX);
        return problem_set(problem, "", detail);
    }
    if (form.values > JSON_VALUES_MAX) {
        snprintf(detail, sizeof(detail), "expected JSON of at most %d values", JSON_VALUES_MAX);
        return problem_set(problem, "", detail);
    }
    return true;
}

/* Adds a string of the body, and returns its length with both quotes. */
static size_t copy_string(struct strbuf *out, const char *body, size_t len)
{
    size_t i = 1;

    while (i < len && body[i] != '"') {
        i += body[i] == '\\' ? 2 : 1;
    }
    i = i < len ? i + 1 : len;
    strbuf_add(out, body, i);
    return i;
}

/* The decimals of JSON_FIELD_MONEY, and how much of it a double holds exactly. */
#define MONEY_PLACES 2
#define MONEY_MAX PARSE_JSON_INT_MAX

/* Adds a number that is not whole: hundredths, if it is that many exactly, as "1250.0"; else 0.5.
 * So a real number means hundredths to us, and 0.5 none. */
static void add_hundredths(struct strbuf *out, const char *text, size_t len)
{
    int64_t value;

    if (parse_json_decimal(text, len, MONEY_PLACES, &value) == PARSE_WHOLE && value <= MONEY_MAX &&
        value >= -MONEY_MAX) {
        strbuf_add_int(out, value);
        strbuf_adds(out, ".0");
    } else {
        strbuf_adds(out, "0.5");
    }
}

/* Adds a number of the body in a form that jansson keeps exactly, and returns its length. jansson
 * reads 5.0 and 1e1 as doubles, and refuses a body for a number beyond 64 bits or beyond a double:
 * so a whole number is written as such, and any other as add_hundredths does, which lets its field
 * be named. Jansson refuses other texts. */
static size_t copy_number(struct strbuf *out, const char *body, size_t len)
{
    static const char of_numbers[] = "+-.0123456789eE";
    size_t i = 0;
    int64_t value;

    while (i < len && body[i] != '\0' && strchr(of_numbers, body[i]) != NULL) {
        i++;
    }
    switch (parse_json_number(body, i, &value)) {
    case PARSE_NO_NUMBER:
        strbuf_add(out, body, i);
        break;
    case PARSE_WHOLE:
        strbuf_add_int(out, value);
        break;
    case PARSE_NOT_WHOLE:
        add_hundredths(out, body, i);
        break;
    }
    return i;
}

/* Copies the body with its numbers in the form of copy_number. */
static void copy_with_exact_numbers(struct strbuf *out, const char *body, size_t len)
{
    for (size_t i = 0; i < len;) {
        if (body[i] == '"') {
            i += copy_string(out, body + i, len - i);
        } else if (body[i] == '-' || (body[i] >= '0' && body[i] <= '9')) {
            i += copy_number(out, body + i, len - i);
        } else {
            strbuf_addc(out, body[i++]);
        }
    }
}

static size_t utf8_length(const char *text)
{
    size_t characters = 0;

    for (; *text != '\0'; text++) {
        characters += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return characters;
}

static bool read_int(struct json_field *field, const json_t *value, struct json_problem *problem)
{
    char detail[sizeof(problem->detail)];

    if (!json_is_integer(value) || json_integer_value(value) < field->min ||
        json_integer_value(value) > field->max) {
        snprintf(detail, sizeof(detail), "expected a whole number from %lld to %lld",
                 (long long)field->min, (long long)field->max);
        return problem_set(problem, field->name, detail);
    }
    field->integer = json_integer_value(value);
    return true;
}

static bool read_string(struct json_field *field, const json_t *value, struct json_problem *problem)
{
    char detail[sizeof(problem->detail)];
    size_t length = json_is_string(value) ? utf8_length(json_string_value(value)) : 0;

    if (!json_is_string(value) || length < (size_t)field->min || length > (size_t)field->max) {
        snprintf(detail, sizeof(detail), "expected a string of %lld to %lld characters",
                 (long long)field->min, (long long)field->max);
        return problem_set(problem, field->name, detail);
    }
    field->string = fs_strdup(json_string_value(value));
    return true;
}

/* The hundredths of a value in the form of copy_number, or of a string; false when there are none.
 */
static bool take_hundredths(const json_t *value, int64_t *ret_hundredths)
{
    double real;

    if (json_is_integer(value)) {
        return !__builtin_mul_overflow(json_integer_value(value), 100, ret_hundredths);
    }
    if (json_is_string(value)) {
        return parse_json_decimal(json_string_value(value), json_string_length(value), MONEY_PLACES,
                                  ret_hundredths) == PARSE_WHOLE;
    }
    real = json_real_value(value); /* 0 of another type */
    *ret_hundredths = (int64_t)real;
    return json_is_real(value) && (double)*ret_hundredths == real;
}

static bool read_money(struct json_field *field, const json_t *value, struct json_problem *problem)
{
    char detail[sizeof(problem->detail)];
    int64_t hundredths = 0;

    if (!take_hundredths(value, &hundredths) || hundredths < field->min ||
        hundredths > field->max) {
        snprintf(detail, sizeof(detail),
                 "expected a number from %lld.%02lld to %lld.%02lld with at most two decimals",
                 (long long)(field->min / 100), (long long)(field->min % 100),
                 (long long)(field->max / 100), (long long)(field->max % 100));
        return problem_set(problem, field->name, detail);
    }
    field->integer = hundredths;
    return true;
}

static bool read_bool(struct json_field *field, const json_t *value, struct json_problem *problem)
{
    if (!json_is_boolean(value)) {
        return problem_set(problem, field->name, "expected true or false");
    }
    field->truth = json_is_true(value);
    return true;
}

/* How many structs the fields of one object take, their end included. */
static size_t item_width(const struct json_field *fields)
{
    size_t width = 1;

    while (fields->name != NULL) {
        fields++;
        width++;
    }
    return width;
}

static bool read_fields(json_t *object, struct json_field *fields, struct json_problem *problem);

/* Tells what is wrong with object `i` of an array, its place in front of the field. */
static bool problem_place(struct json_problem *problem, const char *array, size_t i,
                          const struct json_problem *inner)
{
    struct strbuf path = STRBUF_EMPTY;

    strbuf_addf(&path, "%s[%zu]%s%s", array, i, inner->field[0] == '\0' ? "" : ".", inner->field);
    problem_set(problem, strbuf_text(&path), inner->detail);
    strbuf_finish(&path);
    return false;
}

static bool read_item(struct json_field *field, size_t i, json_t *value,
                      struct json_problem *problem)
{
    size_t width = item_width(field->item_fields);
    struct json_field *fields = field->items + i * width;
    struct json_problem inner;

    memcpy(fields, field->item_fields, width * sizeof(*fields));
    if (!json_is_object(value)) {
        problem_set(&inner, "", "expected an object");
    } else if (read_fields(value, fields, &inner)) {
        return true;
    }
    return problem_place(problem, field->name, i, &inner);
}

static bool read_objects(struct json_field *field, const json_t *value,
                         struct json_problem *problem)
{
    char detail[sizeof(problem->detail)];
    size_t count = json_array_size(value); /* 0 of another type */

    if (!json_is_array(value) || count < (size_t)field->min || count > (size_t)field->max) {
        snprintf(detail, sizeof(detail), "expected an array of %lld to %lld objects",
                 (long long)field->min, (long long)field->max);
        return problem_set(problem, field->name, detail);
    }
    field->items = fs_calloc(count * item_width(field->item_fields), sizeof(*field->items));
    for (size_t i = 0; i < count; i++) {
        field->item_count = i + 1; /* so that json_fields_finish finds what was read */
        if (!read_item(field, i, json_array_get(value, i), problem)) {
            return false;
        }
    }
    return true;
}

static bool read_value(struct json_field *field, const json_t *value, struct json_problem *problem)
{
    switch (field->type) {
    case JSON_FIELD_INT:
        return read_int(field, value, problem);
    case JSON_FIELD_STRING:
        return read_string(field, value, problem);
    case JSON_FIELD_MONEY:
        return read_money(field, value, problem);
    case JSON_FIELD_BOOL:
        return read_bool(field, value, problem);
    case JSON_FIELD_OBJECTS:
        return read_objects(field, value, problem);
    }
    assert(false); /* no such type */
    return false;
}

static struct json_field *find_field(struct json_field *fields, const char *name)
{
    while (fields->name != NULL && strcmp(fields->name, name) != 0) {
        fields++;
    }
    return fields->name == NULL ? NULL : fields;
}

/* Says which there are, because a caller who guessed one name would guess again. */
static bool refuse_unknown(const struct json_field *fields, const char *name,
                           struct json_problem *problem)
{
    struct strbuf detail = STRBUF_EMPTY;
    const char *comma = " ";

    strbuf_adds(&detail, "unknown field; known are");
    for (; fields->name != NULL; fields++, comma = ", ") {
        strbuf_addf(&detail, "%s%s", comma, fields->name);
    }
    problem_set(problem, name, strbuf_text(&detail));
    strbuf_finish(&detail);
    return false;
}

static bool has_required(const struct json_field *fields, struct json_problem *problem)
{
    for (; fields->name != NULL; fields++) {
        if (fields->is_required && !fields->present) {
            return problem_set(problem, fields->name, "expected this field");
        }
    }
    return true;
}

static bool read_fields(json_t *object, struct json_field *fields, struct json_problem *problem)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        struct json_field *field = find_field(fields, name);

        if (field == NULL) {
            return refuse_unknown(fields, name, problem);
        }
        if (field->is_nullable && json_is_null(value)) {
            continue;
        }
        if (!read_value(field, value, problem)) {
            return false;
        }
        field->present = true;
    }
    return has_required(fields, problem);
}

bool json_read_object(const char *body, size_t len, struct json_field *fields,
                      struct json_problem *ret_problem)
{
    char detail[sizeof(ret_problem->detail)];
    struct strbuf text = STRBUF_EMPTY;
    json_error_t error;
    json_t *object;
    bool ok;

    if (!check_form(body, len, ret_problem)) {
        return false;
    }
    copy_with_exact_numbers(&text, body, len);
    object = json_loadb(strbuf_text(&text), text.len, JSON_REJECT_DUPLICATES, &error);
    strbuf_finish(&text);
    if (object == NULL) {
        snprintf(detail, sizeof(detail), "expected a JSON object: %.100s (line %d, column %d)",
                 error.text, error.line, error.column);
        return problem_set(ret_problem, "", detail);
    }
    ok = json_is_object(object) ? read_fields(object, fields, ret_problem)
                                : problem_set(ret_problem, "", "expected a JSON object");
    json_decref(object);
    return ok;
}

const struct json_field *json_item(const struct json_field *field, size_t i)
{
    assert(i < field->item_count);
    return field->items + i * item_width(field->item_fields);
}

void json_fields_finish(struct json_field *fields)
{
    for (; fields->name != NULL; fields++) {
        for (size_t i = 0; i < fields->item_count; i++) {
            json_fields_finish(fields->items + i * item_width(fields->item_fields));
        }
        free(fields->items);
        free(fields->string);
        fields->items = NULL;
        fields->item_count = 0;
        fields->string = NULL;
    }
}
