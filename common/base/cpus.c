#include "common/base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the control group that the process is in, when it has a view of its own, as in a container:
 * version 2, and the two halves of it in version 1. */
#define GROUP "/sys/fs/cgroup/"
#define QUOTA_FILE GROUP "cpu.max"
#define QUOTA_FILE_1 GROUP "cpu/cpu.cfs_quota_us"
#define PERIOD_FILE_1 GROUP "cpu/cpu.cfs_period_us"

int64_t cpus_of_quota(const char *text)
{
    char *rest;
    int64_t quota_us = strtoll(text, &rest, 10);
    int64_t period_us = strtoll(rest, NULL, 10);

    if (quota_us <= 0 || period_us <= 0) {
        return INT64_MAX;
    }
    return quota_us / period_us + (quota_us % period_us > 0);
}

/* The first line; "" when there is none. */
static void read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");

    line[0] = '\0';
    if (file == NULL) {
        return;
    }
    if (fgets(line, size, file) == NULL) {
        line[0] = '\0';
    }
    fclose(file);
}

static int64_t read_quota(void)
{
    char quota[32];
    char period[32];
    char text[72];

    read_line(QUOTA_FILE, text, sizeof(text));
    if (text[0] == '\0') {
        read_line(QUOTA_FILE_1, quota, sizeof(quota));
        read_line(PERIOD_FILE_1, period, sizeof(period));
        snprintf(text, sizeof(text), "%s %s", quota, period);
    }
    return cpus_of_quota(text);
}

int64_t cpus_usable(void)
{
    int64_t quota = read_quota();
    cpu_set_t set;
    int64_t count = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        count = CPU_COUNT(&set);
    }
    return quota < count ? quota : count;
}
