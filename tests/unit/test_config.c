#include "support.h"

#include "common/base/alloc.h"
#include "common/base/config.h"
#include "common/stores/pg.h"
#include "common/stores/url.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
    int64_t port;
    int64_t threads;
    const char *host;
    int64_t offset;
    int64_t level;
    const char *database;
    const char *redis;
    const char *token;
};

static const char *const levels[] = {"debug", "info", "warn", NULL};

static const struct config_option options[] = {
    {"http", "port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535, .alias = "PORT",
     .help = "A port."},
    {"http", "threads", CONFIG_INT, offsetof(struct settings, threads), "4", 1, 64,
     .help = "Threads."},
    {"http", "host", CONFIG_STRING, offsetof(struct settings, host), "0.0.0.0", .help = "A host."},
    {"log", "offset", CONFIG_INT, offsetof(struct settings, offset), "0", -10, 10,
     .help = "May be negative."},
    {"log", "level", CONFIG_CHOICE, offsetof(struct settings, level), "info", .choices = levels,
     .help = "A level."},
    {"stores", "database", CONFIG_URL, offsetof(struct settings, database), "", .url = &pg_url_kind,
     .secret = true, .alias = "DATABASE_URL", .help = "A database."},
    {"stores", "redis", CONFIG_URL, offsetof(struct settings, redis), "", .url = &redis_url_kind,
     .secret = true, .alias = "REDIS_URL", .help = "A cache."},
    {"stores", "token", CONFIG_STRING, offsetof(struct settings, token), "", .max = 32,
     .secret = true, .help = "A token."},
    {.section = NULL},
};

struct fixture {
    char path[SUPPORT_PATH_SIZE];
    bool loaded;
    struct settings settings;
    struct strbuf error;
};

