#include "support.h"

#include "common/base/clock.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S 30 /* far more than anything takes; sanitizers on a busy machine are slow */

void support_check_part(const char *text, const char *part, bool wanted, const char *file, int line)
{
    if ((strstr(text, part) != NULL) != wanted) {
        print_error("%s '%s' in:\n%s\n", wanted ? "no" : "there is", part, text);
        _fail(file, line);
    }
}

int64_t support_give_up_us(void)
{
    return clock_mono_us() + WAIT_S * CLOCK_US_PER_S;
}

bool support_nap(int64_t give_up_us)
{
    usleep(500);
    return clock_mono_us() < give_up_us;
}

bool support_is_json_object(const char *text, size_t len)
{
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(object);

    json_decref(object);
    return ok;
}

struct support_capture support_capture_start(void)
{
    struct support_capture capture;
    int ends[2];

    fflush(stdout);
    capture.stdout_copy = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    capture.read_end = ends[0];
    return capture;
}

void support_capture_end(struct support_capture *capture, struct strbuf *text)
{
    char chunk[4096];
    ssize_t len;

    dup2(capture->stdout_copy, STDOUT_FILENO); /* closes the pipe's only write end */
    close(capture->stdout_copy);
    while ((len = read(capture->read_end, chunk, sizeof(chunk))) > 0) {
        strbuf_add(text, chunk, (size_t)len);
    }
    close(capture->read_end);
}

void support_make_file(char path[SUPPORT_PATH_SIZE], const char *content, size_t len)
{
    int file;

    snprintf(path, SUPPORT_PATH_SIZE, "/tmp/faststock-unit-XXXXXX");
    file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, content, len), (ssize_t)len);
    close(file);
}
