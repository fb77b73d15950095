/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into collectd, it makes the system fail in ways that can't be had on demand.
 * The environment says what is to fail:
 *
 *     PB_FAULT_BPF="COMMAND ERRNO"  the bpf() command of that number fails so; -1: every one
 *     PB_FAULT_CLOCK=FILE           CLOCK_REALTIME is off by as many seconds as FILE says now;
 *                                   no other clock is touched, and never the machine's
 *     PB_FAULT_EVENTS=BYTES         the receive buffer of netlink sockets that listen to groups
 *     PB_FAULT_DESTROY=FILE         libbpf deletes no qdisc before there is FILE
 *     PB_FAULT_CALLS=FILE           nothing fails; FILE, of a page or more, has by command how
 *                                   often bpf() was called, 64 bits each
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../unit/libc_names.h"

#define CLOCK_SIZE 32 /* of the file: a number, then spaces */
#define CALLS_SIZE 4096

static int bpf_command, bpf_error;
static const char *clock_text;
static int events_size;
static unsigned long long *calls;

static long (*next_syscall)(long number, ...);
static int (*next_clock_gettime)(clockid_t clock, struct timespec *now);
static int (*next_timedwait)(pthread_cond_t *condition, pthread_mutex_t *mutex,
                             const struct timespec *until);
static int (*next_bind)(int fd, const struct sockaddr *address, socklen_t length);

static void *map_file(const char *path, size_t size, int flags, int protection) {
    int fd = open(path, flags | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, size, protection, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        abort();
    close(fd);
    return map;
}

__attribute__((constructor)) static void begin(void) {
    const char *bpf = getenv("PB_FAULT_BPF"), *clock = getenv("PB_FAULT_CLOCK"),
               *events = getenv("PB_FAULT_EVENTS"), *count = getenv("PB_FAULT_CALLS");

    *(void **)&next_syscall = dlsym(RTLD_NEXT, "syscall");
    *(void **)&next_clock_gettime = dlsym(RTLD_NEXT, CLOCK_GETTIME);
    *(void **)&next_bind = dlsym(RTLD_NEXT, "bind");
    /* There is an older one of that name, for another struct; where not, this is it. */
    *(void **)&next_timedwait = dlvsym(RTLD_NEXT, COND_TIMEDWAIT, "GLIBC_2.3.2");
    if (!next_timedwait)
        *(void **)&next_timedwait = dlsym(RTLD_NEXT, COND_TIMEDWAIT);
    if (bpf && sscanf(bpf, "%d %d", &bpf_command, &bpf_error) != 2)
        abort();
    if (events)
        events_size = atoi(events);
    if (clock)
        clock_text = map_file(clock, CLOCK_SIZE, O_RDONLY, PROT_READ);
    if (count)
        calls = map_file(count, CALLS_SIZE, O_RDWR, PROT_READ | PROT_WRITE);
}

/* libbpf's way to the kernel. */
long syscall(long number, ...) {
    long arguments[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_bpf && calls && arguments[0] >= 0 &&
        arguments[0] < (long)(CALLS_SIZE / sizeof(*calls)))
        __atomic_add_fetch(&calls[arguments[0]], 1, __ATOMIC_RELAXED);
    if (number == SYS_bpf && bpf_error && (bpf_command < 0 || arguments[0] == bpf_command)) {
        errno = bpf_error;
        return -1;
    }
    return next_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                        arguments[4], arguments[5]);
}

struct bpf_tc_hook;
int bpf_tc_hook_destroy(struct bpf_tc_hook *hook);

int bpf_tc_hook_destroy(struct bpf_tc_hook *hook) {
    const struct timespec pause = {.tv_nsec = 10000000};
    const char *file = getenv("PB_FAULT_DESTROY");
    int (*next)(struct bpf_tc_hook *);

    while (file && access(file, F_OK))
        nanosleep(&pause, NULL);
    /* The plugin's libraries are its own: RTLD_NEXT does not find them. */
    *(void **)&next = dlsym(dlopen("libbpf.so.1", RTLD_LAZY), "bpf_tc_hook_destroy");
    return next(hook);
}

static time_t offset(void) {
    return clock_text ? strtol(clock_text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = next_clock_gettime(clock, now);

    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += offset();
    return result;
}

/* Whoever waits until a time of that clock waits for the kernel's. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec real = *until;

    real.tv_sec -= offset();
    if (real.tv_sec < 0)
        real.tv_sec = 0;
    return next_timedwait(condition, mutex, &real);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int result = next_bind(fd, address, length);

    if (result == 0 && events_size && address->sa_family == AF_NETLINK &&
        ((const struct sockaddr_nl *)(const void *)address)->nl_groups)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &events_size, sizeof(events_size));
    return result;
}
