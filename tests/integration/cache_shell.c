/* The cache of common/products, driven call by call: what two processes do to Redis in an order
 * that no load would meet by itself. Used by test_cache_order.py.
 *
 *     cache_shell URL TTL_MS
 *
 * reads commands, one a line, and answers each with a line, "STATUS" or "STATUS NUMBER":
 *
 *     begin NAME                  remembers the generation, as a writer does before it commits
 *     publish NAME ID VERSION     number: how many states were stored
 *     lease NAME ID               as a reader does before it reads PostgreSQL
 *     fill NAME ID VERSION        number: how many states were stored
 *     drop ID VERSION             number: how many states were removed
 *     get ID                      number: the version, 0 for none */
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/products/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES 8
#define CALL_MS 5000
#define TIMEOUT_MS 100

struct named {
    char name[16];
    struct generation generation;
    struct product_cache_lease lease;
};

struct shell {
    struct product_cache *cache;
    struct named named[NAMES];
};

static struct named *find(struct shell *shell, const char *name)
{
    size_t i = 0;

    while (i + 1 < NAMES && shell->named[i].name[0] != '\0' &&
           strcmp(shell->named[i].name, name) != 0) {
        i++;
    }
    snprintf(shell->named[i].name, sizeof(shell->named[i].name), "%s", name);
    return &shell->named[i];
}

static struct product *make(int64_t id, int64_t version)
{
    return product_present(&(struct product_row){.id = id,
                                                 .version = version,
                                                 .stock = version,
                                                 .name = "of a test",
                                                 .price = "1.00",
                                                 .created_us = 1,
                                                 .updated_us = 1},
                           (struct product_read){.us = 1, .timeline = 1});
}

static void answer(enum status status, int64_t number)
{
    static const char *const names[] = {[STATUS_OK] = "ok",
                                        [STATUS_TIMEOUT] = "timeout",
                                        [STATUS_UNAVAILABLE] = "unavailable",
                                        [STATUS_BROKEN] = "broken",
                                        [STATUS_FAILED] = "failed"};

    printf("%s %" PRId64 "\n", names[status], number);
    fflush(stdout);
}

static void put(struct shell *shell, const char *verb, struct named *named, int64_t id,
                int64_t version, int64_t deadline_us)
{
    struct product *product = make(id, version);
    bool brief = false;
    size_t stored = 0;
    enum status status = strcmp(verb, "publish") == 0
                             ? product_cache_publish(shell->cache, &product, 1, &named->generation,
                                                     deadline_us, &stored)
                             : product_cache_fill(shell->cache, &product, &brief, 1, &named->lease,
                                                  deadline_us, &stored);

    answer(status, (int64_t)stored);
    product_unref(product);
}

static void begin(struct shell *shell, struct named *named, int64_t deadline_us)
{
    answer(product_cache_generation(shell->cache, deadline_us, &named->generation), 0);
}

static void lease(struct shell *shell, struct named *named, int64_t id, int64_t deadline_us)
{
    answer(product_cache_lease(shell->cache, &id, 1, deadline_us, &named->lease), 0);
}

static void get(struct shell *shell, int64_t id, int64_t deadline_us)
{
    struct product *product = NULL;
    enum status status = product_cache_get(shell->cache, &id, 1, deadline_us, &product);

    answer(status, product == NULL ? 0 : product->version);
    product_unref(product);
}

static void drop(struct shell *shell, int64_t id, int64_t version, int64_t deadline_us)
{
    const struct product_version one = {.id = id, .version = version};
    size_t removed = 0;
    enum status status = product_cache_drop_older(shell->cache, &one, 1, deadline_us, &removed);

    answer(status, (int64_t)removed);
}

static int64_t number(const char *word)
{
    return word == NULL ? 0 : strtoll(word, NULL, 10);
}

static bool run(struct shell *shell, char *line)
{
    int64_t deadline_us = clock_mono_us() + CALL_MS * CLOCK_US_PER_MS;
    char *rest = NULL;
    const char *verb = strtok_r(line, " \n", &rest);
    const char *first = strtok_r(NULL, " \n", &rest);
    const char *second = strtok_r(NULL, " \n", &rest);
    int64_t third = number(strtok_r(NULL, " \n", &rest));

    if (verb == NULL || first == NULL) {
        return false;
    }
    if (strcmp(verb, "begin") == 0) {
        begin(shell, find(shell, first), deadline_us);
    } else if (strcmp(verb, "lease") == 0) {
        lease(shell, find(shell, first), number(second), deadline_us);
    } else if (strcmp(verb, "publish") == 0 || strcmp(verb, "fill") == 0) {
        put(shell, verb, find(shell, first), number(second), third, deadline_us);
    } else if (strcmp(verb, "drop") == 0) {
        drop(shell, number(first), number(second), deadline_us);
    } else if (strcmp(verb, "get") == 0) {
        get(shell, number(first), deadline_us);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct product_cache_options options = {.redis = {.name = "redis",
                                                      .size = 2,
                                                      .timeout_ms = TIMEOUT_MS,
                                                      .connect_timeout_ms = CALL_MS,
                                                      .retry_ms = 20},
                                            .key_prefix = "fs",
                                            .missing_ttl_ms = 5000};
    struct shell *shell = fs_calloc(1, sizeof(*shell));
    char line[128];
    int status = EXIT_SUCCESS;

    if (argc != 3) {
        fprintf(stderr, "usage: cache_shell URL TTL_MS\n");
        return 2;
    }
    options.redis.url = argv[1];
    options.ttl_ms = strtol(argv[2], NULL, 10);
    shell->cache = product_cache_create(&options);
    while (status == EXIT_SUCCESS && fgets(line, sizeof(line), stdin) != NULL) {
        if (!run(shell, line)) {
            fprintf(stderr, "cache_shell: not understood: %s", line);
            status = 2;
        }
    }
    product_cache_destroy(shell->cache);
    free(shell);
    return status;
}
