/* How long does it take to find an answer in memory, with threads that do nothing else? L1 beside
 * what it could have been: a table with a mutex a shard, which copies the answer with the lock held
 * (afterwards it may be freed), and the hash table of liburcu, where that is installed.
 *
 * Each has the same answers. A find ends when the length and the first byte of the answer are
 * known. The peers are measured in turns, in short rounds. A round counts when its threads began
 * together and none was taken from its CPU for another program; so the machine may be busy. The
 * table shows medians of the rounds, in nanoseconds a find of one thread. A peer that scales shows
 * the same with more threads.
 *
 *   bench_l1 [ROUNDS [THREADS...]]      31 rounds, with 1 and 2 threads */
#include "read-svc/l1.h"

#include "common/base/alloc.h"
#include "common/base/thread.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#ifdef BENCH_URCU
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>
#endif

#define PRODUCTS 100000
#define L1_BYTES_MAX ((size_t)512 << 20) /* all are kept */
#define TIMELINE 1
#define READ_US 200
#define ROUNDS_MAX 100
#define THREADS_MAX 64
#define ROUND_NS 2e6
#define LATE_NS 1e5       /* a thread began later than another one by so much: not together */
#define TRIES_MAX 2000    /* for a round that counts */
#define FINDS_AT_ONCE 200 /* between two looks at the clock */
#define ANSWER_SIZE 1024

/* --- answers ---------------------------------------------------------------------------------- */

static struct product *make_product(int64_t id)
{
    struct product_row row = {.id = id,
                              .sku = "WIDGET-4711",
                              .version = 1,
                              .stock = 42,
                              .name = "A widget with a name of a usual length",
                              .price = "12.50"};

    return product_present(&row, (struct product_read){READ_US, TIMELINE});
}

static void render(struct strbuf *out, const struct product *product, enum l1_answer answer,
                   size_t *ret_body_len)
{
    strbuf_addf(out,
                "Content-Type: application/json\r\nContent-Length: %zu\r\nETag: \"%d-%" PRId64
                "\"\r\nCache-Control: no-cache\r\n\r\n",
                product->json_len, answer, product->version);
    strbuf_add(out, product->json, product->json_len);
    *ret_body_len = product->json_len;
}

/* --- peers ------------------------------------------------------------------------------------ */

/* A find gives something of the answer, so that the compiler cannot leave it out. */
struct peer {
    const char *name;
    void (*fill)(struct product *const *products);
    void (*begin_thread)(void);
    void (*end_thread)(void);
    size_t (*find)(int64_t id);
};

static void do_nothing(void)
{
}

static struct l1 *l1;

static void l1_fill(struct product *const *products)
{
    struct watermark *watermark = watermark_create();
    struct versions *versions = versions_create(watermark, PRODUCTS);

    versions_begin(versions, TIMELINE, READ_US - 1);
    l1 = l1_create(
        &(struct l1_options){.bytes_max = L1_BYTES_MAX, .versions = versions, .render = render});
    for (size_t i = 0; i < PRODUCTS; i++) {
        l1_put(l1, products[i]);
    }
}

static size_t l1_find_one(int64_t id)
{
    struct l1_found found;
    size_t seen = 0;

    l1_enter(l1);
    if (l1_find(l1, id, &found)) {
        seen = found.answers[L1_PRODUCT].len + (unsigned char)found.answers[L1_PRODUCT].text[0];
    }
    l1_leave(l1);
    return seen;
}

#define BUCKETS (1u << 17)
#define SHARDS 64u

struct node { /* of the table with mutexes, and of liburcu's */
#ifdef BENCH_URCU
    struct cds_lfht_node in_table;
#endif
    struct node *next;
    int64_t id;
    size_t len;
    char text[];
};

static struct node *new_node(const struct product *product)
{
    struct strbuf text = STRBUF_EMPTY;
    size_t body_len;
    struct node *node;

    render(&text, product, L1_PRODUCT, &body_len);
    node = fs_calloc(1, sizeof(*node) + text.len);
    node->id = product->id;
    node->len = text.len;
    memcpy(node->text, text.text, text.len);
    strbuf_finish(&text);
    return node;
}

static unsigned long hash(int64_t id)
{
    uint64_t mixed = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);

    return (mixed ^ mixed >> 32) * UINT64_C(0xBF58476D1CE4E5B9);
}

