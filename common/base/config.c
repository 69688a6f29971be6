#include "common/base/config.h"

#include "common/base/alloc.h"
#include "common/base/config_yaml.h"
#include "common/base/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_PREFIX "FASTSTOCK_"
#define NAME_SIZE 128
#define VARIABLE_SIZE 512

struct loading {
    const struct config_option *options;
    char *settings;
    struct strbuf *error;
    bool *is_in_file; /* by row of `options`, while the file is read */
};

static void *slot(const struct config_option *option, void *settings)
{
    return (char *)settings + option->offset;
}

static bool holds_text(const struct config_option *option)
{
    return option->type == CONFIG_STRING || option->type == CONFIG_URL;
}

/* What a value may be, in words. */
static void add_allowed(struct strbuf *out, const struct config_option *option)
{
    switch (option->type) {
    case CONFIG_INT:
        strbuf_addf(out, "a whole number from %lld to %lld", (long long)option->min,
                    (long long)option->max);
        break;
    case CONFIG_CHOICE:
        strbuf_adds(out, "one of");
        for (size_t i = 0; option->choices[i] != NULL; i++) {
            strbuf_addf(out, "%s %s", i > 0 ? "," : "", option->choices[i]);
        }
        break;
    case CONFIG_SWITCH:
        strbuf_adds(out, "on or off");
        break;
    case CONFIG_URL:
        strbuf_adds(out, option->url->expected);
        break;
    case CONFIG_STRING:
        strbuf_adds(out, "text");
        if (option->max > 0) {
            strbuf_addf(out, " of at most %lld bytes", (long long)option->max);
        }
        break;
    }
    if (option->type == CONFIG_URL && !option->required) {
        strbuf_adds(out, ", or empty for none");
    }
}

static bool choice_index(const struct config_option *option, const char *value, int64_t *ret_index)
{
    for (size_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *ret_index = (int64_t)i;
            return true;
        }
    }
    return false;
}

static bool switch_value(const char *value, int64_t *ret_value)
{
    static const char *const words[][3] = {{"off", "false", "no"}, {"on", "true", "yes"}};

    for (int64_t i = 0; i < (int64_t)FS_ARRAY_LEN(words); i++) {
        for (size_t j = 0; j < FS_ARRAY_LEN(words[i]); j++) {
            if (strcmp(words[i][j], value) == 0) {
                *ret_value = i;
                return true;
            }
        }
    }
    return false;
}

static bool text_is_valid(const struct config_option *option, const char *value,
                          char ret_why[CONFIG_WHY_SIZE])
{
    if (option->type == CONFIG_STRING) {
        return option->max == 0 || strlen(value) <= (size_t)option->max;
    }
    return *value == '\0' || option->url->is_valid(value, ret_why);
}

/* On false ret_why may say more than what is allowed. */
static bool store(const struct config_option *option, void *settings, const char *value,
                  char ret_why[CONFIG_WHY_SIZE])
{
    if (option->type == CONFIG_INT) {
        return parse_int(value, strlen(value), option->min, option->max, slot(option, settings));
    }
    if (option->type == CONFIG_CHOICE) {
        return choice_index(option, value, slot(option, settings));
    }
    if (option->type == CONFIG_SWITCH) {
        return switch_value(value, slot(option, settings));
    }
    if (!text_is_valid(option, value, ret_why)) {
        return false;
    }
    free(*(char **)slot(option, settings));
    *(char **)slot(option, settings) = fs_strdup(value);
    return true;
}

/* The value as it may be shown. */
static void add_shown(struct strbuf *out, const struct config_option *option, const char *value)
{
    char hidden[1024];

    if (option->type == CONFIG_URL) {
        option->url->redact(value, hidden, sizeof(hidden));
        strbuf_adds(out, hidden);
    } else {
        strbuf_adds(out, option->secret && *value != '\0' ? "***" : value);
    }
}

/* `where` is "file:line" or the name of an environment variable. */
static bool set_value(struct loading *loading, const struct config_option *option,
                      const char *where, const char *value)
{
    char why[CONFIG_WHY_SIZE] = "";

    if (store(option, loading->settings, value, why)) {
        return true;
    }
    strbuf_addf(loading->error, "%s: %s.%s: bad value '", where, option->section, option->key);
    add_shown(loading->error, option, value);
    strbuf_addf(loading->error, "'%s%s, expected ", why[0] == '\0' ? "" : ": ", why);
    add_allowed(loading->error, option);
    strbuf_addc(loading->error, '\n');
    return false;
}

static const struct config_option *find_option(const struct config_option *options,
                                               const char *section, const char *key)
{
    for (; options->section != NULL; options++) {
        if (strcmp(options->section, section) == 0 &&
            (key == NULL || strcmp(options->key, key) == 0)) {
            return options;
        }
    }
    return NULL;
}

