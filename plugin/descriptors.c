/* SPDX-License-Identifier: MIT */
#include "descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

/*
 * With a soft limit above it none is moved there: the kernel's table has 8 bytes for each number
 * up to the highest that is open, rounded up to a power of two, here 1 MB.
 */
#define SOFT_LIMIT_MAX 65536

/* Of those that descriptor_keep returned. */
static unsigned kept;
static unsigned kept_below; /* the soft limit */

/* Guards these two, and RLIMIT_NOFILE from when it is raised until it is restored. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A duplicate at `from` or above. Negative errno: there is none below the soft limit. */
static int duplicate_from(int fd, rlim_t from) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, (int)from);

    return copy < 0 ? -errno : copy;
}

/* A duplicate above the soft limit. -EMFILE: the hard limit or fs.nr_open forbid it. */
static int duplicate_above(int fd, const struct rlimit *limit) {
    const struct rlimit raised = {.rlim_cur = limit->rlim_max, .rlim_max = limit->rlim_max};
    int copy;

    if (limit->rlim_cur >= limit->rlim_max || limit->rlim_cur > SOFT_LIMIT_MAX)
        return -EMFILE;
    if (setrlimit(RLIMIT_NOFILE, &raised)) /* EPERM: fs.nr_open is below the hard limit */
        return -EMFILE;
    copy = duplicate_from(fd, limit->rlim_cur);
    setrlimit(RLIMIT_NOFILE, limit);
    return copy;
}

/* How many are open in this process; 0: it can't be seen, or none is free to look. */
static unsigned count_open(void) {
    DIR *entries = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned number = 0;

    if (!entries)
        return 0;
    while ((entry = readdir(entries)))
        number += entry->d_name[0] != '.';
    closedir(entries);
    return number - 1; /* without the directory */
}

/* What others open for a moment, so that it is not seen here. */
#define PASSING 32

/* Whether one more, which is open, may stay below the soft limit. */
static bool may_stay(rlim_t soft_limit) {
    unsigned open = count_open(), others = open - kept - 1 + PASSING;

    return open > kept && others < soft_limit && kept_below + 1 <= (soft_limit - others) / 2;
}

int descriptor_keep(int fd) {
    struct rlimit limit;
    int copy;

    if (fd < 0)
        return fd;
    pthread_mutex_lock(&lock);
    getrlimit(RLIMIT_NOFILE, &limit);
    copy = duplicate_above(fd, &limit);
    if (copy < 0 && may_stay(limit.rlim_cur)) {
        copy = fd < FD_SETSIZE ? duplicate_from(fd, FD_SETSIZE) : fd;
        if (copy < 0)
            copy = fd;
        kept_below++;
    }
    kept += copy >= 0;
    pthread_mutex_unlock(&lock);

    if (copy != fd)
        close(fd);
    return copy < 0 ? -EMFILE : copy;
}

void descriptor_close(int fd) {
    struct rlimit limit;

    if (fd < 0)
        return;
    close(fd);
    pthread_mutex_lock(&lock);
    getrlimit(RLIMIT_NOFILE, &limit);
    kept--;
    /* Inexact if the soft limit was changed since, which nothing in collectd does. */
    kept_below -= kept_below && (rlim_t)fd < limit.rlim_cur;
    pthread_mutex_unlock(&lock);
}