static int setup(void **state)
{
    struct fixture *fixture = fs_calloc(1, sizeof(*fixture));

    support_make_file(fixture->path, "", 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    config_free(options, &fixture->settings);
    strbuf_finish(&fixture->error);
    unlink(fixture->path);
    free(fixture);
    return 0;
}

#define ENVIRONMENT(...) ((char *const[]){__VA_ARGS__, NULL})
#define NO_ENVIRONMENT ((char *const[]){NULL})

/* Loads the settings of the file and of the environment; `len` of the file, as it may hold NULs. */
static bool load_bytes(struct fixture *fixture, const char *content, size_t len,
                       char *const *environment)
{
    FILE *file = fopen(fixture->path, "w");

    assert(file != NULL);
    assert_int_equal(fwrite(content, 1, len, file), len);
    fclose(file);
    config_free(options, &fixture->settings);
    strbuf_clear(&fixture->error);
    fixture->loaded =
        config_load(options, fixture->path, environment, &fixture->settings, &fixture->error);
    assert_true(fixture->loaded == (fixture->error.len == 0)); /* nothing fails silently */
    return fixture->loaded;
}

static bool load(struct fixture *fixture, const char *content, char *const *environment)
{
    return load_bytes(fixture, content, strlen(content), environment);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* The load failed with one line that begins with the file and the number of its line, and holds
 * `what`. */
static void check_error_at(struct fixture *fixture, int line, const char *what)
{
    const char *error = strbuf_text(&fixture->error);
    char where[SUPPORT_PATH_SIZE + 16];

    assert_false(fixture->loaded);
    snprintf(where, sizeof(where), "%s:%d: ", fixture->path, line);
    check_row(strncmp(error, where, strlen(where)) == 0, "expected '%s' at the start of: %s", where,
              error);
    assert_contains(error, what);
    assert_int_equal(count_lines(error), 1);
}

/* --- values ----------------------------------------------------------------------------------- */

static void check_defaults(const struct settings *settings)
{
    assert_int_equal(settings->port, 8080);
    assert_int_equal(settings->threads, 4);
    assert_string_equal(settings->host, "0.0.0.0");
    assert_int_equal(settings->offset, 0);
    assert_int_equal(settings->level, 1);
    assert_string_equal(settings->database, "");
    assert_string_equal(settings->redis, "");
    assert_string_equal(settings->token, "");
}

static void test_defaults(void **state)
{
    struct fixture *fixture = *state;

    assert_true(config_load(options, NULL, NO_ENVIRONMENT, &fixture->settings, &fixture->error));
    check_defaults(&fixture->settings);
}

static void test_files_that_set_nothing(void **state)
{
    static const char *const rows[] = {"",        "\n\n", "# nothing\n",     "---\n",
                                       "http:\n", "{}",   "http: {}\nlog:\n"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(load(fixture, rows[i], NO_ENVIRONMENT), "'%s': %s", rows[i],
                  strbuf_text(&fixture->error));
        check_defaults(&fixture->settings);
    }
}

static void test_file(void **state)
{
    struct fixture *fixture = *state;

    assert_true(load(fixture,
                     "# a comment\n"
                     "stores:\n"
                     "  redis: redis://:secret@cache/1   # another\n"
                     "  database: 'postgres://u:p@db/stock'\n"
                     "  token: \"with \\\"quotes\\\" and # hash\"\n"
                     "http: {port: 1, host: \"::\"}\n"
                     "log:\n"
                     "    level: debug\n"
                     "    offset: -10\n",
                     NO_ENVIRONMENT));
    assert_int_equal(fixture->settings.port, 1);
    assert_string_equal(fixture->settings.host, "::");
    assert_int_equal(fixture->settings.threads, 4);
    assert_int_equal(fixture->settings.level, 0);
    assert_int_equal(fixture->settings.offset, -10);
    assert_string_equal(fixture->settings.redis, "redis://:secret@cache/1");
    assert_string_equal(fixture->settings.database, "postgres://u:p@db/stock");
    assert_string_equal(fixture->settings.token, "with \"quotes\" and # hash");
}

static void test_file_may_set_text_to_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_true(load(fixture, "http:\n  host: \"\"\nstores:\n  redis:\n", NO_ENVIRONMENT));
    assert_string_equal(fixture->settings.host, "");
    assert_string_equal(fixture->settings.redis, "");
}

static void test_ranges_include_their_ends(void **state)
{
    static const struct {
        const char *value;
        bool ok;
    } rows[] = {{"1", true},
                {"65535", true},
                {"0", false},
                {"65536", false},
                {"-1", false},
                {"08080", false},
                {"", false},
                {"80 80", false},
                {"8080.0", false},
                {"8e3", false},
                {"~", false},
                {"null", false},
                {"+80", false},
                {"0x50", false},
                {"\"80\"", true},
                {"8_080", false},
                {"99999999999999999999", false}};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        char content[64];

        snprintf(content, sizeof(content), "http:\n  port: %s\n", rows[i].value);
        check_row(load(fixture, content, NO_ENVIRONMENT) == rows[i].ok, "port %s", rows[i].value);
        if (!rows[i].ok) {
            check_error_at(fixture, 2, "http.port: bad value");
            assert_contains(fixture->error.text, "a whole number from 1 to 65535");
        }
    }
}

