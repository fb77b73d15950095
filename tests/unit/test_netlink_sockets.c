/* SPDX-License-Identifier: MIT */
/*
 * Which groups the netlink sockets of a simulated kernel are members of, by sock_diag, and by /proc
 * where there is no netlink_diag: never "no" when in doubt.
 *
 * Links: plugin/netlink_sockets.c, but for what is defined here.
 * LDFLAGS: -Wl,--wrap=fopen,--wrap=fopen64,--wrap=mnl_socket_open2,--wrap=mnl_socket_sendto,
 *     --wrap=mnl_socket_recvfrom
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink_diag.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

#include "libc_names.h"
#include "netlink.h"
#include "tap.h"

#define PROTOCOL NETLINK_FIB_LOOKUP
#define GROUPS   0x8001f2a5u

FILE *__wrap_fopen(const char *path, const char *mode);
struct mnl_socket *__real_mnl_socket_open2(int bus, int flags);
struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *request, size_t size);
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buffer, size_t size);

/* ---- sock_diag ---- */

/* A socket of an answer: its groups, as so many bytes of the attribute; negative: no attribute. */
struct socket_groups {
    __u64 groups;
    int size;
};

static const struct socket_groups *answer[2]; /* to the first request, and the second one */
static unsigned answer_number[2];
static int answer_error; /* positive errno */
static bool cut;         /* messages are too short */
static unsigned requests, files;

/* Of a protocol that qemu-user has, too: nothing is sent by it. */
struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags) {
    ok(bus == NETLINK_SOCK_DIAG, "a socket of NETLINK_SOCK_DIAG");
    return __real_mnl_socket_open2(NETLINK_ROUTE, flags);
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *request,
                                 size_t size) {
    const struct nlmsghdr *message = request;
    const struct netlink_diag_req *diag = mnl_nlmsg_get_payload(message);

    (void)socket;
    ok(message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
           message->nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP) && size == message->nlmsg_len &&
           size == NLMSG_LENGTH(sizeof(*diag)) && diag->sdiag_family == AF_NETLINK &&
           diag->sdiag_protocol == PROTOCOL && diag->ndiag_show == NDIAG_SHOW_GROUPS,
       "asks for the sockets of the protocol and their groups");
    requests++;
    return (ssize_t)size;
}

static struct nlmsghdr *add_message(char *at, const struct mnl_socket *socket, int type) {
    struct nlmsghdr *message = mnl_nlmsg_put_header(at);

    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_MULTI;
    message->nlmsg_seq = 1;
    message->nlmsg_pid = mnl_socket_get_portid(socket);
    return message;
}

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buffer, size_t size) {
    unsigned which = requests > 1;
    struct nlmsghdr *message;
    char *at = buffer;

    (void)size;
    if (answer_error) {
        struct nlmsgerr *error;

        message = add_message(at, socket, NLMSG_ERROR);
        error = mnl_nlmsg_put_extra_header(message, sizeof(*error));
        error->error = -answer_error;
        return message->nlmsg_len;
    }
    for (unsigned i = 0; i < answer_number[which]; i++) {
        const struct socket_groups *this = &answer[which][i];

        message = add_message(at, socket, SOCK_DIAG_BY_FAMILY);
        mnl_nlmsg_put_extra_header(message, sizeof(struct netlink_diag_msg) - (cut ? 8 : 0));
        if (this->size >= 0)
            mnl_attr_put(message, NETLINK_DIAG_GROUPS, this->size, &this->groups);
        at += message->nlmsg_len;
    }
    message = add_message(at, socket, NLMSG_DONE);
    *(int *)mnl_nlmsg_put_extra_header(message, sizeof(int)) = 0;
    return at + message->nlmsg_len - (char *)buffer;
}

static void is_member(bool expected, unsigned expected_requests, const char *name) {
    requests = files = 0;
    ok(netlink_has_member(PROTOCOL, GROUPS) == expected, "%s: %s", name, expected ? "yes" : "no");
    is_u64(requests, expected_requests, "%s: requests", name);
}

/* The same answer to both requests. */
static void set_answer(const struct socket_groups *sockets, unsigned number) {
    answer[0] = answer[1] = sockets;
    answer_number[0] = answer_number[1] = number;
}

