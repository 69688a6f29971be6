#include "support.h"

#include "write-svc/auth.h"

#include "common/base/alloc.h"
#include "common/base/log.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char path[SUPPORT_PATH_SIZE];
    struct auth *auth;
    time_t changed_at;
};

/* The file as it is from now on, changed a second later than before: no test depends on how fine
 * the file system's clock is. */
static void put_file(struct fixture *fixture, const char *content, size_t len)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = ++fixture->changed_at}};
    FILE *file = fopen(fixture->path, "w");

    assert(file != NULL);
    assert_int_equal(fwrite(content, 1, len, file), len);
    fclose(file);
    assert_int_equal(utimensat(AT_FDCWD, fixture->path, times, 0), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = fs_calloc(1, sizeof(*fixture));

    support_make_file(fixture->path, "", 0);
    fixture->changed_at = 1700000000;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    auth_destroy(fixture->auth);
    unlink(fixture->path);
    free(fixture);
    return 0;
}

static struct auth *create_with(struct fixture *fixture, const char *content)
{
    put_file(fixture, content, strlen(content));
    auth_destroy(fixture->auth);
    fixture->auth = auth_create(fixture->path);
    return fixture->auth;
}

/* --- headers ---------------------------------------------------------------------------------- */

static void test_without_a_file_everybody_may(void **state)
{
    struct fixture *fixture = *state;

    fixture->auth = auth_create("");
    assert_non_null(fixture->auth);
    assert_true(auth_allows(fixture->auth, NULL));
    assert_true(auth_allows(fixture->auth, ""));
    assert_true(auth_allows(fixture->auth, "Basic Zm9v"));
    assert_true(auth_allows(fixture->auth, "Bearer anything"));
}

static void test_headers(void **state)
{
    static const struct {
        const char *authorization;
        bool allowed;
    } rows[] = {
        {"Bearer secret-1", true},
        {"bearer secret-1", true}, /* the scheme is case-insensitive, RFC 9110 section 11.1 */
        {"BEARER secret-1", true},
        {"Bearer   secret-1", true},
        {"Bearer abcabc", true},
        {NULL, false},
        {"", false},
        {"Bearer", false},
        {"Bearer ", false},
        {"Bearersecret-1", false},
        {"secret-1", false},
        {"Basic secret-1", false},
        {"Bearer SECRET-1", false},
        {"Bearer secret-", false},
        {"Bearer secret-2", false},
        {"Bearer secret-11", false},
        {"Bearer secret-1secret-1", false},
        {"Bearer xsecret-1", false},
        {"Bearer abc", false}, /* of which abcabc is made */
        {"Bearer abcabcabc", false},
        {"Bearer secret-1,abcabc", false},
        {"Bearer secret-1 abcabc", false},
        {"Bearer Bearer secret-1", false},
        {"Bearer #", false},
    };
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "abcabc\nsecret-1\n"));
    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(auth_allows(fixture->auth, rows[i].authorization) == rows[i].allowed,
                  "row %zu: '%s'", i,
                  rows[i].authorization == NULL ? "none" : rows[i].authorization);
    }
}

/* Lengths that differ by 256 must not look the same to a comparison that gathers differences in a
 * byte. */
static void test_lengths_that_differ_by_256(void **state)
{
    struct fixture *fixture = *state;
    char header[7 + 257 + 1] = "Bearer ";

    assert_non_null(create_with(fixture, "a\n"));
    memset(header + 7, 'a', 257);
    assert_false(auth_allows(fixture->auth, header));
    header[8] = '\0';
    assert_true(auth_allows(fixture->auth, header));
}

/* --- files ------------------------------------------------------------------------------------ */

static void test_comments_and_blanks(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(
        fixture,
        "# a comment\n\n  \t \n  # another\n  one\t \r\ntwo#three\n#four\nfive")); /* no newline */
    assert_true(auth_allows(fixture->auth, "Bearer one"));
    assert_true(auth_allows(fixture->auth, "Bearer two#three"));
    assert_true(auth_allows(fixture->auth, "Bearer five"));
    assert_false(auth_allows(fixture->auth, "Bearer "));
    assert_false(auth_allows(fixture->auth, "Bearer two"));
    assert_false(auth_allows(fixture->auth, "Bearer four"));
    assert_false(auth_allows(fixture->auth, "Bearer #four"));
    assert_false(auth_allows(fixture->auth, "Bearer # a comment"));
    assert_false(auth_allows(fixture->auth, "Bearer one\t"));
}

static void test_files_without_a_token_are_refused(void **state)
{
    static const char *const rows[] = {"", "\n", " \t\r\n\n", "# only\n# comments", "   #x\n"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < FS_ARRAY_LEN(rows); i++) {
        check_row(create_with(fixture, rows[i]) == NULL, "taken: '%s'", rows[i]);
    }
    assert_null(auth_create("/nowhere/tokens"));
    assert_null(auth_create("/tmp"));
    auth_destroy(NULL);
}

