/* SPDX-License-Identifier: MIT */
/*
 * Whether there are IPsec states, asked of a simulated kernel: no socket may be opened that would
 * load a module.
 *
 * Links: plugin/netlink_ipsec.c, but for what is defined here.
 * LDFLAGS: -Wl,--wrap=fopen,--wrap=fopen64,--wrap=access,--wrap=mnl_socket_open2,
 * --wrap=mnl_socket_sendto,--wrap=mnl_socket_recvfrom
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/types.h>

#include "libc_names.h"
#include "netlink.h"
#include "tap.h"

#define HEADER "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops\n"
#define ROUTE  "00000000342969ec 0   0          00000000 0        0        0     2        0\n"
#define XFRM   "00000000051724e1 6   0          00000000 0        0        0     2        0\n"
#define CLIENT "00000000051724e2 6   4711       00000000 0        0        0     2        0\n"

#define USER "00000000051724e3 2   4712       00000000 0        0        0     2        0\n"

static const char *sockets; /* the file; NULL: it can't be read */
static size_t bytes_read;   /* of it, the last time */
static bool pfkey;
static unsigned opened;
static int open_error, send_error;
static __u32 states;
static int reply_error; /* the kernel's, positive */
static bool reply_without_number;

FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_access(const char *path, int mode);
struct mnl_socket *__real_mnl_socket_open2(int bus, int flags);
struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags);
ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *request, size_t size);
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buffer, size_t size);

static ssize_t read_sockets(void *cookie, char *buffer, size_t size) {
    size_t length = strnlen(sockets + bytes_read, size);

    (void)cookie;
    memcpy(buffer, sockets + bytes_read, length);
    bytes_read += length;
    return (ssize_t)length;
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    if (!sockets || strcmp(path, "/proc/net/netlink") != 0) {
        errno = ENOENT;
        return NULL;
    }
    bytes_read = 0;
    return fopencookie(NULL, strchr(mode, 'r') ? "r" : mode,
                       (cookie_io_functions_t){.read = read_sockets});
}

int __wrap_access(const char *path, int mode) {
    (void)mode;
    return pfkey && !strcmp(path, "/proc/net/pfkey") ? 0 : -1;
}

/* A socket of another protocol serves as one. */
struct mnl_socket *__wrap_mnl_socket_open2(int bus, int flags) {
    ok(bus == NETLINK_XFRM, "a socket of NETLINK_XFRM");
    opened++;
    errno = open_error;
    return open_error ? NULL : __real_mnl_socket_open2(NETLINK_ROUTE, flags);
}

ssize_t __wrap_mnl_socket_sendto(const struct mnl_socket *socket, const void *request,
                                 size_t size) {
    const struct nlmsghdr *message = request;

    (void)socket;
    ok(message->nlmsg_type == XFRM_MSG_GETSADINFO && message->nlmsg_flags == NLM_F_REQUEST &&
           size == message->nlmsg_len && size == NLMSG_LENGTH(sizeof(__u32)),
       "asks for XFRM_MSG_GETSADINFO");
    errno = send_error;
    return send_error ? -1 : (ssize_t)size;
}

ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buffer, size_t size) {
    struct nlmsghdr *reply = mnl_nlmsg_put_header(buffer);

    (void)size;
    reply->nlmsg_seq = 1;
    reply->nlmsg_pid = mnl_socket_get_portid(socket);
    if (reply_error) {
        struct nlmsgerr *error = mnl_nlmsg_put_extra_header(reply, sizeof(*error));

        reply->nlmsg_type = NLMSG_ERROR;
        error->error = -reply_error;
        return reply->nlmsg_len;
    }
    reply->nlmsg_type = XFRM_MSG_NEWSADINFO;
    mnl_nlmsg_put_extra_header(reply, sizeof(__u32));
    if (reply_without_number)
        mnl_attr_put(reply, XFRMA_SAD_CNT, 2, "\1\1");
    else
        mnl_attr_put_u32(reply, XFRMA_SAD_CNT, states);
    return reply->nlmsg_len;
}

/* expected, and how many sockets that may take */
static void is_ipsec(bool expected, unsigned sockets_opened, const char *name) {
    opened = 0;
    ok(netlink_has_ipsec() == expected, "%s: %s", name, expected ? "yes" : "no");
    is_u64(opened, sockets_opened, "%s: sockets opened", name);
}

/* The file with 100,000 sockets in front of the kernel's own. */
static void test_crowd(void) {
    const int number = 100000; /* as many as one user may have opened */
    char *crowd = malloc(number * strlen(USER) + sizeof(HEADER XFRM)), *end;

    if (!crowd)
        abort();
    end = stpcpy(crowd, HEADER);
    for (int i = 0; i < number; i++)
        end = stpcpy(end, USER);
    strcpy(end, XFRM);
    sockets = crowd;
    is_ipsec(false, 1, "100,000 sockets of somebody else, no states");
    ok(bytes_read < 100000, "a small part of them is read: %zu bytes", bytes_read);
    states = 1;
    is_ipsec(true, 1, "100,000 sockets, one state");
    states = 0;
    open_error = EPROTONOSUPPORT;
    is_ipsec(false, 1, "100,000 sockets, a kernel without IPsec");
    open_error = 0;
    sockets = NULL;
    free(crowd);
}

int main(void) {
    sockets = HEADER ROUTE;
    is_ipsec(false, 0, "the kernel has no socket of NETLINK_XFRM");
    pfkey = true;
    is_ipsec(true, 0, "but it has PF_KEY");
    pfkey = false;
    sockets = HEADER ROUTE CLIENT;
    is_ipsec(false, 0, "somebody else's socket");
    sockets = HEADER ROUTE XFRM;
    is_ipsec(false, 1, "no states");
    states = 2;
    is_ipsec(true, 1, "two states");
    states = 0;
    reply_without_number = true;
    is_ipsec(true, 1, "a reply without their number");
    reply_without_number = false;
    reply_error = EPERM;
    is_ipsec(true, 1, "without CAP_NET_ADMIN");
    reply_error = 0;
    send_error = ECONNREFUSED;
    is_ipsec(true, 1, "the request isn't sent");
    send_error = 0;
    open_error = EMFILE;
    is_ipsec(true, 1, "no descriptor");
    open_error = 0;
    sockets = NULL;
    is_ipsec(false, 1, "/proc can't be read, no states");
    test_crowd();
    return tap_end();
}
