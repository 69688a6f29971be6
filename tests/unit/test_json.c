#include "support.h"

#include "common/base/alloc.h"
#include "common/base/json.h"
#include "common/base/parse.h"

#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"
#define TEN_E_ACUTE                                                                                \
    "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"

/* --- writing ---------------------------------------------------------------------------------- */

static void test_strings_are_escaped(void **state)
{
    static const struct {
        const char *text;
        const char *json;
    } rows[] = {
        {"", "\"\""},
        {"plain / text", "\"plain / text\""},
        {"\"", "\"\\\"\""},
        {"\\", "\"\\\\\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\r\t", "\"\\n\\r\\t\""},
        {"\x01\x08\x1F", "\"\\u0001\\u0008\\u001f\""},
        {"\x7F", "\"\\u007f\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xA6", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xA6\""},
        {"a\xC3\xA9z", "\"a\xC3\xA9z\""},
        {"\xFF", "\"" REPLACEMENT "\""},
        {"a\x80z", "\"a" REPLACEMENT "z\""},
        {"\xC3", "\"" REPLACEMENT "\""},
        {"\xC3\"", "\"" REPLACEMENT "\\\"\""}, /* the quote must not be eaten */
        {"\xC3\xC3\xA9", "\"" REPLACEMENT "\xC3\xA9\""},
        {"\xE2\x82z", "\"" REPLACEMENT REPLACEMENT "z\""},
        {"\xED\xA0\x80", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\""}, /* a surrogate */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct strbuf buf = STRBUF_EMPTY;

        json_add_string(&buf, rows[i].text);
        assert_string_equal(buf.text, rows[i].json);
        strbuf_finish(&buf);
    }
}

/* Every byte alone, and every pair: the output is JSON, and is read back as the same text where
 * that was UTF-8. */
