/* Included by every unit test: cmocka with the headers it wants in front, and a few helpers.
 * Include it first. An assertion may only fail on the thread that runs the test: other threads note
 * their results for it. */
#ifndef FASTSTOCK_TESTS_UNIT_SUPPORT_H
#define FASTSTOCK_TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

/* The bytes of a literal and how many these are; may hold NULs. */
#define BYTES(literal) (literal), (sizeof(literal) - 1)

/* Fails with a message that says which row of a table it was. */
#define check_row(ok, ...)                                                                         \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            fail_msg(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

#define assert_contains(text, part) support_check_part((text), (part), true, __FILE__, __LINE__)
#define assert_lacks(text, part) support_check_part((text), (part), false, __FILE__, __LINE__)
void support_check_part(const char *text, const char *part, bool wanted, const char *file,
                        int line);

/* Waits until another thread has done its part; fails when it does not come. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        int64_t give_up_us = support_give_up_us();                                                 \
        while (!(condition)) {                                                                     \
            check_row(support_nap(give_up_us), "waited in vain for: %s", #condition);              \
        }                                                                                          \
    } while (0)
int64_t support_give_up_us(void);
bool support_nap(int64_t give_up_us);

/* Is it one JSON object, and nothing behind it? */
bool support_is_json_object(const char *text, size_t len);

/* Standard output goes into a pipe from support_capture_start to support_capture_end, which adds
 * what stood there, up to its end, to `text`. */
struct support_capture {
    int stdout_copy;
    int read_end;
};
struct support_capture support_capture_start(void);
void support_capture_end(struct support_capture *capture, struct strbuf *text);

#define SUPPORT_PATH_SIZE 64

/* A new file in /tmp with this content; the test unlinks it. */
void support_make_file(char path[SUPPORT_PATH_SIZE], const char *content, size_t len);

#endif
