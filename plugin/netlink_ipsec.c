/* SPDX-License-Identifier: MIT */
/* The part of netlink.h about IPsec. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <unistd.h>

#include <linux/types.h>

#include "netlink.h"

/* "sk Eth Pid ...", netlink_native_seq_show() in net/netlink/af_netlink.c: Eth is the protocol. */
#define SOCKETS_FILE "/proc/net/netlink"

/* Made by pfkey_init_proc() in net/key/af_key.c. */
#define PFKEY_FILE "/proc/net/pfkey"

/*
 * Whether the kernel answers NETLINK_XFRM here: then it has a socket of its own for that in each
 * network namespace, with port 0. To ask by opening one would load the module xfrm_user.
 */
static bool is_xfrm_served(void) {
    FILE *file = fopen(SOCKETS_FILE, "re");
    bool served = false;
    char line[256];

    if (!file)
        return true;
    while (!served && fgets(line, sizeof(line), file)) {
        unsigned protocol, port;

        served = sscanf(line, "%*s %u %u", &protocol, &port) == 2 && protocol == NETLINK_XFRM &&
                 port == 0;
    }
    fclose(file);
    return served;
}

static int parse_states(const struct nlmsghdr *message, void *context) {
    const struct nlattr *attribute;

    if (message->nlmsg_type != XFRM_MSG_NEWSADINFO)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message,
                      sizeof(__u32)) if (mnl_attr_get_type(attribute) == XFRMA_SAD_CNT &&
                                         mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0) *
        (__u32 *)context = mnl_attr_get_u32(attribute);
    return MNL_CB_STOP;
}

/* How many states there are, into *number. Negative errno. */
static int query_states(struct mnl_socket *socket, __u32 *number) {
    char buffer[1024];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    ssize_t length;

    request->nlmsg_type = XFRM_MSG_GETSADINFO;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = 1;
    *(__u32 *)mnl_nlmsg_put_extra_header(request, sizeof(__u32)) = 0; /* flags */
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return -errno;
    length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
    if (length < 0 || mnl_cb_run(buffer, (size_t)length, 1, mnl_socket_get_portid(socket),
                                 parse_states, number) < 0)
        return -errno;
    return 0;
}

bool netlink_has_ipsec(void) {
    __u32 number = 1; /* unless the kernel says otherwise */
    struct mnl_socket *socket;

    if (!is_xfrm_served())
        return access(PFKEY_FILE, F_OK) == 0;
    socket = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
    if (!socket)
        return true;
    query_states(socket, &number);
    mnl_socket_close(socket);
    return number > 0;
}