static void test_nul_in_a_file_makes_no_empty_token(void **state)
{
    struct fixture *fixture = *state;

    put_file(fixture, BYTES("\0\nx\n"));
    fixture->auth = auth_create(fixture->path);
    assert_non_null(fixture->auth);
    assert_true(auth_allows(fixture->auth, "Bearer x"));
    assert_false(auth_allows(fixture->auth, "Bearer "));
}

/* --- changes of the file: the first question after auth_create looks at it again, so that nothing
 * here waits */

static void test_a_changed_file_is_read_again(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "old\nboth\n"));
    put_file(fixture, BYTES("new\nboth\n"));
    assert_true(auth_allows(fixture->auth, "Bearer new"));
    assert_true(auth_allows(fixture->auth, "Bearer both"));
    assert_false(auth_allows(fixture->auth, "Bearer old"));
}

static void test_an_older_file_counts_as_changed(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "old\n"));
    fixture->changed_at -= 1000; /* as when a backup is put back */
    put_file(fixture, BYTES("older\n"));
    assert_true(auth_allows(fixture->auth, "Bearer older"));
    assert_false(auth_allows(fixture->auth, "Bearer old"));
}

static void test_another_file_of_the_same_time_counts_as_changed(void **state)
{
    struct fixture *fixture = *state;
    char path[SUPPORT_PATH_SIZE];

    assert_non_null(create_with(fixture, "old\n"));
    memcpy(path, fixture->path, sizeof(path));
    support_make_file(fixture->path, "", 0);
    fixture->changed_at--; /* as in images, where all files have one time */
    put_file(fixture, BYTES("another\n"));
    assert_int_equal(rename(fixture->path, path), 0);
    memcpy(fixture->path, path, sizeof(path));
    assert_true(auth_allows(fixture->auth, "Bearer another"));
    assert_false(auth_allows(fixture->auth, "Bearer old"));
}

static void test_a_file_that_is_gone_leaves_the_tokens(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "old\n"));
    unlink(fixture->path);
    assert_true(auth_allows(fixture->auth, "Bearer old"));
    assert_false(auth_allows(fixture->auth, "Bearer new"));
}

static void test_a_file_that_is_empty_leaves_the_tokens(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "old\n"));
    put_file(fixture, BYTES("# old\n"));
    assert_true(auth_allows(fixture->auth, "Bearer old"));
}

/* Goes through the times the file changes, also while it is not there, as an editor or a mounted
 * secret does it. */
static void test_changes_are_seen_in_time(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(create_with(fixture, "first\n"));
    assert_true(auth_allows(fixture->auth, "Bearer first"));
    unlink(fixture->path);
    assert_true(auth_allows(fixture->auth, "Bearer first"));
    put_file(fixture, BYTES("second\n"));
    wait_until(auth_allows(fixture->auth, "Bearer second"));
    assert_false(auth_allows(fixture->auth, "Bearer first"));
}

/* --- many threads ----------------------------------------------------------------------------- */

#define THREADS 4

struct asking {
    struct auth *auth;
    atomic_bool stop;
    atomic_int wrong;
};

static void *ask(void *arg)
{
    struct asking *asking = arg;

    while (!atomic_load(&asking->stop)) {
        if (!auth_allows(asking->auth, "Bearer stays") ||
            auth_allows(asking->auth, "Bearer never")) {
            atomic_fetch_add(&asking->wrong, 1);
        }
    }
    return NULL;
}

static void test_a_change_under_the_feet_of_threads(void **state)
{
    struct fixture *fixture = *state;
    struct asking asking = {.auth = create_with(fixture, "stays\nold\n")};
    pthread_t threads[THREADS];

    assert_non_null(asking.auth);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, ask, &asking);
    }
    put_file(fixture, BYTES("new\nstays\n"));
    wait_until(auth_allows(asking.auth, "Bearer new"));
    atomic_store(&asking.stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&asking.wrong), 0);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_without_a_file_everybody_may),
        with_fixture(test_headers),
        with_fixture(test_lengths_that_differ_by_256),
        with_fixture(test_comments_and_blanks),
        with_fixture(test_files_without_a_token_are_refused),
        with_fixture(test_nul_in_a_file_makes_no_empty_token),
        with_fixture(test_a_changed_file_is_read_again),
        with_fixture(test_an_older_file_counts_as_changed),
        with_fixture(test_another_file_of_the_same_time_counts_as_changed),
        with_fixture(test_a_file_that_is_gone_leaves_the_tokens),
        with_fixture(test_a_file_that_is_empty_leaves_the_tokens),
        with_fixture(test_changes_are_seen_in_time),
        with_fixture(test_a_change_under_the_feet_of_threads),
    };

    log_init("unit", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