static struct {
    _Alignas(128) pthread_mutex_t lock;
} shards[SHARDS];
static struct node *buckets[BUCKETS];

static void mutex_fill(struct product *const *products)
{
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&shards[i].lock, NULL);
    }
    for (size_t i = 0; i < PRODUCTS; i++) {
        struct node *node = new_node(products[i]);
        size_t bucket = hash(node->id) >> 47;

        node->next = buckets[bucket];
        buckets[bucket] = node;
    }
}

static size_t mutex_find_one(int64_t id)
{
    char copy[ANSWER_SIZE];
    size_t bucket = hash(id) >> 47;
    pthread_mutex_t *lock = &shards[bucket / (BUCKETS / SHARDS)].lock;
    struct node *node;
    size_t seen = 0;

    pthread_mutex_lock(lock);
    for (node = buckets[bucket]; node != NULL && node->id != id; node = node->next) {
    }
    if (node != NULL && node->len <= sizeof(copy)) {
        memcpy(copy, node->text, node->len);
        seen = node->len;
    }
    pthread_mutex_unlock(lock);
    return seen == 0 ? 0 : seen + (unsigned char)*(volatile char *)copy;
}

#ifdef BENCH_URCU
static struct cds_lfht *lfht;

static int is_id(struct cds_lfht_node *in_table, const void *id)
{
    return FS_CONTAINER_OF(in_table, struct node, in_table)->id == *(const int64_t *)id;
}

static void urcu_fill(struct product *const *products)
{
    urcu_memb_register_thread();
    lfht = cds_lfht_new_flavor(BUCKETS, BUCKETS, 0, 0, &urcu_memb_flavor, NULL);
    for (size_t i = 0; i < PRODUCTS; i++) {
        struct node *node = new_node(products[i]);

        cds_lfht_node_init(&node->in_table);
        urcu_memb_read_lock();
        cds_lfht_add(lfht, hash(node->id), &node->in_table);
        urcu_memb_read_unlock();
    }
    urcu_memb_unregister_thread();
}

static size_t urcu_find_one(int64_t id)
{
    struct cds_lfht_iter iter;
    struct cds_lfht_node *in_table;
    size_t seen = 0;

    urcu_memb_read_lock();
    cds_lfht_lookup(lfht, hash(id), is_id, &id, &iter);
    in_table = cds_lfht_iter_get_node(&iter);
    if (in_table != NULL) {
        struct node *node = FS_CONTAINER_OF(in_table, struct node, in_table);

        seen = node->len + (unsigned char)node->text[0];
    }
    urcu_memb_read_unlock();
    return seen;
}
#endif

static const struct peer peers[] = {
    {"L1", l1_fill, do_nothing, do_nothing, l1_find_one},
    {"mutex and copy", mutex_fill, do_nothing, do_nothing, mutex_find_one},
#ifdef BENCH_URCU
    {"liburcu", urcu_fill, urcu_memb_register_thread, urcu_memb_unregister_thread, urcu_find_one},
#endif
};
#define PEERS FS_ARRAY_LEN(peers)

/* --- a round ---------------------------------------------------------------------------------- */

struct round {
    const struct peer *peer;
    int64_t id_max; /* ids are drawn from 1 to this one */
    pthread_barrier_t start;
};

/* A thread and what it found. */
struct finder {
    struct round *round;
    pthread_t thread;
    double began_ns;
    double find_ns;
    bool is_preempted;
    bool finds_all;
};

