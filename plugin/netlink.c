/* SPDX-License-Identifier: MIT */
#include "netlink_private.h"

#include <linux/inet_diag.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tc_portbytes.h"

/*
 * Room for any datagram of a dump. netlink_recvmsg() in the kernel's net/netlink/af_netlink.c makes
 * them of 32 KB, but one that a single message exceeds is as long as that: a link's alternative
 * names alone take up to 64 KB, the most of an attribute, and rtnl_calcit() in
 * net/core/rtnetlink.c has all links' datagrams as long as the longest needs. Of it only what is
 * written to takes memory.
 */
#define DUMP_BUFFER_SIZE (256 * 1024)

/* NLMSG_ERROR may have set errno to any number. MAX_ERRNO of include/linux/err.h is 4095. */
static int negative_errno(void) {
    return errno > 0 && errno < 4096 ? -errno : -EPROTO;
}

int netlink_request(int family, struct nlmsghdr *request, unsigned flags, mnl_cb_t callback,
                    void *context) {
    struct mnl_socket *socket = mnl_socket_open2(family, SOCK_CLOEXEC);
    char *buffer = malloc(DUMP_BUFFER_SIZE);
    int result = -ENOMEM;

    if (!socket) {
        result = -errno;
        goto out;
    }
    if (!buffer)
        goto out;
    request->nlmsg_flags = NLM_F_REQUEST | flags;
    request->nlmsg_seq = 1;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
        result = -errno;
        goto out;
    }
    do {
        ssize_t length = mnl_socket_recvfrom(socket, buffer, DUMP_BUFFER_SIZE);

        result = length < 0 ? -1
                            : mnl_cb_run(buffer, length, request->nlmsg_seq,
                                         mnl_socket_get_portid(socket), callback, context);
        if (result < 0)
            result = negative_errno();
    } while (result > MNL_CB_STOP);
out:
    free(buffer);
    if (socket)
        mnl_socket_close(socket);
    return result;
}

/* ---- listening sockets ---- */

static bool is_loopback(int family, const __be32 *address) {
    if (family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address))
        return !memcmp(address, &in6addr_loopback, sizeof(in6addr_loopback));
    return (ntohl(address[family == AF_INET6 ? 3 : 0]) >> 24) == IN_LOOPBACKNET;
}

/* The context of parse_socket. */
struct listeners {
    struct list list;
    enum pb_transport transport;
    int state;
};

static int parse_socket(const struct nlmsghdr *message, void *context) {
    const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
    struct listeners *listeners = context;
    struct netlink_listener listener = {0};

    /* sctp_diag's answer may have other states than those asked for. */
    if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket) || !socket->id.idiag_sport ||
        socket->idiag_state != listeners->state)
        return MNL_CB_OK;
    listener.key = PB_KEY(listeners->transport, ntohs(socket->id.idiag_sport));
    listener.loopback = is_loopback(socket->idiag_family, socket->id.idiag_src);
    listener.kernel = socket->idiag_inode == 0;
    return append(&listeners->list, &listener, sizeof(listener));
}

static int dump_listeners(struct listeners *listeners, int family, int protocol) {
    char buffer[REQUEST_BUFFER_SIZE];
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct inet_diag_req_v2 *diag = mnl_nlmsg_put_extra_header(request, sizeof(*diag));

    request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    diag->sdiag_family = family;
    diag->sdiag_protocol = protocol;
    diag->idiag_states = 1u << listeners->state;
    return dump(NETLINK_SOCK_DIAG, request, parse_socket, listeners);
}

/* Asking for sockets of SCTP loads its module, see inet_diag_lock_handler() of the kernel. */
static bool has_sctp(void) {
    return access("/proc/net/sctp", F_OK) == 0;
}

int netlink_listeners(struct netlink_listener **out, unsigned *number) {
    static const struct {
        enum pb_transport transport;
        int family, protocol, state;
    } dumps[] = {
        {PB_TCP, AF_INET, IPPROTO_TCP, TCP_LISTEN},
        {PB_TCP, AF_INET6, IPPROTO_TCP, TCP_LISTEN},
        {PB_UDP, AF_INET, IPPROTO_UDP, TCP_CLOSE}, /* bound, not connected */
        {PB_UDP, AF_INET6, IPPROTO_UDP, TCP_CLOSE},
        {PB_SCTP, AF_INET, IPPROTO_SCTP, TCP_LISTEN}, /* SCTP_SS_LISTENING is the same */
        {PB_SCTP, AF_INET6, IPPROTO_SCTP, TCP_LISTEN},
    };
    struct listeners listeners = {0};

    for (unsigned i = 0; i < sizeof(dumps) / sizeof(*dumps); i++) {
        int error;

        if (dumps[i].transport == PB_SCTP && !has_sctp())
            continue;
        listeners.transport = dumps[i].transport;
        listeners.state = dumps[i].state;
        error = dump_listeners(&listeners, dumps[i].family, dumps[i].protocol);
        if (error == -ENOENT && dumps[i].transport == PB_SCTP)
            continue; /* without sctp_diag the others are still of use */
        if (error < 0) {
            free(listeners.list.elements);
            return error;
        }
    }
    *out = listeners.list.elements;
    *number = listeners.list.number;
    return 0;
}

