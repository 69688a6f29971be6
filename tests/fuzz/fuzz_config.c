/* Files of settings: any bytes load or are refused with a reason, and the printed settings load
 * again. */
#include "fuzz.h"

#include "common/base/config.h"
#include "common/stores/pg.h"
#include "common/stores/url.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct settings {
    int64_t port;
    const char *host;
    int64_t level;
    const char *database;
    const char *redis;
    const char *token;
};

static const char *const levels[] = {"debug", "info", NULL};

static const struct config_option options[] = {
    {"http", "port", CONFIG_INT, offsetof(struct settings, port), "8080", 1, 65535,
     .help = "A port."},
    {"http", "host", CONFIG_STRING, offsetof(struct settings, host), "::", .help = "A host."},
    {"log", "level", CONFIG_CHOICE, offsetof(struct settings, level), "info", .choices = levels,
     .help = "A level."},
    {"stores", "database", CONFIG_URL, offsetof(struct settings, database), "", .url = &pg_url_kind,
     .secret = true, .help = "A URL."},
    {"stores", "redis", CONFIG_URL, offsetof(struct settings, redis), "", .url = &redis_url_kind,
     .secret = true, .help = "A URL."},
    {"stores", "token", CONFIG_STRING, offsetof(struct settings, token), "", .secret = true,
     .help = "A token."},
    {.section = NULL},
};

/* Loads a file in memory that holds these bytes, and puts the resulting settings, or the error,
 * into `printed`. */
static bool load(const char *bytes, size_t len, struct strbuf *printed)
{
    char *environment[] = {NULL};
    struct settings settings = {.port = 0};
    int file = memfd_create("settings", MFD_CLOEXEC);
    char path[64];
    bool ok;

    must(file >= 0 && write(file, bytes, len) == (ssize_t)len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    strbuf_clear(printed);
    ok = config_load(options, path, environment, &settings, printed);
    if (ok) {
        must(printed->len == 0);
        must(settings.port >= 1 && settings.port <= 65535);
        must(settings.level >= 0 && settings.level <= 1);
        config_print(options, &settings, printed);
    } else {
        must(printed->len > 0 && printed->text[printed->len - 1] == '\n');
    }
    config_free(options, &settings);
    close(file);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf printed = STRBUF_EMPTY;
    struct strbuf again = STRBUF_EMPTY;

    if (load((const char *)data, size, &printed)) {
        must(load(printed.text, printed.len, &again));
        must(strcmp(printed.text, again.text) == 0);
    }
    strbuf_finish(&printed);
    strbuf_finish(&again);
    return 0;
}