/* Is this the first row of its section? */
static bool opens_section(const struct config_option *options, const struct config_option *row)
{
    return find_option(options, row->section, NULL) == row;
}

/* "unknown section 'x', expected one of a, b", or, with a section, "unknown setting 'section.x'".
 */
static void add_unknown(struct loading *loading, const char *where, const char *section,
                        const char *name)
{
    const char *separator = "";

    if (section == NULL) {
        strbuf_addf(loading->error, "%s: unknown section '%s', expected one of", where, name);
    } else {
        strbuf_addf(loading->error, "%s: unknown setting '%s.%s', expected one of", where, section,
                    name);
    }
    for (const struct config_option *o = loading->options; o->section != NULL; o++) {
        if (section == NULL ? opens_section(loading->options, o)
                            : strcmp(o->section, section) == 0) {
            strbuf_addf(loading->error, "%s %s", separator, section == NULL ? o->section : o->key);
            separator = ",";
        }
    }
    strbuf_addc(loading->error, '\n');
}

/* --- the file -----------------------------------------------------------------------------------
 */

static bool begin_section(void *arg, const char *where, const char *section)
{
    struct loading *loading = arg;

    if (find_option(loading->options, section, NULL) != NULL) {
        return true;
    }
    add_unknown(loading, where, NULL, section);
    return false;
}

static bool take_pair(void *arg, const char *where, const char *section, const char *key,
                      const char *value)
{
    struct loading *loading = arg;
    const struct config_option *option = find_option(loading->options, section, key);

    if (option == NULL) {
        add_unknown(loading, where, section, key);
        return false;
    }
    if (loading->is_in_file[option - loading->options]) {
        strbuf_addf(loading->error, "%s: this setting stands in the file twice\n", where);
        return false;
    }
    loading->is_in_file[option - loading->options] = true;
    return set_value(loading, option, where, value);
}

static bool read_file(struct loading *loading, const char *path)
{
    const struct config_yaml_reader reader = {begin_section, take_pair, loading};
    size_t count = 0;
    bool ok;

    while (loading->options[count].section != NULL) {
        count++;
    }
    loading->is_in_file = fs_calloc(count, sizeof(*loading->is_in_file));
    ok = config_yaml_read(path, &reader, loading->error);
    free(loading->is_in_file);
    return ok;
}

/* --- the environment ----------------------------------------------------------------------------
 */

/* FASTSTOCK_<SECTION>_<KEY>; key NULL gives FASTSTOCK_<SECTION>_ */
static void env_name(char out[NAME_SIZE], const char *section, const char *key)
{
    snprintf(out, NAME_SIZE, ENV_PREFIX "%s_%s", section, key == NULL ? "" : key);
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)toupper((unsigned char)*p);
    }
}

/* The option that a variable of the environment sets. A variable that only looks like one is
 * unknown. */
static const struct config_option *option_of_variable(const struct config_option *options,
                                                      const char *variable, bool *ret_unknown)
{
    char name[NAME_SIZE];

    *ret_unknown = false;
    for (const struct config_option *o = options; o->section != NULL; o++) {
        env_name(name, o->section, o->key);
        if (strcmp(name, variable) == 0) {
            return o;
        }
    }
    for (const struct config_option *o = options; o->section != NULL; o++) {
        env_name(name, o->section, NULL);
        *ret_unknown = *ret_unknown || strncmp(name, variable, strlen(name)) == 0;
    }
    return NULL;
}

static bool read_alias(struct loading *loading, const char *variable, const char *value)
{
    for (const struct config_option *o = loading->options; o->section != NULL; o++) {
        if (o->alias != NULL && strcmp(o->alias, variable) == 0) {
            return set_value(loading, o, variable, value);
        }
    }
    return true;
}

/* Aliases first, then the full names, which win. */
static bool read_environment(struct loading *loading, char *const *environment)
{
    bool ok = true;

    for (int full_names = 0; full_names <= 1; full_names++) {
        for (char *const *entry = environment; *entry != NULL; entry++) {
            const char *equals = strchr(*entry, '=');
            char variable[VARIABLE_SIZE]; /* cut, if longer: no setting's name is that long */
            const struct config_option *option;
            bool unknown;

            if (equals == NULL) {
                continue;
            }
            snprintf(variable, sizeof(variable), "%.*s", (int)(equals - *entry), *entry);
            if (!full_names) {
                ok = read_alias(loading, variable, equals + 1) && ok;
                continue;
            }
            option = option_of_variable(loading->options, variable, &unknown);
            if (option != NULL) {
                ok = set_value(loading, option, variable, equals + 1) && ok;
            } else if (unknown) {
                strbuf_addf(loading->error, "%s: no setting has this name; --help lists them\n",
                            variable);
                ok = false;
            }
        }
    }
    return ok;
}

