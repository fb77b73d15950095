/* SPDX-License-Identifier: MIT */
#include "alive.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "descriptors.h"

/* Interfaces that share a program may be attached by several threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static socklen_t address_of(struct sockaddr_un *address, __u32 program) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return offsetof(struct sockaddr_un, sun_path) + 1 +
           snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "tc_portbytes/%u",
                    program);
}

/* Negative errno. */
static int open_socket(__u32 program) {
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    socklen_t length = address_of(&address, program);

    if (fd < 0)
        return -errno;
    /* A name that is taken already keeps our filter alive as well. */
    if (bind(fd, (struct sockaddr *)&address, length) && errno != EADDRINUSE)
        return -errno;
    shutdown(fd, SHUT_RD); /* nothing is ever received */
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
    CLEANUP_CLOSE int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    socklen_t length = address_of(&address, program);

    return probe < 0 || connect(probe, (struct sockaddr *)&address, length) == 0 ||
           errno != ECONNREFUSED;
}
