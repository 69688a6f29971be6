/* How many CPUs this process may use. */
#ifndef FASTSTOCK_COMMON_BASE_CPUS_H
#define FASTSTOCK_COMMON_BASE_CPUS_H

#include <stdint.h>

/* Those that it is bound to (sched_setaffinity, taskset, a cpuset), or fewer when its control group
 * has a quota of time: that is how a container's CPU limit looks from inside. At least 1.
 * Thread-safe; reads files. */
int64_t cpus_usable(void);

/* A quota and its period, "150000 100000", in CPUs, rounded up; INT64_MAX: there is none ("max
 * 100000", or -1), or the text is no such. The form is that of a control group's cpu.max (Linux,
 * Documentation/admin-guide/cgroup-v2.rst). */
int64_t cpus_of_quota(const char *text);

#endif
