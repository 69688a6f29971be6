/* Settings. A table says of each one its name, type, default, range and help. The values come from
 * a YAML file of two levels (section: key: value), then from the environment
 * (FASTSTOCK_<SECTION>_<KEY>, or the alias). `--help` and `--print-config` are made from the same
 * table. A bad value is told with the place it stands in and what is allowed there.
 *
 *   struct settings { int64_t port; const char *url; };
 *   static const struct config_option options[] = {
 *       {"http", "port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535,
 *        .alias = "PORT", .help = "..."},
 *       {.section = NULL}}; */
#ifndef FASTSTOCK_COMMON_BASE_CONFIG_H
#define FASTSTOCK_COMMON_BASE_CONFIG_H

#include "common/base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_INT,    /* int64_t, in [min, max] */
    CONFIG_STRING, /* const char *, any text, "" allowed, at most max bytes unless that is 0 */
    CONFIG_CHOICE, /* int64_t, the index in `choices` */
    CONFIG_SWITCH, /* int64_t, 1 for "on", 0 for "off"; YAML's other words for a boolean are taken,
                      because tools that write YAML turn "on" into "true" */
    CONFIG_URL,    /* const char *, "" or a URL that its kind takes */
};

#define CONFIG_WHY_SIZE 160

/* A kind of URL. The module that reads such URLs gives it, so that settings know no store. */
struct config_url_kind {
    const char *expected; /* its form, for messages and --help */
    /* Can `url` be used? On false ret_why says what is wrong with it, without its password; or it
     * is
     * "" when there is no more to say than what is expected. */
    bool (*is_valid)(const char *url, char ret_why[CONFIG_WHY_SIZE]);
    /* The URL without its password, for messages and --print-config; `out` is always terminated. */
    void (*redact)(const char *url, char *out, size_t out_size);
};

struct config_option {
    const char *section; /* NULL ends a table */
    const char *key;
    enum config_type type;
    size_t offset;        /* of the value in the settings struct */
    const char *fallback; /* the default, as one would write it in the file */
    int64_t min;
    int64_t max;
    const char *const *choices;        /* of a CONFIG_CHOICE; ended by NULL */
    const struct config_url_kind *url; /* of a CONFIG_URL */
    bool required;                     /* text that may not be empty, see config_check_required */
    bool
        secret; /* of a URL the password, of another value the whole is hidden when it is printed */
    const char *alias; /* an environment variable with a name of its own, or NULL */
    const char *help;
};

/* Fills `settings` (the struct the offsets speak of). Strings in it are owned by it: config_free.
 * On false `error` holds one line a mistake: "file:line: section.key: what is wrong, what is
 * allowed". `path` may be NULL: no file. `environment` is an array like environ(7). Not
 * thread-safe: call from main. */
bool config_load(const struct config_option *options, const char *path, char *const *environment,
                 void *settings, struct strbuf *error);

/* Whether every required setting has a value; `error` gets a line for each that has none. */
bool config_check_required(const struct config_option *options, const void *settings,
                           struct strbuf *error);

void config_free(const struct config_option *options, void *settings);

/* The settings as a YAML file that config_load would read back; secrets hidden. */
void config_print(const struct config_option *options, const void *settings, struct strbuf *out);

/* One paragraph a setting: name, environment, type and range, default, help. */
void config_help(const struct config_option *options, struct strbuf *out);

#endif