bool config_load(const struct config_option *options, const char *path, char *const *environment,
                 void *settings, struct strbuf *error)
{
    struct loading loading = {.options = options, .settings = settings, .error = error};
    bool ok = true;

    for (const struct config_option *o = options; o->section != NULL; o++) {
        if (holds_text(o)) {
            *(char **)slot(o, settings) = NULL;
        }
        ok = set_value(&loading, o, "default", o->fallback) && ok;
    }
    ok = (path == NULL || read_file(&loading, path)) && ok;
    return read_environment(&loading, environment) && ok;
}

bool config_check_required(const struct config_option *options, const void *settings,
                           struct strbuf *error)
{
    char name[NAME_SIZE];
    bool ok = true;

    for (; options->section != NULL; options++) {
        if (!options->required || **(char **)slot(options, (void *)settings) != '\0') {
            continue;
        }
        env_name(name, options->section, options->key);
        strbuf_addf(error,
                    "%s.%s is empty; set it in the file, or %s in the environment; expected ",
                    options->section, options->key, options->alias == NULL ? name : options->alias);
        add_allowed(error, options);
        strbuf_addc(error, '\n');
        ok = false;
    }
    return ok;
}

void config_free(const struct config_option *options, void *settings)
{
    for (; options->section != NULL; options++) {
        if (holds_text(options)) {
            free(*(char **)slot(options, settings));
            *(char **)slot(options, settings) = NULL;
        }
    }
}

/* A double-quoted YAML scalar. C1 controls and the line ends of Unicode (U+0085, U+2028, U+2029)
 * are line ends to YAML, too. */
static void add_quoted(struct strbuf *out, const char *text)
{
    strbuf_addc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            strbuf_addf(out, "\\%c", *p);
        } else if (*p < 0x20 || *p == 0x7F) {
            strbuf_addf(out, "\\x%02X", *p);
        } else if (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0) {
            strbuf_addf(out, "\\x%02X", *++p);
        } else if (*p == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9)) {
            strbuf_adds(out, p[2] == 0xA8 ? "\\L" : "\\P");
            p += 2;
        } else {
            strbuf_addc(out, (char)*p);
        }
    }
    strbuf_addc(out, '"');
}

/* A YAML scalar; text is double-quoted with what must be escaped there. */
static void add_scalar(struct strbuf *out, const struct config_option *option, void *settings)
{
    struct strbuf shown = STRBUF_EMPTY;

    if (option->type == CONFIG_INT) {
        strbuf_add_int(out, *(int64_t *)slot(option, settings));
        return;
    }
    if (option->type == CONFIG_CHOICE) {
        strbuf_adds(out, option->choices[*(int64_t *)slot(option, settings)]);
        return;
    }
    if (option->type == CONFIG_SWITCH) {
        strbuf_adds(out, *(int64_t *)slot(option, settings) != 0 ? "on" : "off");
        return;
    }
    add_shown(&shown, option, *(char **)slot(option, settings));
    add_quoted(out, strbuf_text(&shown));
    strbuf_finish(&shown);
}

static void print_section(const struct config_option *options, const char *section,
                          const void *settings, struct strbuf *out)
{
    strbuf_addf(out, "%s:\n", section);
    for (; options->section != NULL; options++) {
        if (strcmp(options->section, section) == 0) {
            strbuf_addf(out, "  %s: ", options->key);
            add_scalar(out, options, (void *)settings);
            strbuf_addc(out, '\n');
        }
    }
}

void config_print(const struct config_option *options, const void *settings, struct strbuf *out)
{
    for (const struct config_option *o = options; o->section != NULL; o++) {
        if (opens_section(options, o)) {
            print_section(options, o->section, settings, out);
        }
    }
}

void config_help(const struct config_option *options, struct strbuf *out)
{
    char name[NAME_SIZE];

    for (; options->section != NULL; options++) {
        env_name(name, options->section, options->key);
        strbuf_addf(out, "  %s.%s\n      %s\n      ", options->section, options->key,
                    options->help);
        add_allowed(out, options);
        if (options->required) {
            strbuf_adds(out, "; must be set");
        } else {
            strbuf_addf(out, "; default: %s",
                        *options->fallback == '\0' ? "empty" : options->fallback);
        }
        strbuf_addf(out, "\n      environment: %s", name);
        strbuf_addf(out, "%s%s\n", options->alias == NULL ? "" : " or ",
                    options->alias == NULL ? "" : options->alias);
    }
}