static void test_all_pairs_of_bytes_make_json(void **state)
{
    struct strbuf buf = STRBUF_EMPTY;

    (void)state;
    for (unsigned pair = 1; pair < 0x10000; pair++) {
        const char text[] = {(char)(pair & 0xFF), (char)(pair >> 8), '\0'};
        struct json_field fields[] = {{.name = "x", .type = JSON_FIELD_STRING, .max = 2},
                                      {.name = NULL}};
        struct json_problem problem;

        strbuf_clear(&buf);
        strbuf_adds(&buf, "{\"x\":");
        json_add_string(&buf, text);
        strbuf_addc(&buf, '}');
        check_row(json_read_object(buf.text, buf.len, fields, &problem), "%04x: %s", pair,
                  problem.detail);
        check_row(!parse_is_utf8(text, strlen(text)) || strcmp(fields[0].string, text) == 0,
                  "%04x: another text", pair);
        json_fields_finish(fields);
    }
    strbuf_finish(&buf);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The fields of update-stock, the widest and the narrowest range, and a short string. */
enum { STOCK, DELTA, ANY, ONE, REASON, FIELDS };

struct reading {
    struct json_field fields[FIELDS + 1];
    struct json_problem problem;
    bool ok;
};

static void read_bytes(struct reading *reading, const char *body, size_t len)
{
    *reading = (struct reading){
        .fields = {
            [STOCK] =
                {.name = "stock", .type = JSON_FIELD_INT, .min = 0, .max = PARSE_JSON_INT_MAX},
            [DELTA] = {.name = "delta",
                       .type = JSON_FIELD_INT,
                       .min = -PARSE_JSON_INT_MAX,
                       .max = PARSE_JSON_INT_MAX},
            [ANY] = {.name = "any", .type = JSON_FIELD_INT, .min = INT64_MIN, .max = INT64_MAX},
            [ONE] = {.name = "one", .type = JSON_FIELD_INT, .min = 1, .max = 1},
            [REASON] = {.name = "reason", .type = JSON_FIELD_STRING, .min = 1, .max = 10},
            [FIELDS] = {.name = NULL}}};
    reading->ok = json_read_object(body, len, reading->fields, &reading->problem);
}

static void finish(struct reading *reading)
{
    json_fields_finish(reading->fields);
    for (size_t i = 0; i < FIELDS; i++) {
        assert_null(reading->fields[i].string);
    }
}

static void test_integers(void **state)
{
    static const struct {
        const char *body;
        size_t field;
        int64_t value;
    } rows[] = {
        {"{\"stock\":0}", STOCK, 0},
        {"{\"stock\":-0}", STOCK, 0},
        {"{\"stock\":9007199254740991}", STOCK, PARSE_JSON_INT_MAX},
        {"{\"delta\":-9007199254740991}", DELTA, -PARSE_JSON_INT_MAX},
        {"{\"any\":9223372036854775807}", ANY, INT64_MAX},
        {"{\"any\":-9223372036854775808}", ANY, INT64_MIN},
        {"{\"one\":1}", ONE, 1},
        {"{\"stock\":1.0}", STOCK, 1}, /* JSON Schema: an integer, however it is written */
        {"{\"stock\":1e3}", STOCK, 1000},
        {"{\"stock\":10E-1}", STOCK, 1},
        {"{\"stock\":0.5e1}", STOCK, 5},
        {"{\"delta\":-0.0}", DELTA, 0},
        {"{\"any\":9223372036854775807.0}", ANY, INT64_MAX},
        {"{\"any\":-9.223372036854775808e18}", ANY, INT64_MIN},
        {" \r\n\t{ \"stock\" : 7 } \n", STOCK, 7},
        {"{\"st\\u006fck\":7}", STOCK, 7}, /* the same name, escaped */
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct reading reading;

        read_bytes(&reading, rows[i].body, strlen(rows[i].body));
        check_row(reading.ok, "%s: %s", rows[i].body, reading.problem.detail);
        for (size_t field = 0; field < FIELDS; field++) {
            check_row(reading.fields[field].present == (field == rows[i].field), "%s: field %zu",
                      rows[i].body, field);
        }
        check_row(reading.fields[rows[i].field].integer == rows[i].value, "%s", rows[i].body);
        finish(&reading);
    }
}

static void test_strings(void **state)
{
    static const struct {
        const char *body;
        const char *value;
    } rows[] = {
        {"{\"reason\":\"a\"}", "a"},
        {"{\"reason\":\"0123456789\"}", "0123456789"},
        {"{\"reason\":\"" TEN_E_ACUTE "\"}", TEN_E_ACUTE}, /* 10 characters, 20 bytes */
        {"{\"reason\":\"\\u00e9\\n\\\"\\\\\\/\"}", "\xC3\xA9\n\"\\/"},
        {"{\"reason\":\"\\ud83d\\udce6\"}", "\xF0\x9F\x93\xA6"},
        {"{\"reason\":\"{[}]\\\"{[\"}", "{[}]\"{["},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct reading reading;

        read_bytes(&reading, rows[i].body, strlen(rows[i].body));
        check_row(reading.ok, "%s: %s", rows[i].body, reading.problem.detail);
        assert_true(reading.fields[REASON].present);
        assert_string_equal(reading.fields[REASON].string, rows[i].value);
        finish(&reading);
    }
}

static void read_price(const char *body, struct json_field fields[2], bool *ret_ok,
                       struct json_problem *ret_problem)
{
    fields[0] = (struct json_field){
        .name = "price", .type = JSON_FIELD_MONEY, .min = 0, .max = 999999999999};
    fields[1] = (struct json_field){.name = NULL};
    *ret_ok = json_read_object(body, strlen(body), fields, ret_problem);
    json_fields_finish(fields);
}

static void test_money_is_exact(void **state)
{
    static const struct {
        const char *body;
        int64_t hundredths; /* -1: refused */
    } rows[] = {
        {"{\"price\":0}", 0},
        {"{\"price\":12}", 1200},
        {"{\"price\":12.5}", 1250},
        {"{\"price\":12.50}", 1250},
        {"{\"price\":0.29}", 29},
        {"{\"price\":4.35}", 435},
        {"{\"price\":125e-2}", 125},
        {"{\"price\":\"12.50\"}", 1250},
        {"{\"price\":\"12\"}", 1200},
        {"{\"price\":\"0.29\"}", 29},
        {"{\"price\":9999999999.99}", 999999999999},
        {"{\"price\":\"9999999999.99\"}", 999999999999},
        {"{\"price\":10000000000}", -1},
        {"{\"price\":9999999999.995}", -1},
        {"{\"price\":9999999999.9900000000000001}", -1},
        {"{\"price\":1e300}", -1},
        {"{\"price\":9223372036854775807}", -1},
        {"{\"price\":-0.01}", -1},
        {"{\"price\":-1}", -1},
        {"{\"price\":0.001}", -1},
        {"{\"price\":0.5e-2}", -1},
        {"{\"price\":\"\"}", -1},
        {"{\"price\":\" 1\"}", -1},
        {"{\"price\":\"1,00\"}", -1},
        {"{\"price\":\"1.001\"}", -1},
        {"{\"price\":\"NaN\"}", -1},
        {"{\"price\":null}", -1},
        {"{\"price\":true}", -1},
        {"{\"price\":[1]}", -1},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct json_field fields[2];
        struct json_problem problem = {.field = ""};
        bool ok;

        read_price(rows[i].body, fields, &ok, &problem);
        check_row(ok == (rows[i].hundredths >= 0), "%s: %s", rows[i].body, problem.detail);
        check_row(!ok || fields[0].integer == rows[i].hundredths, "%s: %lld", rows[i].body,
                  (long long)fields[0].integer);
        check_row(ok || (strcmp(problem.field, "price") == 0 &&
                         strcmp(problem.detail, "expected a number from 0.00 to 9999999999.99 with "
                                                "at most two decimals") == 0),
                  "%s: %s %s", rows[i].body, problem.field, problem.detail);
    }
}

static void test_money_is_no_other_number(void **state)
{
    struct reading reading;

    (void)state;
    read_bytes(&reading, BYTES("{\"stock\":12.5}"));
    assert_false(reading.ok);
    assert_string_equal(reading.problem.field, "stock");
    finish(&reading);
}

static void test_null_where_it_is_taken(void **state)
{
    struct json_field fields[] = {
        {.name = "sku", .type = JSON_FIELD_STRING, .min = 1, .max = 64, .is_nullable = true},
        {.name = NULL}};
    struct json_problem problem;

    (void)state;
    assert_true(json_read_object(BYTES("{\"sku\":null}"), fields, &problem));
    assert_false(fields[0].present);
    assert_null(fields[0].string);
    json_fields_finish(fields);
}

static void test_several_fields_and_none(void **state)
{
    struct reading reading;

    (void)state;
    read_bytes(&reading, BYTES("{\"reason\":\"r\",\"delta\":-3,\"stock\":4}"));
    assert_true(reading.ok);
    assert_int_equal(reading.fields[DELTA].integer, -3);
    assert_int_equal(reading.fields[STOCK].integer, 4);
    assert_string_equal(reading.fields[REASON].string, "r");
    finish(&reading);

    read_bytes(&reading, BYTES("{}"));
    assert_true(reading.ok);
    for (size_t i = 0; i < FIELDS; i++) {
        assert_false(reading.fields[i].present);
    }
    finish(&reading);
}

static void test_what_is_wrong_with_a_field_is_told(void **state)
{
    static const struct {
        const char *body;
        const char *field;
        const char *detail;
    } rows[] = {
        {"{\"stock\":-1}", "stock", "from 0 to 9007199254740991"},
        {"{\"stock\":9007199254740992}", "stock", "from 0 to 9007199254740991"},
        {"{\"delta\":-9007199254740992}", "delta", "from -9007199254740991 to"},
        {"{\"one\":0}", "one", "from 1 to 1"},
        {"{\"one\":2}", "one", "from 1 to 1"},
        {"{\"stock\":0.5}", "stock", "whole number"},
        {"{\"stock\":5.0000000000000000001}", "stock", "whole number"}, /* 5 as a double */
        {"{\"stock\":1e400}", "stock", "whole number"},
        {"{\"stock\":1e-400}", "stock", "whole number"},
        {"{\"stock\":1e999}", "stock", "whole number"},
        {"{\"stock\":9007199254740992}", "stock", "whole number"},
        {"{\"stock\":9007199254740991.5}", "stock", "whole number"},
        {"{\"stock\":9223372036854775808}", "stock", "whole number"},
        {"{\"any\":-9223372036854775809}", "any", "whole number"},
        {"{\"reason\":1e999}", "reason", "string"},
        {"{\"stock\":\"1\"}", "stock", "whole number"},
        {"{\"stock\":null}", "stock", "whole number"},
        {"{\"stock\":true}", "stock", "whole number"},
        {"{\"stock\":[1]}", "stock", "whole number"},
        {"{\"stock\":{}}", "stock", "whole number"},
        {"{\"reason\":\"\"}", "reason", "1 to 10 characters"},
        {"{\"reason\":\"01234567890\"}", "reason", "1 to 10 characters"},
        {"{\"reason\":\"" TEN_E_ACUTE "\xC3\xA9\"}", "reason", "1 to 10 characters"},
        {"{\"reason\":7}", "reason", "string"},
        {"{\"reason\":null}", "reason", "string"},
        {"{\"stok\":1}", "stok", "unknown"},
        {"{\"Stock\":1}", "Stock", "unknown"},
        {"{\"stock\":1,\"price\":2}", "price", "unknown"},
        {"{\"stock \":1}", "stock ", "unknown"},
        {"{\"caf\\u00e9\":1}", "caf\xC3\xA9", "unknown"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct reading reading;

        read_bytes(&reading, rows[i].body, strlen(rows[i].body));
        check_row(!reading.ok, "taken: %s", rows[i].body);
        assert_string_equal(reading.problem.field, rows[i].field);
        assert_contains(reading.problem.detail, rows[i].detail);
        finish(&reading);
    }
}

static void test_bodies_that_are_no_object_are_refused(void **state)
{
    static const struct {
        const char *body;
        size_t len;
    } rows[] = {
        {BYTES("")},
        {BYTES(" ")},
        {BYTES("null")},
        {BYTES("1")},
        {BYTES("\"stock\"")},
        {BYTES("[]")},
        {BYTES("[{\"stock\":1}]")},
        {BYTES("{")},
        {BYTES("}")},
        {BYTES("{\"stock\"}")},
        {BYTES("{\"stock\":}")},
        {BYTES("{\"stock\":1")},
        {BYTES("{\"stock\":1,}")},
        {BYTES("{,\"stock\":1}")},
        {BYTES("{stock:1}")},
        {BYTES("{'stock':1}")},
        {BYTES("{\"stock\":1}x")},
        {BYTES("{\"stock\":1}{}")},
        {BYTES("{\"stock\":1}\0")},
        {BYTES("{\"stock\":1,\"stock\":1}")},
        {BYTES("{\"stock\":1,\"st\\u006fck\":2}")},
        {BYTES("{\"stock\":01}")},
        {BYTES("{\"stock\":+1}")},
        {BYTES("{\"stock\":.5}")},
        {BYTES("{\"stock\":1.}")},
        {BYTES("{\"stock\":0x1}")},
        {BYTES("{\"stock\":1e}")},
        {BYTES("{\"stock\":1e+}")},
        {BYTES("{\"stock\":-}")},
        {BYTES("{\"stock\":1-1}")},
        {BYTES("{\"stock\":1.0.0}")},
        {BYTES("{\"stock\":00.5}")},
        {BYTES("{\"stock\":NaN}")},
        {BYTES("{\"stock\":Infinity}")},
        {BYTES("{\"stock\":1} // no comments")},
        {BYTES("{\"reason\":\"a\nb\"}")},
        {BYTES("{\"reason\":\"a\tb\"}")},
        {BYTES("{\"reason\":\"\\u0000\"}")},
        {BYTES("{\"reason\":\"\\ud83d\"}")},
        {BYTES("{\"reason\":\"\\udce6\"}")},
        {BYTES("{\"reason\":\"\\x41\"}")},
        {BYTES("{\"reason\":\"\xFF\"}")},
        {BYTES("{\"reason\":\"\xC0\x80\"}")},
        {BYTES("{\"reason\":\"\xED\xA0\x80\"}")},
        {BYTES("{\"reason\":\"\xC3\"}")},
        {BYTES("{\"\xFF\":1}")},
        {BYTES("\xEF\xBB\xBF{\"stock\":1}")},
        {BYTES("{\0\"\0s\0\"\0:\0001\0}\0")},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct reading reading;

        read_bytes(&reading, rows[i].body, rows[i].len);
        check_row(!reading.ok, "taken, row %zu: %s", i, rows[i].body);
        assert_string_equal(reading.problem.field, "");
        assert_contains(reading.problem.detail, "JSON object");
        finish(&reading);
    }
}

/* {"stock":[[...1...]]} with `depth` levels in all, the object being one */
static bool read_nested(int depth, struct json_problem *ret_problem)
{
    struct strbuf body = STRBUF_EMPTY;
    struct reading reading;

    strbuf_adds(&body, "{\"stock\":");
    for (int i = 1; i < depth; i++) {
        strbuf_addc(&body, '[');
    }
    for (int i = 1; i < depth; i++) {
        strbuf_addc(&body, ']');
    }
    strbuf_addc(&body, '}');
    read_bytes(&reading, body.text, body.len);
    *ret_problem = reading.problem;
    finish(&reading);
    strbuf_finish(&body);
    return reading.ok;
}

static void test_depth_is_bounded(void **state)
{
    struct json_problem problem;

    (void)state;
    assert_false(read_nested(JSON_DEPTH_MAX, &problem)); /* read, and found not to be a number */
    assert_string_equal(problem.field, "stock");
    assert_false(read_nested(JSON_DEPTH_MAX + 1, &problem));
    assert_string_equal(problem.field, "");
    assert_contains(problem.detail, "nested at most 8 deep");
    assert_false(read_nested(100000, &problem));
    assert_contains(problem.detail, "nested at most 8 deep");
}

/* {"stock":[1,1,...]} with `values` in all; the objects and arrays count too */
static bool read_many(int values, struct json_problem *ret_problem)
{
    struct strbuf body = STRBUF_EMPTY;
    struct reading reading;

    strbuf_adds(&body, "{\"stock\":[1");
    for (int i = 3; i < values; i++) {
        strbuf_adds(&body, ",1");
    }
    strbuf_adds(&body, "]}");
    read_bytes(&reading, body.text, body.len);
    *ret_problem = reading.problem;
    finish(&reading);
    strbuf_finish(&body);
    return reading.ok;
}

static void test_the_number_of_values_is_bounded(void **state)
{
    struct json_problem problem;

    (void)state;
    assert_false(read_many(JSON_VALUES_MAX, &problem)); /* read, and found not to be a number */
    assert_string_equal(problem.field, "stock");
    assert_false(read_many(JSON_VALUES_MAX + 1, &problem));
    assert_string_equal(problem.field, "");
    assert_contains(problem.detail, "at most 10000 values");
}

static void test_brackets_in_strings_are_no_depth(void **state)
{
    struct reading reading;

    (void)state;
    read_bytes(&reading, BYTES("{\"reason\":\"[[[[[[[[[[\"}"));
    assert_true(reading.ok);
    finish(&reading);
    read_bytes(&reading, BYTES("{\"reason\":\"\\\"[[[[[[[[[\"}"));
    assert_true(reading.ok);
    finish(&reading);
    read_bytes(&reading, BYTES("{\"reason\":\"\\\",,,,,,,,,\"}"));
    assert_true(reading.ok);
    finish(&reading);
}

/* --- arrays of objects ------------------------------------------------------------------------ */

enum { ITEM_ID, ITEM_NOTE, ITEM_FIELDS };

static const struct json_field item_fields[] = {
    [ITEM_ID] = {.name = "id", .type = JSON_FIELD_INT, .min = 1, .max = 9},
    [ITEM_NOTE] = {.name = "note", .type = JSON_FIELD_STRING, .min = 1, .max = 5},
    [ITEM_FIELDS] = {.name = NULL},
};

enum { LIST_ITEMS, LIST_ATOMIC, LIST_FIELDS };

struct list_reading {
    struct json_field fields[LIST_FIELDS + 1];
    struct json_problem problem;
    bool ok;
};

static void read_list(struct list_reading *reading, const char *body)
{
    *reading = (struct list_reading){
        .fields = {[LIST_ITEMS] = {.name = "items",
                                   .type = JSON_FIELD_OBJECTS,
                                   .min = 1,
                                   .max = 3,
                                   .item_fields = item_fields},
                   [LIST_ATOMIC] = {.name = "atomic", .type = JSON_FIELD_BOOL},
                   [LIST_FIELDS] = {.name = NULL}}};
    reading->ok = json_read_object(body, strlen(body), reading->fields, &reading->problem);
}

static void finish_list(struct list_reading *reading)
{
    json_fields_finish(reading->fields);
    assert_null(reading->fields[LIST_ITEMS].items);
    assert_int_equal(reading->fields[LIST_ITEMS].item_count, 0);
}

static void test_arrays_of_objects(void **state)
{
    struct list_reading reading;
    const struct json_field *list = &reading.fields[LIST_ITEMS];

    (void)state;
    read_list(&reading, "{\"items\":[{\"id\":1},{},{\"note\":\"a\",\"id\":9.0}],\"atomic\":true}");
    check_row(reading.ok, "%s", reading.problem.detail);
    assert_int_equal(list->item_count, 3);
    assert_true(json_item(list, 0)[ITEM_ID].present);
    assert_int_equal(json_item(list, 0)[ITEM_ID].integer, 1);
    assert_false(json_item(list, 0)[ITEM_NOTE].present);
    assert_false(json_item(list, 1)[ITEM_ID].present);
    assert_int_equal(json_item(list, 2)[ITEM_ID].integer, 9);
    assert_string_equal(json_item(list, 2)[ITEM_NOTE].string, "a");
    assert_true(reading.fields[LIST_ATOMIC].truth);
    finish_list(&reading);

    read_list(&reading, "{\"atomic\":false}");
    assert_true(reading.ok && reading.fields[LIST_ATOMIC].present);
    assert_false(list->present || reading.fields[LIST_ATOMIC].truth);
    finish_list(&reading);
}

static void test_what_is_wrong_with_an_object_is_told_with_its_place(void **state)
{
    static const struct {
        const char *body;
        const char *field;
        const char *detail;
    } rows[] = {
        {"{\"items\":[]}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":[{},{},{},{}]}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":{}}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":{\"id\":1}}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":null}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":\"a\"}", "items", "an array of 1 to 3 objects"},
        {"{\"items\":[1]}", "items[0]", "expected an object"},
        {"{\"items\":[{},null]}", "items[1]", "expected an object"},
        {"{\"items\":[{},[]]}", "items[1]", "expected an object"},
        {"{\"items\":[{},{},{\"id\":10}]}", "items[2].id", "from 1 to 9"},
        {"{\"items\":[{\"note\":\"ab\"},{\"note\":\"\"}]}", "items[1].note", "1 to 5 characters"},
        {"{\"items\":[{\"note\":\"ab\"},{\"size\":1}]}", "items[1].size",
         "unknown field; known are id, note"},
        {"{\"items\":[{\"items\":[{}]}]}", "items[0].items", "unknown field"},
        {"{\"atomic\":1}", "atomic", "true or false"},
        {"{\"atomic\":\"true\"}", "atomic", "true or false"},
        {"{\"atomic\":null}", "atomic", "true or false"},
        {"{\"items\":[{\"id\":1,\"id\":1}]}", "", "a JSON object"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct list_reading reading;

        read_list(&reading, rows[i].body);
        check_row(!reading.ok, "taken: %s", rows[i].body);
        assert_string_equal(reading.problem.field, rows[i].field);
        assert_contains(reading.problem.detail, rows[i].detail);
        finish_list(&reading);
    }
}

static void test_required_fields(void **state)
{
    static const struct json_field item[] = {
        {.name = "id", .type = JSON_FIELD_INT, .min = 1, .max = 9, .is_required = true},
        {.name = "note", .type = JSON_FIELD_STRING, .min = 1, .max = 5},
        {.name = NULL},
    };
    static const struct {
        const char *body;
        const char *missing; /* NULL: none */
    } rows[] = {
        {"{}", "items"},
        {"{\"items\":[{\"id\":1}]}", NULL},
        {"{\"items\":[{\"id\":1},{\"id\":2,\"note\":\"a\"}]}", NULL},
        {"{\"items\":[{}]}", "items[0].id"},
        {"{\"items\":[{\"id\":1},{\"note\":\"a\"}]}", "items[1].id"},
    };

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        struct json_field fields[] = {{.name = "items",
                                       .type = JSON_FIELD_OBJECTS,
                                       .min = 1,
                                       .max = 3,
                                       .item_fields = item,
                                       .is_required = true},
                                      {.name = NULL}};
        struct json_problem problem;
        bool ok = json_read_object(rows[i].body, strlen(rows[i].body), fields, &problem);

        check_row(ok == (rows[i].missing == NULL), "%s", rows[i].body);
        if (!ok) {
            assert_string_equal(problem.field, rows[i].missing);
            assert_contains(problem.detail, "expected this field");
        }
        json_fields_finish(fields);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

/* Names and messages that do not fit are cut, also in the middle of a character; the JSON made of
 * them stays JSON. */
static void test_long_names_are_cut(void **state)
{
    struct strbuf body = STRBUF_EMPTY;
    struct strbuf told = STRBUF_EMPTY;
    struct reading reading;

    (void)state;
    strbuf_adds(&body, "{\"x");
    for (int i = 0; i < 1000; i++) {
        strbuf_adds(&body, "\xC3\xA9");
    }
    strbuf_adds(&body, "\":1}");
    read_bytes(&reading, body.text, body.len);
    assert_false(reading.ok);
    assert_int_equal(strlen(reading.problem.field), sizeof(reading.problem.field) - 1);
    json_add_string(&told, reading.problem.field);
    assert_true(parse_is_utf8(told.text, told.len));
    finish(&reading);

    strbuf_truncate(&body, body.len - 2); /* an error of the syntax, which quotes the body */
    read_bytes(&reading, body.text, body.len);
    assert_false(reading.ok);
    assert_string_equal(reading.problem.field, "");
    strbuf_clear(&told);
    json_add_string(&told, reading.problem.detail);
    assert_true(parse_is_utf8(told.text, told.len));
    finish(&reading);
    strbuf_finish(&told);
    strbuf_finish(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_escaped),
        cmocka_unit_test(test_all_pairs_of_bytes_make_json),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_money_is_exact),
        cmocka_unit_test(test_money_is_no_other_number),
        cmocka_unit_test(test_null_where_it_is_taken),
        cmocka_unit_test(test_several_fields_and_none),
        cmocka_unit_test(test_what_is_wrong_with_a_field_is_told),
        cmocka_unit_test(test_bodies_that_are_no_object_are_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_the_number_of_values_is_bounded),
        cmocka_unit_test(test_brackets_in_strings_are_no_depth),
        cmocka_unit_test(test_arrays_of_objects),
        cmocka_unit_test(test_what_is_wrong_with_an_object_is_told_with_its_place),
        cmocka_unit_test(test_required_fields),
        cmocka_unit_test(test_long_names_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
