/* The file of settings: YAML of two levels, sections with `key: value` lines. Only this module
 * includes libyaml. */
#ifndef FASTSTOCK_COMMON_BASE_CONFIG_YAML_H
#define FASTSTOCK_COMMON_BASE_CONFIG_YAML_H

#include "common/base/strbuf.h"

#include <stdbool.h>

/* What is made of the file. `where` is "file:line"; all texts are lent for the call. A callback
 * that returns false has told why in the error text, and reading goes on, so that one run shows all
 * mistakes. */
struct config_yaml_reader {
    bool (*begin_section)(void *arg, const char *where, const char *section);
    bool (*take_pair)(void *arg, const char *where, const char *section, const char *key,
                      const char *value);
    void *arg;
};

/* Reads the file. On false `error` holds a line for each mistake: what is no YAML, or not of this
 * form, and what the callbacks refused. Not thread-safe on one `error`. */
bool config_yaml_read(const char *path, const struct config_yaml_reader *reader,
                      struct strbuf *error);

#endif