static void test_bad_values_tell_what_is_allowed(void **state)
{
    static const struct {
        const char *line;
        const char *named;
        const char *allowed;
    } rows[] = {
        {"log: {level: trace}", "log.level: bad value 'trace'", "one of debug, info, warn"},
        {"log: {level: INFO}", "log.level: bad value 'INFO'", "one of debug, info, warn"},
        {"log: {level: ''}", "log.level: bad value ''", "one of debug, info, warn"},
        {"stores: {token: 123456789012345678901234567890123}", "stores.token: bad value '***'",
         "text of at most 32 bytes"},
        {"log: {offset: -11}", "log.offset: bad value '-11'", "from -10 to 10"},
        {"log: {offset: -0}", "log.offset: bad value '-0'", "from -10 to 10"},
        {"stores: {redis: cache}", "stores.redis: bad value 'cache'", "redis://"},
        {"stores: {redis: 'unix:///cache'}", "stores.redis: bad value", "redis://"},
        {"stores: {redis: 'redis://cache:0'}",
         "stores.redis: bad value 'redis://cache:0': the port", ", expected redis[s]://"},
        {"stores: {database: 'mysql://db'}", "stores.database: bad value", "postgres://"},
        {"stores: {database: 'postgres:db'}", "stores.database: bad value", "postgres://"},
        {"stores: {database: 'postgres://u:p/w@db'}", "stores.database: bad value",
         "percent-encoded"},
        {"stores: {database: 'postgres://u:p@w@db/x'}", "stores.database: bad value",
         "percent-encoded"},
        {"stores: {database: 'postgres://u:p@db/x@y'}", "stores.database: bad value",
         "an '@' beside the one"},
        {"stores: {database: 'postgres://u:p@db/x y'}", "stores.database: bad value",
         "a blank or a control character"},
        {"stores: {database: 'postgres://db:0/x'}", "stores.database: bad value", "postgres://"},
        {"stores: {database: 'postgres://a:1,b:x/x'}", "stores.database: bad value", "postgres://"},
        {"stores: {database: 'postgres://db/x?nonsense=1'}", "stores.database: bad value",
         "postgres://"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        load(fixture, rows[i].line, NO_ENVIRONMENT);
        check_error_at(fixture, 1, rows[i].named);
        assert_contains(fixture->error.text, rows[i].allowed);
    }
}

/* --- mistakes in the file --------------------------------------------------------------------- */

static void test_unknown_names_list_the_known_ones(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, "http:\n  threads: 5\n  prot: 80\n", NO_ENVIRONMENT);
    check_error_at(fixture, 3,
                   "unknown setting 'http.prot', expected one of port, threads, host\n");
    load(fixture, "\n\nhtpp:\n  port: 80\n", NO_ENVIRONMENT);
    check_error_at(fixture, 3, "unknown section 'htpp', expected one of http, log, stores\n");
    load(fixture, "http:\n  level: info\n", NO_ENVIRONMENT); /* a key of another section */
    check_error_at(fixture, 2,
                   "unknown setting 'http.level', expected one of port, threads, host\n");
    load(fixture, "HTTP:\n  port: 80\n", NO_ENVIRONMENT);
    check_error_at(fixture, 1, "unknown section 'HTTP'");
}

static void test_repeated_settings_are_refused(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, "http:\n  port: 80\n  port: 80\n", NO_ENVIRONMENT);
    check_error_at(fixture, 3, "twice");
    load(fixture, "http:\n  port: 80\nlog:\n  level: warn\nhttp:\n  port: 81\n", NO_ENVIRONMENT);
    check_error_at(fixture, 6, "twice");
}

static void test_files_of_another_form_are_refused(void **state)
{
    static const struct {
        const char *content;
        int line;
        const char *what;
    } rows[] = {
        {"port\n", 1, "expected sections"},
        {"- http\n", 1, "expected sections"},
        {"http: 80\n", 1, "under the section"},
        {"http:\n  - port\n", 2, "under the section"},
        {"http:\n  port: [80]\n", 2, "key: value"},
        {"http:\n  port:\n    number: 80\n", 2, "key: value"},
        {"http:\n  [port]: 80\n", 2, "key: value"},
        {"[http]: {port: 80}\n", 1, "name of a section"},
        {"{a: b}: {port: 80}\n", 1, "name of a section"},
        {"http:\n  port: 80\n threads: 4\n", 3, "not YAML"},
        {"http:\n\tport: 80\n", 2, "not YAML"},
        {"http: {port: 80\n", 2, "not YAML"},
        {"http:\n  host: \"a\n", 3, "not YAML"},
        {"http:\n  port: *nowhere\n", 2, "not YAML"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        load(fixture, rows[i].content, NO_ENVIRONMENT);
        check_error_at(fixture, rows[i].line, rows[i].what);
    }
}

static void test_files_that_are_no_text_are_refused(void **state)
{
    struct fixture *fixture = *state;

    load_bytes(fixture, BYTES("http:\n  host: \xFF\n"), NO_ENVIRONMENT);
    assert_false(fixture->loaded);
    assert_contains(fixture->error.text, "not YAML");
    load_bytes(fixture, BYTES("http:\n  host: a\0b\n"), NO_ENVIRONMENT);
    assert_false(fixture->loaded);
    assert_contains(fixture->error.text, "not YAML");
}

/* A second YAML document is as much a part of the file as the first. */
static void test_a_second_document_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_false(load(fixture, "http:\n  port: 80\n---\nlog:\n  level: warn\n", NO_ENVIRONMENT));
}