static void by_diag(void) {
    static const struct socket_groups others[] = {
        {0, -1}, {GROUPS ^ 1, 8}, {1u << 31, 8}, {~0ull ^ GROUPS, 8}, {0, 0}, {GROUPS, 3}};
    static const struct socket_groups wide = {0xffffffff00000000ull | GROUPS, 8};
    static const struct socket_groups narrow = {GROUPS, 4}; /* of a kernel of 32 bits */
    const bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    static struct socket_groups with[7];

    set_answer(NULL, 0);
    is_member(false, 2, "no socket");
    set_answer(others, 6);
    is_member(false, 2, "sockets of other groups, or none");
    memcpy(with, others, sizeof(others));
    with[6] = wide;
    set_answer(with, 7);
    is_member(true, 1, "ours behind them");
    if (!big) {
        set_answer(&narrow, 1);
        is_member(true, 1, "ours, by a kernel of 32 bits");
    }
    cut = true;
    set_answer(with, 7);
    is_member(false, 2, "messages that are too short");
    cut = false;
    set_answer(others, 6);
    answer[1] = with;
    answer_number[1] = 7;
    is_member(true, 2, "the kernel left it out of the first dump");
    is_u64(files, 0, "no file is read for that");
}

/* ---- /proc ---- */

#define HEADER                                                                                     \
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
#define ROUTE                                                                                      \
    "00000000342969ec 0   0          00000000 0        0        0     2        0        4\n"
#define KERNEL                                                                                     \
    "00000000342969ed 10  0          00000000 0        0        0     2        0        8\n"
#define OURS                                                                                       \
    "0000000000000000 10  -8123      8001f2a5 0        0        0     2        0        99\n"

static const char *contents[2]; /* of a read with an even and an odd number */
static char *huge;

FILE *__wrap_fopen(const char *path, const char *mode) {
    const char *content = contents[files++ % 2];

    if (!content || strcmp(path, "/proc/thread-self/net/netlink") != 0) {
        errno = ENOENT;
        return NULL;
    }
    return fmemopen((void *)content, strlen(content), strchr(mode, 'r') ? "r" : mode);
}

static void is_in_proc(bool expected, const char *first, const char *second, unsigned reads,
                       const char *name) {
    contents[0] = first;
    contents[1] = second;
    is_member(expected, 1, name);
    is_u64(files, reads, "%s: reads", name);
}

/* The header and so many sockets of others. */
static char *many(unsigned number, const char *last) {
    size_t size = strlen(HEADER) + number * strlen(KERNEL) + strlen(last) + 1;
    char *at;

    free(huge);
    huge = malloc(size);
    at = stpcpy(huge, HEADER);
    for (unsigned i = 0; i < number; i++)
        at = stpcpy(at, i % 2 ? KERNEL : ROUTE);
    strcpy(at, last);
    return huge;
}

static void by_proc(void) {
    static const char none[] = HEADER ROUTE KERNEL;
    const char *text;

    answer_error = ENOENT; /* no netlink_diag */
    is_in_proc(false, none, none, 2, "nobody");
    is_in_proc(true, HEADER ROUTE KERNEL OURS, NULL, 1, "ours");
    is_in_proc(true, none, HEADER OURS, 2, "ours, which the first read left out");
    is_in_proc(true, none, HEADER ROUTE, 16, "the file changes all the time");
    is_in_proc(true, NULL, NULL, 1, "it can't be read");
    is_in_proc(true, none, NULL, 2, "it can't be read again");
    is_in_proc(false, "\n\n \n10 10 10\nx\n" KERNEL "8001f2a5",
               "\n\n \n10 10 10\nx\n" KERNEL "8001f2a5", 2,
               "lines of another form, and one that is cut");
    is_in_proc(false, "1 0 0 8001f2a5\n1 16 0 8001f2a5\n1 10 0 8001f2a\n1 10 8001f2a5 0\n",
               "1 0 0 8001f2a5\n1 16 0 8001f2a5\n1 10 0 8001f2a\n1 10 8001f2a5 0\n", 2,
               "another protocol, other groups, and them as a port");
    text = many(10000, OURS);
    is_in_proc(true, text, text, 1, "ours behind 10,000 others");
    text = many(10000, "");
    is_in_proc(false, text, text, 2, "10,000 others");
    text = many(20000, OURS);
    is_in_proc(true, text, text, 1, "more than are read");
    text = many(20000, "");
    is_in_proc(true, text, text, 1, "more than are read, and not ours");
    free(huge);
}

int main(void) {
    by_diag();
    by_proc();
    return tap_end();
}
