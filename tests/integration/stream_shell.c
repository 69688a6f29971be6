/* The change stream's follower of read-svc, alone. Used by test_stream.py.
 *
 *     stream_shell URL [URL OF A REPLICA]
 *
 * prints a line for each call that the follower makes, beside the log's lines:
 *
 *     state ID VERSION
 *     lost REASON
 *
 * and the metrics, ended by a line "end", for each line that it reads. It ends with its input. */
#include "read-svc/follower.h"

#include "common/base/clock.h"
#include "common/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 250
#define CONNECT_MS 5000

static bool apply(void *context, struct product *product)
{
    (void)context;
    printf("state %" PRId64 " %" PRId64 "\n", product->id, product->version);
    fflush(stdout);
    return product->version > 0;
}

static void lost(void *context, const char *reason)
{
    (void)context;
    printf("lost %s\n", reason);
    fflush(stdout);
}

static int64_t age_us(void *context, int64_t read_us)
{
    (void)context;
    return clock_wall_us() - read_us;
}

static void print_metrics(void)
{
    struct strbuf text = STRBUF_EMPTY;

    metrics_render(&text);
    printf("%send\n", strbuf_text(&text));
    fflush(stdout);
    strbuf_finish(&text);
}

int main(int argc, char **argv)
{
    struct product_cache_options cache = {.redis = {.name = "redis",
                                                    .size = 1,
                                                    .timeout_ms = TIMEOUT_MS,
                                                    .connect_timeout_ms = CONNECT_MS,
                                                    .retry_ms = 100},
                                          .key_prefix = "fs",
                                          .ttl_ms = 60000,
                                          .missing_ttl_ms = 5000};
    struct follower_options options = {.apply = apply, .lost = lost, .age_us = age_us};
    struct follower *follower;
    char line[128];

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: stream_shell URL [URL OF A REPLICA]\n");
        return 2;
    }
    cache.redis.url = argv[1];
    cache.replica_url = argc == 3 ? argv[2] : "";
    options.cache = product_cache_create(&cache);
    follower = follower_create(&options);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        print_metrics();
    }
    follower_destroy(follower);
    product_cache_destroy(options.cache);
    return EXIT_SUCCESS;
}