/* YAML can write a NUL; the text behind it must not be cut off silently. */
static void test_escaped_nul_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_false(load(fixture, "http:\n  host: \"a\\0b\"\n", NO_ENVIRONMENT));
    assert_false(load(fixture, "http:\n  \"port\\0x\": 80\n", NO_ENVIRONMENT));
}

static void test_all_mistakes_are_told_at_once(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, "http:\n  port: 0\n  prot: 1\nlgo:\n  level: info\nlog:\n  level: loud\n",
         ENVIRONMENT("FASTSTOCK_HTTP_THREADS=65", "FASTSTOCK_LOG_LEVLE=info"));
    assert_false(fixture->loaded);
    assert_int_equal(count_lines(fixture->error.text), 6);
    assert_contains(fixture->error.text, ":2: http.port: bad value '0'");
    assert_contains(fixture->error.text, ":3: unknown setting 'http.prot'");
    assert_contains(fixture->error.text, ":4: unknown section 'lgo'");
    assert_contains(fixture->error.text, ":7: log.level: bad value 'loud'");
    assert_contains(fixture->error.text, "FASTSTOCK_HTTP_THREADS: http.threads: bad value '65'");
    assert_contains(fixture->error.text, "FASTSTOCK_LOG_LEVLE: ");
}

static void test_missing_file(void **state)
{
    struct fixture *fixture = *state;

    assert_false(config_load(options, "/nowhere/settings.yaml", NO_ENVIRONMENT, &fixture->settings,
                             &fixture->error));
    assert_string_equal(fixture->error.text,
                        "/nowhere/settings.yaml: cannot be read: No such file or directory\n");
}

static void test_a_folder_is_no_file(void **state)
{
    struct fixture *fixture = *state;

    assert_false(config_load(options, "/tmp", NO_ENVIRONMENT, &fixture->settings, &fixture->error));
    assert_contains(fixture->error.text, "/tmp");
}

/* --- the environment -------------------------------------------------------------------------- */

static void test_environment_wins_over_file_over_default(void **state)
{
    struct fixture *fixture = *state;

    assert_true(
        load(fixture, "http:\n  port: 1\n  threads: 2\n", ENVIRONMENT("FASTSTOCK_HTTP_PORT=3")));
    assert_int_equal(fixture->settings.port, 3);
    assert_int_equal(fixture->settings.threads, 2);
    assert_string_equal(fixture->settings.host, "0.0.0.0");
}

static void test_aliases_win_over_the_file(void **state)
{
    struct fixture *fixture = *state;

    assert_true(
        load(fixture, "http:\n  port: 1\n",
             ENVIRONMENT("PORT=2", "DATABASE_URL=postgresql://db/a=b", "REDIS_URL=redis://cache")));
    assert_int_equal(fixture->settings.port, 2);
    assert_string_equal(fixture->settings.database,
                        "postgresql://db/a=b"); /* '=' may stand in a value */
    assert_string_equal(fixture->settings.redis, "redis://cache");
}