/* ---- clsact ---- */

/* By direction: ingress, egress. */
static const __u32 parents[] = {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                                TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};

static struct nlmsghdr *tc_request(char buffer[REQUEST_BUFFER_SIZE], int type, int interface,
                                   __u32 parent) {
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct tcmsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));

    request->nlmsg_type = type;
    info->tcm_family = AF_UNSPEC;
    info->tcm_ifindex = interface;
    info->tcm_parent = parent;
    return request;
}

/* The kernel's limit is IFNAMSIZ as well: struct Qdisc_ops in include/net/sch_generic.h. */
static int parse_qdisc(const struct nlmsghdr *message, void *context) {
    const struct nlattr *attribute;
    char *kind = context;

    if (message->nlmsg_type != RTM_NEWQDISC ||
        mnl_nlmsg_get_payload_len(message) < sizeof(struct tcmsg))
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(struct tcmsg)) {
        if (mnl_attr_get_type(attribute) == TCA_KIND &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
            snprintf(kind, IFNAMSIZ, "%s", mnl_attr_get_str(attribute));
    }
    return MNL_CB_OK;
}

int netlink_ingress_qdisc(int interface, char kind[IFNAMSIZ]) {
    char buffer[REQUEST_BUFFER_SIZE], found[IFNAMSIZ] = "";
    int error;

    /* TC_H_CLSACT is the same number. Without NLM_F_ECHO the reply goes to multicast groups only.
     */
    error =
        netlink_request(NETLINK_ROUTE, tc_request(buffer, RTM_GETQDISC, interface, TC_H_INGRESS),
                        NLM_F_ACK | NLM_F_ECHO, parse_qdisc, found);
    /* tc_get_qdisc() says -ENOENT as long as there never was one; then -EINVAL, or no kind. */
    if (error < 0 && error != -ENOENT && error != -EINVAL)
        return error;
    strcpy(kind, found);
    return 0;
}

/* The options of a filter of kind "bpf". */
static void parse_bpf_options(struct netlink_filter *filter, const struct nlattr *options) {
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, options) {
        switch (mnl_attr_get_type(attribute)) {
        case TCA_BPF_ID:
            if (mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
                filter->program = mnl_attr_get_u32(attribute);
            break;
        case TCA_BPF_NAME:
            if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
                snprintf(filter->name, sizeof(filter->name), "%s", mnl_attr_get_str(attribute));
            break;
        }
    }
}

static int parse_filter(const struct nlmsghdr *message, void *context) {
    const struct tcmsg *info = mnl_nlmsg_get_payload(message);
    struct netlink_filter filter = {0};
    const struct nlattr *attribute, *kind = NULL, *options = NULL;

    if (message->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return MNL_CB_OK;
    /* Before the filters of a priority comes a message for the priority, without a handle. */
    if (!info->tcm_handle)
        return MNL_CB_OK;
    filter.priority = TC_H_MAJ(info->tcm_info) >> 16;
    filter.handle = info->tcm_handle;
    mnl_attr_for_each(attribute, message, sizeof(*info)) {
        if (mnl_attr_get_type(attribute) == TCA_KIND)
            kind = attribute;
        else if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
            options = attribute;
    }
    if (kind && options && mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) >= 0 &&
        !strcmp(mnl_attr_get_str(kind), "bpf"))
        parse_bpf_options(&filter, options);
    return append(context, &filter, sizeof(filter));
}

int netlink_filters(int interface, bool egress, struct netlink_filter **filters, unsigned *number) {
    struct list list = {0};
    char buffer[REQUEST_BUFFER_SIZE];
    struct nlmsghdr *request = tc_request(buffer, RTM_GETTFILTER, interface, parents[egress]);
    int error;

    mnl_attr_put_u32(request, TCA_CHAIN, 0);
    error = dump(NETLINK_ROUTE, request, parse_filter, &list);
    if (error < 0) {
        free(list.elements);
        return error;
    }
    *filters = list.elements;
    *number = list.number;
    return 0;
}
