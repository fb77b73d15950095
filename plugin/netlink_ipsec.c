/* SPDX-License-Identifier: MIT */
/* The part of netlink.h about IPsec. */
#include "netlink_private.h"

#include <linux/xfrm.h>
#include <stdio.h>
#include <unistd.h>

/* "sk Eth Pid ...", netlink_native_seq_show() in net/netlink/af_netlink.c: Eth is the protocol. */
#define SOCKETS_FILE "/proc/net/netlink"

/*
 * So many lines are read. Anybody may open any number of such sockets, and for each next page of
 * the file the kernel walks over all that it has shown: 76,000 took 9 s of a CPU.
 */
#define SOCKETS_MAX 1000

/* Made by pfkey_init_proc() in net/key/af_key.c. */
#define PFKEY_FILE "/proc/net/pfkey"

/*
 * Whether the kernel answers NETLINK_XFRM here: then it has a socket of its own for that in each
 * network namespace, with port 0. To ask by opening one would load the module xfrm_user. That is
 * risked, as by anybody who opens one, where there are too many sockets to look at.
 */
static bool is_xfrm_served(void) {
    FILE *file = fopen(SOCKETS_FILE, "re");
    bool served = false;
    unsigned left = SOCKETS_MAX;
    char line[256];

    if (!file)
        return true;
    while (!served && left && fgets(line, sizeof(line), file)) {
        unsigned protocol, port;

        left--;
        served = sscanf(line, "%*s %u %u", &protocol, &port) == 2 && protocol == NETLINK_XFRM &&
                 port == 0;
    }
    fclose(file);
    return served || !left;
}

static int parse_states(const struct nlmsghdr *message, void *context) {
    const struct nlattr *attribute;
    __u32 *number = context;

    if (message->nlmsg_type != XFRM_MSG_NEWSADINFO)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(__u32)) { /* flags come first */
        if (mnl_attr_get_type(attribute) == XFRMA_SAD_CNT &&
            mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            *number = mnl_attr_get_u32(attribute);
    }
    return MNL_CB_STOP;
}

bool netlink_has_ipsec(void) {
    char buffer[REQUEST_BUFFER_SIZE];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    __u32 number = 1; /* unless the kernel says otherwise */
    int error = -EPROTONOSUPPORT;

    request->nlmsg_type = XFRM_MSG_GETSADINFO;
    *(__u32 *)mnl_nlmsg_put_extra_header(request, sizeof(__u32)) = 0; /* flags */
    if (is_xfrm_served())
        error = netlink_request(NETLINK_XFRM, request, 0, parse_states, &number);
    return error == -EPROTONOSUPPORT ? access(PFKEY_FILE, F_OK) == 0 : number > 0;
}