static void test_full_names_win_over_aliases_in_any_order(void **state)
{
    struct fixture *fixture = *state;

    assert_true(
        load(fixture, "http:\n  port: 1\n", ENVIRONMENT("PORT=2", "FASTSTOCK_HTTP_PORT=3")));
    assert_int_equal(fixture->settings.port, 3);
    assert_true(
        load(fixture, "http:\n  port: 1\n", ENVIRONMENT("FASTSTOCK_HTTP_PORT=3", "PORT=2")));
    assert_int_equal(fixture->settings.port, 3);
}

static void test_environment_may_set_text_to_nothing(void **state)
{
    struct fixture *fixture = *state;

    assert_true(
        load(fixture, "stores:\n  redis: redis://cache\n", ENVIRONMENT("FASTSTOCK_STORES_REDIS=")));
    assert_string_equal(fixture->settings.redis, "");
}

static void test_mistakes_in_the_environment_name_the_variable(void **state)
{
    static const struct {
        char *variable;
        const char *error;
    } rows[] = {
        {"FASTSTOCK_HTTP_PORT=x",
         "FASTSTOCK_HTTP_PORT: http.port: bad value 'x', expected a whole number from 1 to "
         "65535\n"},
        {"FASTSTOCK_HTTP_PORT=",
         "FASTSTOCK_HTTP_PORT: http.port: bad value '', expected a whole number from 1 to 65535\n"},
        {"PORT=65536",
         "PORT: http.port: bad value '65536', expected a whole number from 1 to 65535\n"},
        {"FASTSTOCK_HTTP_PROT=1",
         "FASTSTOCK_HTTP_PROT: no setting has this name; --help lists them\n"},
        {"FASTSTOCK_HTTP_=1", "FASTSTOCK_HTTP_: no setting has this name; --help lists them\n"},
        {"FASTSTOCK_HTTP_PORT_=1",
         "FASTSTOCK_HTTP_PORT_: no setting has this name; --help lists them\n"},
        {"FASTSTOCK_HTTP_port=1",
         "FASTSTOCK_HTTP_port: no setting has this name; --help lists them\n"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        assert_false(load(fixture, "", ENVIRONMENT(rows[i].variable)));
        assert_string_equal(fixture->error.text, rows[i].error);
    }
}

/* Variables of other programs, and of other parts of FastStock: a section of the table makes it
 * ours. */
static void test_other_variables_are_left_alone(void **state)
{
    struct fixture *fixture = *state;

    assert_true(load(fixture, "",
                     ENVIRONMENT("HOME=/", "HTTP_PORT=x", "FASTSTOCK=x", "FASTSTOCK_=x",
                                 "FASTSTOCK_HTTP=x", "FASTSTOCK_PRESET=asan",
                                 "FASTSTOCK_PORT_BASE=18000", "faststock_http_port=x", "PORTS=x",
                                 "PORT_=x", "no equals sign", "=x", "")));
    check_defaults(&fixture->settings);
}

static void test_long_variables_are_unknown(void **state)
{
    struct fixture *fixture = *state;
    char variable[400] = "FASTSTOCK_HTTP_";

    memset(variable + strlen(variable), 'X', 300);
    variable[strlen(variable)] = '=';
    assert_false(load(fixture, "", ENVIRONMENT(variable)));
}

static void test_urls_that_libpq_can_read(void **state)
{
    static const char *const urls[] = {"postgres://db",           "postgresql://u:p%2Fw@db:5432/x",
                                       "postgres://a:1,b/x",      "postgres://a,b:2/x",
                                       "postgres://[::1]:5432/x", "postgres:///x?host=/run"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(urls); i++) {
        char line[256];

        snprintf(line, sizeof(line), "stores: {database: '%s'}", urls[i]);
        check_row(load(fixture, line, NO_ENVIRONMENT), "%s", strbuf_text(&fixture->error));
    }
}

static void test_required(void **state)
{
    static const struct config_option required[] = {
        {"stores", "database", CONFIG_URL, offsetof(struct settings, database), "",
         .url = &pg_url_kind, .required = true, .alias = "DATABASE_URL", .help = "A database."},
        {"stores", "token", CONFIG_STRING, offsetof(struct settings, token), "", .required = true,
         .help = "A token."},
        {.section = NULL},
    };
    struct fixture *fixture = *state;

    assert_true(load(fixture, "stores: {token: x}", NO_ENVIRONMENT));
    assert_true(config_check_required(options, &fixture->settings,
                                      &fixture->error)); /* nothing there is required */
    assert_false(config_check_required(required, &fixture->settings, &fixture->error));
    assert_contains(fixture->error.text,
                    "stores.database is empty; set it in the file, or DATABASE_URL in the");
    assert_int_equal(count_lines(fixture->error.text), 1);

    assert_true(load(fixture, "stores: {database: 'postgres://db'}", NO_ENVIRONMENT));
    assert_false(config_check_required(required, &fixture->settings, &fixture->error));
    assert_contains(fixture->error.text,
                    "stores.token is empty; set it in the file, or FASTSTOCK_STORES_TOKEN in the");

    assert_true(load(fixture, "stores: {database: 'postgres://db', token: x}", NO_ENVIRONMENT));
    assert_true(config_check_required(required, &fixture->settings, &fixture->error));
}

/* --- printing --------------------------------------------------------------------------------- */

static void test_printed_defaults(void **state)
{
    struct fixture *fixture = *state;
    struct strbuf printed = STRBUF_EMPTY;

    assert_true(load(fixture, "", NO_ENVIRONMENT));
    config_print(options, &fixture->settings, &printed);
    assert_string_equal(printed.text, "http:\n"
                                      "  port: 8080\n"
                                      "  threads: 4\n"
                                      "  host: \"0.0.0.0\"\n"
                                      "log:\n"
                                      "  offset: 0\n"
                                      "  level: info\n"
                                      "stores:\n"
                                      "  database: \"\"\n"
                                      "  redis: \"\"\n"
                                      "  token: \"\"\n");
    strbuf_finish(&printed);
}

static void test_switches_take_the_words_of_yaml(void **state)
{
    static const struct config_option table[] = {
        {"log", "level", CONFIG_SWITCH, offsetof(struct settings, level), "off", .help = "L."},
        {.section = NULL}};
    static const struct {
        char *entry;
        int64_t value;
    } rows[] = {{"FASTSTOCK_LOG_LEVEL=on", 1},  {"FASTSTOCK_LOG_LEVEL=true", 1},
                {"FASTSTOCK_LOG_LEVEL=yes", 1}, {"FASTSTOCK_LOG_LEVEL=off", 0},
                {"FASTSTOCK_LOG_LEVEL=no", 0},  {"FASTSTOCK_LOG_LEVEL=false", 0}};
    struct settings settings;
    struct strbuf text = STRBUF_EMPTY;

    (void)state;
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        assert_true(
            config_load(table, NULL, (char *const[]){rows[i].entry, NULL}, &settings, &text));
        assert_int_equal(settings.level, rows[i].value);
        strbuf_clear(&text);
        config_print(table, &settings, &text);
        assert_string_equal(text.text,
                            rows[i].value ? "log:\n  level: on\n" : "log:\n  level: off\n");
    }
    strbuf_clear(&text);
    assert_false(config_load(table, NULL, (char *const[]){"FASTSTOCK_LOG_LEVEL=ON", NULL},
                             &settings, &text));
    assert_contains(text.text, "bad value 'ON', expected on or off");
    strbuf_finish(&text);
}

