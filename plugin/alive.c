/* SPDX-License-Identifier: MIT */
#include "alive.h"

#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "descriptors.h"
#include "netlink.h"

/* Interfaces that share a program may be attached by several threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Negative errno. */
static int open_socket(__u32 program) {
    CLEANUP_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_FIB_LOOKUP);
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = program};

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)))
        return -errno;
    return take_fd(&fd);
}

int alive_begin(struct program *program) {
    int fd;

    pthread_mutex_lock(&lock);
    fd = program->alive;
    if (fd < 0) {
        fd = descriptor_keep(open_socket(program->id));
        if (fd >= 0)
            program->alive = fd;
    }
    pthread_mutex_unlock(&lock);
    return fd < 0 ? fd : 0;
}

void alive_end(struct program *program) {
    pthread_mutex_lock(&lock);
    descriptor_close(take_fd(&program->alive));
    pthread_mutex_unlock(&lock);
}

bool alive_is(__u32 program) {
    return netlink_has_member(NETLINK_FIB_LOOKUP, program);
}
