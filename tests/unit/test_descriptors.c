/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are kept, and the sockets among them that say a daemon is alive. Each case has a
 * process of its own, with limits of its own.
 *
 * LDFLAGS: -Wl,--wrap=getrlimit,--wrap=setrlimit,--wrap=getrlimit64,--wrap=setrlimit64,
 * --wrap=bind,--wrap=netlink_has_member
 */
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive.h"
#include "libc_names.h"
#include "tap.h"

#define SOFT 64

/* ---- limits ---- */

static struct rlimit pretended; /* for getrlimit; all 0: the real ones */
static int set_error;           /* setrlimit fails so */
static unsigned set_calls;

int __real_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);

int __wrap_getrlimit(int resource, struct rlimit *limit) {
    if (!pretended.rlim_max)
        return __real_getrlimit(resource, limit);
    *limit = pretended;
    return 0;
}

int __wrap_setrlimit(int resource, const struct rlimit *limit) {
    set_calls++;
    errno = set_error;
    return set_error ? -1 : __real_setrlimit(resource, limit);
}

static void limit_to(rlim_t soft, rlim_t hard) {
    if (__real_setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = soft, .rlim_max = hard})) {
        perror("setrlimit");
        exit(1);
    }
}

static bool limit_is(rlim_t soft, rlim_t hard) {
    struct rlimit limit;

    __real_getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur == soft && limit.rlim_max == hard;
}

/* ---- cases ---- */

/* Runs a case in a child, and continues its numbers. */
static void run(void (*run_case)(void)) {
    unsigned numbers[2];
    int ends[2], status;
    pid_t child;

    fflush(stdout);
    if (pipe(ends) || (child = fork()) < 0) {
        perror("child");
        exit(1);
    }
    if (!child) {
        close(ends[0]);
        run_case();
        fflush(stdout);
        numbers[0] = tap_number;
        numbers[1] = tap_failed;
        _exit(write(ends[1], numbers, sizeof(numbers)) != sizeof(numbers));
    }
    close(ends[1]);
    if (read(ends[0], numbers, sizeof(numbers)) == sizeof(numbers)) {
        tap_number = numbers[0];
        tap_failed = numbers[1];
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status)
        ok(false, "a case ended with status %d", status);
}

static int open_one(void) {
    return open("/dev/null", O_RDONLY);
}

static int keep_one(void) {
    return descriptor_keep(open_one());
}

/* Those below `end`. */
static unsigned count_open(int end) {
    unsigned number = 0;

    for (int fd = 0; fd < end; fd++)
        number += fcntl(fd, F_GETFD) >= 0;
    return number;
}

/* Keeps as many as may be, up to `most`, and checks the limits after each. */
static unsigned keep_all(unsigned most, rlim_t soft, rlim_t hard) {
    unsigned number = 0;
    bool same = true;
    int fd = 0;

    while (number < most && (fd = keep_one()) >= 0) {
        same = same && limit_is(soft, hard);
        number++;
    }
    same = same && limit_is(soft, hard);
    ok(same, "the limits are the same after each");
    if (number < most)
        ok(fd == -EMFILE, "one more: EMFILE");
    return number;
}

static void above(void) {
    unsigned before;
    struct stat status;
    int fd, moved;

    limit_to(SOFT, 4 * SOFT);
    before = count_open(SOFT);
    fd = open_one();
    moved = descriptor_keep(fd);
    ok(moved >= SOFT, "moved above the soft limit");
    ok(fcntl(fd, F_GETFD) < 0, "the original is closed");
    ok(fcntl(moved, F_GETFD) == FD_CLOEXEC, "the new one is close-on-exec");
    ok(fstat(moved, &status) == 0 && S_ISCHR(status.st_mode), "and the same file");
    descriptor_close(moved);
    ok(fcntl(moved, F_GETFD) < 0, "closed");
    is_u64(keep_all(2 * SOFT, SOFT, 4 * SOFT), 2 * SOFT, "more than the soft limit are kept");
    is_u64(count_open(SOFT), before, "none of them below it");
    ok(descriptor_keep(-EPERM) == -EPERM, "an error is passed on");
    descriptor_close(-1);
}

#define PASSING 32 /* what is left to others in any case, for descriptors of a moment */

