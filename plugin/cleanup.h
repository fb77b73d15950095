/* SPDX-License-Identifier: MIT */
/*
 * Ownership that is visible where it is declared: what a variable marked so still owns when it
 * goes out of scope is released. Passing ownership on takes it out of the variable.
 */
#ifndef PB_CLEANUP_H
#define PB_CLEANUP_H

#include <errno.h>
#include <unistd.h>

static inline void cleanup_close(const int *fd) {
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

/* int fd = -1: a descriptor, closed at the end of the scope. */
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close)))

static inline int take_fd(int *fd) {
    int taken = *fd;

    *fd = -1;
    return taken;
}

#endif