/* YAML knows no section that stands in a file twice. */
static void test_rows_of_a_section_may_stand_apart(void **state)
{
    static const struct config_option apart[] = {
        {"http", "port", CONFIG_INT, offsetof(struct settings, port), "1", 1, 9, .help = "P."},
        {"log", "offset", CONFIG_INT, offsetof(struct settings, offset), "2", 1, 9, .help = "O."},
        {"http", "threads", CONFIG_INT, offsetof(struct settings, threads), "3", 1, 9,
         .help = "T."},
        {.section = NULL}};
    struct settings settings;
    struct strbuf text = STRBUF_EMPTY;

    (void)state;
    assert_true(config_load(apart, NULL, (char *const[]){NULL}, &settings, &text));
    config_print(apart, &settings, &text);
    assert_string_equal(text.text, "http:\n  port: 1\n  threads: 3\nlog:\n  offset: 2\n");
    strbuf_clear(&text);
    assert_false(
        config_load(apart, NULL, (char *const[]){"FASTSTOCK_HTTP_X=1", NULL}, &settings, &text));
    strbuf_finish(&text);
}

static void test_secrets_are_hidden_when_printed(void **state)
{
    struct fixture *fixture = *state;
    struct strbuf printed = STRBUF_EMPTY;

    assert_true(load(fixture,
                     "stores:\n  redis: redis://:s3cret@cache\n  token: s3cret\n"
                     "  database: postgres://user:s3cret@db/stock\n",
                     NO_ENVIRONMENT));
    config_print(options, &fixture->settings, &printed);
    assert_lacks(printed.text, "s3cret");
    assert_contains(printed.text, "redis: \"redis://:***@cache\"");
    assert_contains(printed.text, "database: \"postgres://user:***@db/stock\"");
    assert_contains(printed.text, "token: \"***\"");
    strbuf_finish(&printed);
}

