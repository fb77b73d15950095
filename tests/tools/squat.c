/* SPDX-License-Identifier: MIT */
/*
 * What a user without CAP_NET_ADMIN can do to look like the daemon of a program:
 *
 *     squat FILE ID...
 *
 * tries to give the sign of each program (plugin/alive.h), and where that is refused what resembles
 * it: abstract names as in earlier versions, sockets without groups, with the id as their port. A
 * thousand more are open, and others are opened and closed all the time. FILE has a line for each
 * sign, "given" or why it was refused, and then "open". SIGTERM ends it.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKETS 1000

/* 0 or an errno; the socket stays open. */
static int open_netlink(unsigned port, unsigned groups) {
    const struct sockaddr_nl address = {
        .nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_FIB_LOOKUP);

    return fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) ? errno : 0;
}

static void take_name(unsigned program) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "tc_portbytes/%u", program);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    /* Whoever has it already keeps it. */
    bind(fd, (const struct sockaddr *)&address,
         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length));
}

int main(int argc, char **argv) {
    struct rlimit limit;
    FILE *file;

    if (argc < 3)
        return 2;
    file = fopen(argv[1], "w");
    if (!file)
        return 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 2; i < argc; i++) {
        unsigned program = (unsigned)strtoul(argv[i], NULL, 10);
        int error = open_netlink(0, program);

        fprintf(file, "%s\n", error ? strerror(error) : "given");
        take_name(program);
        open_netlink(program, 0);
    }
    for (int i = 0; i < SOCKETS; i++)
        if (open_netlink(0, 0) == EMFILE)
            break;
    fprintf(file, "open\n");
    fclose(file);
    for (;;) {
        int fds[16];

        for (int i = 0; i < 16; i++) {
            const struct sockaddr_nl address = {.nl_family = AF_NETLINK};

            fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, i % 2 ? NETLINK_FIB_LOOKUP : 0);
            bind(fds[i], (const struct sockaddr *)&address, sizeof(address));
        }
        for (int i = 0; i < 16; i++)
            close(fds[i]);
        usleep(1000); /* others want the CPU, too */
    }
}