/* Of the room below the limit, what others leave, half. */
static void half(void) {
    unsigned others, kept;
    int last = -1, fd;

    limit_to(SOFT, SOFT);
    others = count_open(SOFT);
    kept = keep_all(SOFT, SOFT, SOFT);
    is_u64(kept, (SOFT - others - PASSING) / 2, "without room above, half of what is left is kept");
    is_u64(count_open(SOFT), others + kept, "what may not be kept is closed");
    for (fd = 0; fd < SOFT; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            last = fd;
    descriptor_close(last);
    is_u64(keep_all(SOFT, SOFT, SOFT), 1, "in place of a closed one, one may be kept");
}

static void half_with_others(void) {
    unsigned others;

    limit_to(SOFT, SOFT);
    for (unsigned i = 0; i < SOFT / 4; i++)
        open_one();
    others = count_open(SOFT);
    is_u64(keep_all(SOFT, SOFT, SOFT), (SOFT - others - PASSING) / 2, "others' are no room");
}

static void full(void) {
    limit_to(SOFT, SOFT);
    while (count_open(SOFT) < SOFT - 1)
        open_one();
    is_u64(keep_all(SOFT, SOFT, SOFT), 0, "the last one is left to others");
}

/* First what is above, then half of the rest. Those above are no others, and no room. */
static void little_room_above(void) {
    unsigned others, above_number = 6;

    limit_to(SOFT, SOFT + above_number);
    others = count_open(SOFT);
    is_u64(keep_all(SOFT, SOFT, SOFT + above_number), above_number + (SOFT - others - PASSING) / 2,
           "with little room above: that, and half of what is left");
    is_u64(count_open(SOFT), others + (SOFT - others - PASSING) / 2, "the rest is free");
    descriptor_close(SOFT + 1);
    ok(keep_one() == SOFT + 1, "room above is used again");
    ok(keep_one() == -EMFILE, "and only that");
}

static void full_below(void) {
    limit_to(SOFT, 4 * SOFT);
    while (count_open(SOFT) < SOFT - 1)
        open_one();
    ok(keep_one() >= SOFT, "the last one below the soft limit moves above it");
}

/* setrlimit(2): EPERM where fs.nr_open is below the hard limit. */
static void forbidden(void) {
    unsigned others;

    limit_to(SOFT, 4 * SOFT);
    others = count_open(SOFT);
    set_error = EPERM;
    is_u64(keep_all(SOFT, SOFT, 4 * SOFT), (SOFT - others - PASSING) / 2,
           "where the limit may not be raised, half of what is left is kept");
}

/* The kernel's table of descriptors would grow to the highest of them. */
static void huge(void) {
    int fd;

    pretended = (struct rlimit){.rlim_cur = 1u << 30, .rlim_max = RLIM_INFINITY};
    fd = keep_one();
    ok(fd >= 0, "kept under a soft limit of a billion");
    is_u64(set_calls, 0, "which is not raised");
    descriptor_close(fd);
}

static void select_range(void) {
    struct rlimit limit;
    int fd, moved;

    __real_getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2000) {
        printf("ok %u - descriptors above select()'s # SKIP the hard limit is %lu\n", ++tap_number,
               (unsigned long)limit.rlim_max);
        return;
    }
    limit_to(2000, 2000);
    fd = open_one();
    moved = descriptor_keep(fd);
    ok(moved >= 1024, "without room above: out of the range of select()");
    ok(fcntl(fd, F_GETFD) < 0, "the original is closed");
}

/* ---- threads ---- */

/* *context: how many were not above the soft limit. */
static void *keep_and_close(void *context) {
    unsigned *below = context;

    for (int i = 0; i < 5000; i++) {
        int fd = keep_one();

        *below += fd < SOFT;
        descriptor_close(fd);
    }
    return NULL;
}

static void threads(void) {
    unsigned below[4] = {0};
    pthread_t thread[4];

    limit_to(SOFT, 4 * SOFT);
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, keep_and_close, &below[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    is_u64(below[0] + below[1] + below[2] + below[3], 0, "threads: all above the soft limit");
    ok(limit_is(SOFT, 4 * SOFT), "and the limits are the same");
}

/* ---- signs of life ---- */

/*
 * The kernel refuses groups to who has no privileges, as these tests are run: see
 * tests/system/killed.sh and test_netlink_sockets.c.
 */
static unsigned groups; /* of the socket that was bound last */
static int bind_error;
static bool member; /* what the kernel says */
static int asked_protocol;
static __u32 asked_groups;

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
bool __wrap_netlink_has_member(int protocol, __u32 wanted);

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length) {
    const struct sockaddr_nl *netlink = (const struct sockaddr_nl *)address;
    int protocol = -1;
    socklen_t size = sizeof(protocol);

    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    groups = length == sizeof(*netlink) && netlink->nl_family == AF_NETLINK &&
                     netlink->nl_pid == 0 && protocol == NETLINK_FIB_LOOKUP
                 ? netlink->nl_groups
                 : 0;
    errno = bind_error;
    return bind_error ? -1 : 0;
}

bool __wrap_netlink_has_member(int protocol, __u32 wanted) {
    asked_protocol = protocol;
    asked_groups = wanted;
    return member;
}

static void alive(void) {
    struct program program = {.id = 0x81234567, .alive = -1};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_FIB_LOOKUP);

    if (fd < 0 && errno == EPROTONOSUPPORT) {
        ok(true, "a sign is given # SKIP no NETLINK_FIB_LOOKUP here, as under qemu-user");
        return;
    }
    close(fd);
    limit_to(SOFT, 4 * SOFT);
    alive_end(&program);
    ok(alive_begin(&program) == 0 && groups == program.id, "a sign is given, with the id");
    ok(program.alive >= SOFT, "by a descriptor above the soft limit");
    fd = program.alive;
    ok(alive_begin(&program) == 0 && program.alive == fd, "another attachment needs no other");
    alive_end(&program);
    ok(program.alive == -1 && fcntl(fd, F_GETFD) < 0, "it ends");
    ok(!alive_is(program.id) && asked_protocol == NETLINK_FIB_LOOKUP && asked_groups == program.id,
       "the same is looked for");
    member = true;
    ok(alive_is(program.id), "and found");

    bind_error = EPERM;
    ok(alive_begin(&program) == -EPERM && program.alive == -1, "without CAP_NET_ADMIN: EPERM");
    bind_error = 0;
    limit_to(3, 4 * SOFT);
    ok(alive_begin(&program) == -EMFILE && program.alive == -1, "no descriptor: EMFILE");
}

int main(void) {
    for (int fd = 3; fd < 4096; fd++) /* what make and others left open is not ours to count */
        close(fd);
    run(above);
    run(half);
    run(half_with_others);
    run(full);
    run(little_room_above);
    run(full_below);
    run(forbidden);
    run(huge);
    run(select_range);
    run(threads);
    run(alive);
    return tap_end();
}
