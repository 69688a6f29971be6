#include "common/base/ticker.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

#include <stdbool.h>
#include <stdlib.h>

struct ticker {
    int64_t (*tick)(void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;    /* guards the rest */
    pthread_cond_t end_cond; /* of a pause */
    bool is_hurried;
    bool is_stopping;
};

/* False when it is time to stop. */
static bool pause_for(struct ticker *ticker, int64_t ms)
{
    int64_t until_us = clock_after_ms(ms);
    bool is_stopping;

    pthread_mutex_lock(&ticker->lock);
    while (!ticker->is_stopping && !ticker->is_hurried &&
           clock_cond_wait(&ticker->end_cond, &ticker->lock, until_us)) {
    }
    ticker->is_hurried = false;
    is_stopping = ticker->is_stopping;
    pthread_mutex_unlock(&ticker->lock);
    return !is_stopping;
}

static void *run(void *arg)
{
    struct ticker *ticker = arg;

    while (pause_for(ticker, ticker->tick(ticker->arg))) {
    }
    return NULL;
}

struct ticker *ticker_create(int64_t (*tick)(void *arg), void *arg)
{
    struct ticker *ticker = fs_calloc(1, sizeof(*ticker));

    ticker->tick = tick;
    ticker->arg = arg;
    pthread_mutex_init(&ticker->lock, NULL);
    clock_cond_init(&ticker->end_cond);
    ticker->thread = thread_start(run, ticker);
    return ticker;
}

void ticker_hurry(struct ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    ticker->is_hurried = true;
    pthread_cond_signal(&ticker->end_cond);
    pthread_mutex_unlock(&ticker->lock);
}

void ticker_destroy(struct ticker *ticker)
{
    if (ticker == NULL) {
        return;
    }
    pthread_mutex_lock(&ticker->lock);
    ticker->is_stopping = true;
    pthread_cond_signal(&ticker->end_cond);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    pthread_cond_destroy(&ticker->end_cond);
    pthread_mutex_destroy(&ticker->lock);
    free(ticker);
}
