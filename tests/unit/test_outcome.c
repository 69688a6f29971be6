#include "support.h"

#include "common/base/outcome.h"

#include "common/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAITERS 16

/* An outcome as its users have it: the result stands beside it. */
struct answer {
    struct outcome done;
    int value; /* not atomic: the sanitizer sees it when the outcome does not order the threads */
};

struct waiter {
    struct answer *answer;
    pthread_t thread;
    atomic_bool began;
    bool came;
    int value;
};

static void *run_waiter(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->began, true);
    waiter->came = outcome_wait(&waiter->answer->done, support_give_up_us());
    waiter->value = waiter->came ? waiter->answer->value : -1;
    return NULL;
}

static void start_waiters(struct waiter *waiters, struct answer *answer)
{
    for (size_t i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.answer = answer};
        pthread_create(&waiters[i].thread, NULL, run_waiter, &waiters[i]);
    }
}

static void assert_all_came(struct waiter *waiters, int value)
{
    for (size_t i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_true(waiters[i].came);
        assert_int_equal(waiters[i].value, value);
    }
}

static void set(struct answer *answer, int value)
{
    answer->value = value;
    outcome_set(&answer->done);
}

static void test_is_not_set_at_first(void **state)
{
    struct answer answer;

    (void)state;
    outcome_init(&answer.done);
    assert_false(outcome_is_set(&answer.done));
    outcome_set(&answer.done);
    assert_true(outcome_is_set(&answer.done));
}

static void test_all_who_wait_hear_of_it(void **state)
{
    struct answer answer = {.value = 0};
    struct waiter waiters[WAITERS];

    (void)state;
    outcome_init(&answer.done);
    start_waiters(waiters, &answer);
    for (size_t i = 0; i < WAITERS; i++) {
        wait_until(atomic_load(&waiters[i].began));
    }
    usleep(5000); /* most of them sleep by now; it must not matter */
    set(&answer, 7);
    assert_all_came(waiters, 7);
}

static void test_those_who_come_later_hear_at_once(void **state)
{
    struct answer answer = {.value = 0};
    struct waiter waiters[WAITERS];

    (void)state;
    outcome_init(&answer.done);
    set(&answer, 8);
    start_waiters(waiters, &answer);
    assert_all_came(waiters, 8);
}

static void test_a_deadline_ends_the_wait(void **state)
{
    struct answer answer = {.value = 0};
    int64_t deadline_us = clock_mono_us() + 2000;

    (void)state;
    outcome_init(&answer.done);
    assert_false(outcome_wait(&answer.done, deadline_us));
    assert_true(clock_mono_us() >= deadline_us);
    assert_false(outcome_wait(&answer.done, deadline_us)); /* has passed: at once */
    assert_false(outcome_is_set(&answer.done));
}

static void test_one_that_is_set_is_seen_after_the_deadline(void **state)
{
    struct answer answer = {.value = 0};

    (void)state;
    outcome_init(&answer.done);
    set(&answer, 9);
    assert_true(outcome_wait(&answer.done, clock_mono_us() - 1));
    assert_true(outcome_wait(&answer.done, 0));
}

static void test_one_deadline_ends_one_wait(void **state)
{
    struct answer answer = {.value = 0};
    struct waiter waiters[WAITERS];

    (void)state;
    outcome_init(&answer.done);
    start_waiters(waiters, &answer);
    assert_false(outcome_wait(&answer.done, clock_mono_us() + 1000));
    set(&answer, 10);
    assert_all_came(waiters, 10);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* A signal ends the system call, not the wait. */
static void test_a_signal_does_not_end_the_wait(void **state)
{
    struct answer answer = {.value = 0};
    struct waiter waiters[WAITERS];
    struct sigaction action = {.sa_handler = ignore_signal}; /* without SA_RESTART */

    (void)state;
    sigaction(SIGUSR1, &action, NULL);
    outcome_init(&answer.done);
    start_waiters(waiters, &answer);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < WAITERS; i++) {
            pthread_kill(waiters[i].thread, SIGUSR1);
        }
        usleep(200);
    }
    set(&answer, 11);
    assert_all_came(waiters, 11);
}

/* The waiter frees the outcome as soon as it has it, while the setter may still be in outcome_set:
 * the address sanitizer sees it when that still touches the memory. */
static void *free_when_set(void *arg)
{
    static char it_came;
    struct answer *answer = arg;

    if (!outcome_wait(&answer->done, support_give_up_us())) {
        return NULL;
    }
    free(answer);
    return &it_came;
}

static void test_a_waiter_may_free_it(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct answer *answer = calloc(1, sizeof(*answer));
        pthread_t thread;
        void *came;

        outcome_init(&answer->done);
        pthread_create(&thread, NULL, free_when_set, answer);
        set(answer, i);
        pthread_join(thread, &came);
        assert_non_null(came);
    }
}

/* In a process of its own, as it ends that. */
static void test_setting_it_twice_ends_the_process(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        struct outcome outcome;

        close(STDERR_FILENO); /* the message of assert */
        signal(SIGABRT, SIG_DFL);
        outcome_init(&outcome);
        outcome_set(&outcome);
        outcome_set(&outcome);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_not_set_at_first),
        cmocka_unit_test(test_all_who_wait_hear_of_it),
        cmocka_unit_test(test_those_who_come_later_hear_at_once),
        cmocka_unit_test(test_a_deadline_ends_the_wait),
        cmocka_unit_test(test_one_that_is_set_is_seen_after_the_deadline),
        cmocka_unit_test(test_one_deadline_ends_one_wait),
        cmocka_unit_test(test_a_signal_does_not_end_the_wait),
        cmocka_unit_test(test_a_waiter_may_free_it),
        cmocka_unit_test(test_setting_it_twice_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
