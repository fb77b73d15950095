/* SPDX-License-Identifier: MIT */
/*
 * Which interfaces of this network namespace have the plugin's classifier:
 *
 *     hooks                                        each that has any: "NAME ingress egress"
 *     hooks INTERFACE attached|detached COMMAND... runs COMMAND, then waits until INTERFACE has
 *                                                  it in both directions, or in none, and prints
 *                                                  the microseconds from COMMAND's end till then
 *     hooks INTERFACE detach [ingress|egress]      takes its tcx link on ingress away from it, as
 *                                                  an administrator can
 *     hooks INTERFACE order ingress|egress         the names of all tcx programs there, in order
 *     hooks INTERFACE links                        the ids of its tcx links on ingress and egress
 *
 * Asks the kernel, tcx and clsact both; bpftool of Debian 12 does not know tcx.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* enum bpf_attach_type of Linux 6.6 */
#define ATTACH_TCX_INGRESS 46

/* The plugin's places among the clsact filters, of a few daemons. */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   0x70627970
#define FILTER_HANDLES  8

#define PROGRAMS_MAX 64
#define LIMIT        60000000 /* microseconds */

static const enum bpf_tc_attach_point points[] = {BPF_TC_INGRESS, BPF_TC_EGRESS};
static const char *const directions[] = {"ingress", "egress"};

/* False: there is no such program, and the name is "". */
static bool name_of(__u32 id, char name[BPF_OBJ_NAME_LEN]) {
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(id);
    bool known;

    name[0] = 0;
    if (fd < 0)
        return false;
    known = bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
    if (known)
        memcpy(name, info.name, BPF_OBJ_NAME_LEN);
    close(fd);
    return known;
}

/* A qdisc of kind ingress shows its filters in both directions. */
static bool is_ours(__u32 id, int direction) {
    char name[BPF_OBJ_NAME_LEN];

    return name_of(id, name) && !strcmp(name, direction ? "tc_portbytes_eg" : "tc_portbytes_in");
}

/* The id of our program there by tcx; 0: none. */
static __u32 by_tcx(int interface, int direction) {
    __u32 ids[PROGRAMS_MAX], number = PROGRAMS_MAX;

    if (bpf_prog_query(interface, ATTACH_TCX_INGRESS + direction, 0, NULL, ids, &number))
        return 0;
    for (__u32 i = 0; i < number; i++)
        if (is_ours(ids[i], direction))
            return ids[i];
    return 0;
}

static bool has(int interface, int direction) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = interface, .attach_point = points[direction]);

    if (by_tcx(interface, direction))
        return true;
    for (__u32 n = 0; n < FILTER_HANDLES; n++) {
        LIBBPF_OPTS(bpf_tc_opts, filter, .handle = FILTER_HANDLE + n, .priority = FILTER_PRIORITY);

        if (bpf_tc_query(&hook, &filter) == 0 && is_ours(filter.prog_id, direction))
            return true;
    }
    return false;
}

static int order(int interface, int direction) {
    __u32 ids[PROGRAMS_MAX], number = PROGRAMS_MAX;

    if (bpf_prog_query(interface, ATTACH_TCX_INGRESS + direction, 0, NULL, ids, &number))
        return 1;
    for (__u32 i = 0; i < number; i++) {
        char name[BPF_OBJ_NAME_LEN];

        name_of(ids[i], name);
        puts(name);
    }
    return 0;
}

/* A descriptor of its link there; negative: it has none. */
static int open_link(int interface, int direction, __u32 *found) {
    __u32 program = by_tcx(interface, direction);

    *found = 0;
    while (program && bpf_link_get_next_id(*found, found) == 0) {
        struct bpf_link_info info = {0};
        __u32 length = sizeof(info);
        int fd = bpf_link_get_fd_by_id(*found);

        if (fd < 0)
            continue;
        /* info.tcx.ifindex has the place of info.xdp.ifindex; all interfaces share a program. */
        if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.prog_id == program &&
            info.xdp.ifindex == (__u32)interface)
            return fd;
        close(fd);
    }
    return -1;
}

static int detach(int interface, int direction) {
    __u32 id;
    int fd = open_link(interface, direction, &id), error = fd < 0 || bpf_link_detach(fd);

    if (fd >= 0)
        close(fd);
    return error;
}

static int links(int interface) {
    for (int direction = 0; direction < 2; direction++) {
        __u32 id;
        int fd = open_link(interface, direction, &id);

        if (fd < 0)
            return 1;
        printf("%u\n", id);
        close(fd);
    }
    return 0;
}

static long long microseconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static int list(void) {
    struct if_nameindex *interfaces = if_nameindex();

    if (!interfaces)
        return 1;
    for (struct if_nameindex *i = interfaces; i->if_index; i++) {
        bool found[] = {has(i->if_index, 0), has(i->if_index, 1)};

        if (found[0] || found[1])
            printf("%s%s%s%s%s\n", i->if_name, found[0] ? " " : "", found[0] ? directions[0] : "",
                   found[1] ? " " : "", found[1] ? directions[1] : "");
    }
    if_freenameindex(interfaces);
    return 0;
}

static int run(char **command) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    return child < 0 || waitpid(child, &status, 0) < 0 || status ? 1 : 0;
}

int main(int argc, char **argv) {
    const struct timespec pause = {.tv_nsec = 200000};
    bool want;
    long long end;

    libbpf_set_print(NULL);
    if (argc == 1)
        return list();
    if (argc >= 3 && !strcmp(argv[2], "detach"))
        return detach(if_nametoindex(argv[1]), argc > 3 && !strcmp(argv[3], "egress"));
    if (argc == 4 && !strcmp(argv[2], "order"))
        return order(if_nametoindex(argv[1]), !strcmp(argv[3], "egress"));
    if (argc == 3 && !strcmp(argv[2], "links"))
        return links(if_nametoindex(argv[1]));
    if (argc < 4)
        return 2;
    want = !strcmp(argv[2], "attached");
    if (run(argv + 3))
        return 1;
    end = microseconds();
    for (;;) {
        int interface = if_nametoindex(argv[1]); /* the command may have made it */
        long long now;
        bool there;

        there = interface && has(interface, 0) == want && has(interface, 1) == want;
        now = microseconds() - end;
        if (there) {
            printf("%lld\n", now);
            return 0;
        }
        if (now > LIMIT)
            return 1;
        nanosleep(&pause, NULL);
    }
}