static void test_secrets_are_hidden_in_messages(void **state)
{
    struct fixture *fixture = *state;

    assert_false(load(fixture, "",
                      ENVIRONMENT("REDIS_URL=unix://:s3cret@cache",
                                  "DATABASE_URL=mysql://user:s3cret@db/stock")));
    assert_lacks(fixture->error.text, "s3cret");
    assert_contains(fixture->error.text, "unix://:***@cache");
    assert_false(load(fixture, "stores:\n  redis: user:s3cret@cache\n", NO_ENVIRONMENT));
    assert_lacks(fixture->error.text, "s3cret");
}

/* The ways in which people get a URL wrong must not put its password into a log. */
static void test_secrets_of_bad_urls_are_hidden_in_messages(void **state)
{
    static char *const rows[] = {"REDIS_URL=redis://:ab/s3cret@cache",
                                 "REDIS_URL=redis://:s3cret#@cache",
                                 "DATABASE_URL=host=db password=s3cret"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        assert_false(load(fixture, "", ENVIRONMENT(rows[i])));
        assert_lacks(fixture->error.text, "s3cret");
    }
}

/* Prints the settings with this `host` and reads them back. */
static void check_reads_back(struct fixture *fixture, const char *host)
{
    struct strbuf printed = STRBUF_EMPTY;
    struct strbuf again = STRBUF_EMPTY;
    char variable[300];

    snprintf(variable, sizeof(variable), "FASTSTOCK_HTTP_HOST=%s", host);
    assert_true(load(
        fixture,
        "http: {port: 81}\nlog: {level: warn, offset: -3}\nstores: {redis: 'redis://cache/1'}\n",
        ENVIRONMENT(variable)));
    config_print(options, &fixture->settings, &printed);
    check_row(load(fixture, printed.text, NO_ENVIRONMENT), "%s", strbuf_text(&fixture->error));
    assert_string_equal(fixture->settings.host, host);
    assert_int_equal(fixture->settings.port, 81);
    assert_int_equal(fixture->settings.level, 2);
    assert_int_equal(fixture->settings.offset, -3);
    assert_string_equal(fixture->settings.redis, "redis://cache/1");
    config_print(options, &fixture->settings, &again);
    assert_string_equal(again.text, printed.text);
    strbuf_finish(&again);
    strbuf_finish(&printed);
}