static uint64_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* How often the thread was taken from its CPU without having to wait for anything. */
static long preemptions(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void find_for_a_round(struct finder *finder)
{
    const struct round *round = finder->round;
    uint64_t random = (uint64_t)finder->began_ns ^ (uint64_t)(uintptr_t)finder;
    double used_ns;
    int64_t finds = 0;

    do {
        for (int i = 0; i < FINDS_AT_ONCE; i++) {
            int64_t id = 1 + (int64_t)((draw(&random) >> 32) * (uint64_t)round->id_max >> 32);

            finder->finds_all &= round->peer->find(id) != 0;
        }
        finds += FINDS_AT_ONCE;
        used_ns = now_ns() - finder->began_ns;
    } while (used_ns < ROUND_NS);
    finder->find_ns = used_ns / (double)finds;
}

static void *run_finder(void *arg)
{
    struct finder *finder = arg;
    long preempted;

    finder->finds_all = true;
    finder->round->peer->begin_thread();
    pthread_barrier_wait(&finder->round->start);
    preempted = preemptions();
    finder->began_ns = now_ns();
    find_for_a_round(finder);
    finder->is_preempted = preemptions() > preempted;
    finder->round->peer->end_thread();
    return NULL;
}

/* The mean of the threads; *ret_counts is whether the round counts. */
static double mean_ns(const struct finder *finders, int threads, bool *ret_counts)
{
    double sum_ns = 0;

    *ret_counts = true;
    for (int i = 0; i < threads; i++) {
        if (!finders[i].finds_all) {
            fprintf(stderr, "%s does not find all\n", finders[i].round->peer->name);
            exit(1);
        }
        sum_ns += finders[i].find_ns;
        *ret_counts &=
            !finders[i].is_preempted && fabs(finders[i].began_ns - finders[0].began_ns) < LATE_NS;
    }
    return sum_ns / threads;
}

static double run_round(const struct peer *peer, int64_t id_max, int threads, bool *ret_counts)
{
    struct round round = {.peer = peer, .id_max = id_max};
    struct finder finders[THREADS_MAX];

    pthread_barrier_init(&round.start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        finders[i].round = &round;
        finders[i].thread = thread_start(run_finder, &finders[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(finders[i].thread, NULL);
    }
    pthread_barrier_destroy(&round.start);
    return mean_ns(finders, threads, ret_counts);
}

static double measure(const struct peer *peer, int64_t id_max, int threads)
{
    for (int try = 0; try < TRIES_MAX; try++) {
        bool counts;
        double ns = run_round(peer, id_max, threads, &counts);

        if (counts) {
            return ns;
        }
    }
    fprintf(stderr, "the machine is too busy for %d threads\n", threads);
    exit(1);
}

/* --- the table -------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left;
    double r = *(const double *)right;

    return (l > r) - (l < r);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

static void measure_row(const char *name, int64_t id_max, int threads, int rounds)
{
    double ns[PEERS][ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        for (size_t peer = 0; peer < PEERS; peer++) {
            ns[peer][i] = measure(&peers[peer], id_max, threads);
        }
    }
    printf("| %s | %d |", name, threads);
    for (size_t peer = 0; peer < PEERS; peer++) {
        printf(" %.0f |", median(ns[peer], rounds));
    }
    for (size_t peer = 1; peer < PEERS; peer++) { /* they are sorted now */
        printf(" %.1f |", ns[peer][rounds / 2] / ns[0][rounds / 2]);
    }
    printf("\n");
    fflush(stdout);
}

static void print_head(void)
{
    printf("| ids | threads |");
    for (size_t peer = 0; peer < PEERS; peer++) {
        printf(" %s, ns |", peers[peer].name);
    }
    for (size_t peer = 1; peer < PEERS; peer++) {
        printf(" %s / L1 |", peers[peer].name);
    }
    printf("\n|");
    for (size_t column = 0; column < 2 + PEERS + (PEERS - 1); column++) {
        printf("---|");
    }
    printf("\n");
}

static void fill_peers(void)
{
    struct product **products = fs_calloc(PRODUCTS, sizeof(*products));

    for (int i = 0; i < PRODUCTS; i++) {
        products[i] = make_product(i + 1);
    }
    for (size_t peer = 0; peer < PEERS; peer++) {
        peers[peer].fill(products);
    }
    free(products);
}

static int number(const char *text, int max)
{
    long value = strtol(text, NULL, 10);

    if (value < 1 || value > max) {
        fprintf(stderr, "%s is not a number from 1 to %d\n", text, max);
        exit(2);
    }
    return (int)value;
}

static void measure_all(int threads, int rounds)
{
    measure_row("one", 1, threads, rounds);
    measure_row("100,000", PRODUCTS, threads, rounds);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? number(argv[1], ROUNDS_MAX) : 31;

    fill_peers();
    print_head();
    for (int i = 2; i < argc; i++) {
        measure_all(number(argv[i], THREADS_MAX), rounds);
    }
    if (argc <= 2) {
        measure_all(1, rounds);
        measure_all(2, rounds);
    }
    return 0;
}