static void test_printed_settings_read_back_the_same(void **state)
{
    static const char *const hosts[] = {"",
                                        "127.0.0.1",
                                        "::",
                                        "a: b # c",
                                        "\"quoted\"",
                                        "back\\slash",
                                        "\\\"n",
                                        "  blanks ",
                                        "'",
                                        "- x",
                                        "\xC3\xA9\xF0\x9F\x93\xA6",
                                        "%&*!|>{}[],?@`"};

    for (size_t i = 0; i < FS_ARRAY_LEN(hosts); i++) {
        check_reads_back(*state, hosts[i]);
    }
}

static void test_printed_control_characters_read_back_the_same(void **state)
{
    static const char *const hosts[] = {"a\tb",   "a\nb",          "a\n\nb",
                                        "a\r\nb", "a\x01\x1B\x7F", "\xC2\x85\xE2\x80\xA8"};

    for (size_t i = 0; i < FS_ARRAY_LEN(hosts); i++) {
        check_reads_back(*state, hosts[i]);
    }
}

static void test_help_tells_all_of_each_setting(void **state)
{
    struct strbuf help = STRBUF_EMPTY;

    (void)state;
    config_help(options, &help);
    for (const struct config_option *o = options; o->section != NULL; o++) {
        char name[64];

        snprintf(name, sizeof(name), "  %s.%s\n", o->section, o->key);
        assert_contains(help.text, name);
        assert_contains(help.text, o->help);
    }
    assert_contains(help.text, "a whole number from 1 to 65535; default: 8080\n"
                               "      environment: FASTSTOCK_HTTP_PORT or PORT\n");
    assert_contains(
        help.text,
        "one of debug, info, warn; default: info\n      environment: FASTSTOCK_LOG_LEVEL\n");
    assert_contains(help.text,
                    "default: empty\n      environment: FASTSTOCK_STORES_REDIS or REDIS_URL\n");
    strbuf_finish(&help);
}

static void test_free_leaves_nothing_and_may_be_repeated(void **state)
{
    struct fixture *fixture = *state;

    assert_true(load(fixture, "", NO_ENVIRONMENT));
    config_free(options, &fixture->settings);
    assert_null(fixture->settings.host);
    assert_null(fixture->settings.redis);
    config_free(options, &fixture->settings);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_defaults),
        with_fixture(test_files_that_set_nothing),
        with_fixture(test_file),
        with_fixture(test_file_may_set_text_to_nothing),
        with_fixture(test_ranges_include_their_ends),
        with_fixture(test_bad_values_tell_what_is_allowed),
        with_fixture(test_unknown_names_list_the_known_ones),
        with_fixture(test_repeated_settings_are_refused),
        with_fixture(test_files_of_another_form_are_refused),
        with_fixture(test_files_that_are_no_text_are_refused),
        with_fixture(test_a_second_document_is_refused),
        with_fixture(test_escaped_nul_is_refused),
        with_fixture(test_all_mistakes_are_told_at_once),
        with_fixture(test_missing_file),
        with_fixture(test_a_folder_is_no_file),
        with_fixture(test_environment_wins_over_file_over_default),
        with_fixture(test_aliases_win_over_the_file),
        with_fixture(test_full_names_win_over_aliases_in_any_order),
        with_fixture(test_environment_may_set_text_to_nothing),
        with_fixture(test_mistakes_in_the_environment_name_the_variable),
        with_fixture(test_other_variables_are_left_alone),
        with_fixture(test_long_variables_are_unknown),
        with_fixture(test_urls_that_libpq_can_read),
        with_fixture(test_required),
        with_fixture(test_printed_defaults),
        with_fixture(test_rows_of_a_section_may_stand_apart),
        cmocka_unit_test(test_switches_take_the_words_of_yaml),
        with_fixture(test_secrets_are_hidden_when_printed),
        with_fixture(test_secrets_are_hidden_in_messages),
        with_fixture(test_secrets_of_bad_urls_are_hidden_in_messages),
        with_fixture(test_printed_settings_read_back_the_same),
        with_fixture(test_printed_control_characters_read_back_the_same),
        with_fixture(test_help_tells_all_of_each_setting),
        with_fixture(test_free_leaves_nothing_and_may_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
