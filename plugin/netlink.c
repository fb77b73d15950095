/* SPDX-License-Identifier: MIT */
#include "netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"
#include "tc_portbytes.h"

struct netlink {
    struct mnl_socket *events;
};

/* A dump is read in messages of at most this (NLMSG_GOODSIZE and more, see netlink(7)). */
#define BUFFER 32768

int netlink_open(struct netlink **out) {
    struct netlink *netlink = calloc(1, sizeof(*netlink));
    int error;

    if (!netlink)
        return -ENOMEM;
    netlink->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!netlink->events || mnl_socket_bind(netlink->events, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
        error = -errno;
        netlink_close(netlink);
        return error;
    }
    *out = netlink;
    return 0;
}

void netlink_close(struct netlink *netlink) {
    if (netlink && netlink->events)
        mnl_socket_close(netlink->events);
    free(netlink);
}

int netlink_fd(const struct netlink *netlink) {
    return mnl_socket_get_fd(netlink->events);
}

/* errno may be what a message claimed; an error is less than 4096 (include/linux/err.h). */
static int failure(void) {
    return errno > 0 && errno < 4096 ? -errno : -EPROTO;
}

/* Sends a dump request on a socket of its own and hands each message to `each`. */
static int dump(int family, struct nlmsghdr *request, mnl_cb_t each, void *context) {
    struct mnl_socket *socket = mnl_socket_open2(family, SOCK_CLOEXEC);
    char *buffer = malloc(BUFFER);
    int result = -ENOMEM;

    if (!socket) {
        result = -errno;
        goto out;
    }
    if (!buffer)
        goto out;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request->nlmsg_seq = 1;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
        result = -errno;
        goto out;
    }
    do {
        ssize_t length = mnl_socket_recvfrom(socket, buffer, BUFFER);

        result = length < 0
                     ? -1
                     : mnl_cb_run(buffer, length, 1, mnl_socket_get_portid(socket), each, context);
        if (result < 0)
            result = failure();
    } while (result > MNL_CB_STOP);
out:
    free(buffer);
    if (socket)
        mnl_socket_close(socket);
    return result;
}

/* What a dump collects. */
struct list {
    void *elements;
    unsigned number, capacity;
};

/* As a netlink callback answers. */
static int append(struct list *list, const void *element, size_t size) {
    void *elements = array_grow(list->elements, list->number, &list->capacity, size);

    if (!elements) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    list->elements = elements;
    memcpy((char *)elements + list->number++ * size, element, size);
    return MNL_CB_OK;
}

static bool shows_its_slaves(const struct nlattr *linkinfo) {
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, linkinfo) {
        if (mnl_attr_get_type(attribute) == IFLA_INFO_SLAVE_KIND &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
            const char *kind = mnl_attr_get_str(attribute);

            return !strcmp(kind, "bridge") || !strcmp(kind, "bond") || !strcmp(kind, "team");
        }
    }
    return false;
}

static int on_link(const struct nlmsghdr *message, void *context) {
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct netlink_link link = {0};
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return MNL_CB_OK;
    link.index = info->ifi_index;
    link.flags = info->ifi_flags;
    link.type = info->ifi_type;
    mnl_attr_for_each(attribute, message, sizeof(*info)) {
        switch (mnl_attr_get_type(attribute)) {
        case IFLA_IFNAME:
            if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0 &&
                mnl_attr_get_payload_len(attribute) <= sizeof(link.name))
                strcpy(link.name, mnl_attr_get_str(attribute));
            break;
        case IFLA_LINKINFO:
            link.enslaved = shows_its_slaves(attribute);
            break;
        }
    }
    if (!link.name[0])
        return MNL_CB_OK;
    return append(context, &link, sizeof(link));
}

/* An overrun (ENOBUFS) is no loss: the dump that follows tells all. */
static void swallow_events(struct netlink *netlink) {
    char buffer[8192];

    while (mnl_socket_recvfrom(netlink->events, buffer, sizeof(buffer)) > 0 || errno == ENOBUFS ||
           errno == ENOSPC || errno == EINTR)
        ;
}

int netlink_links(struct netlink *netlink, struct netlink_link **out, unsigned *number) {
    char buffer[256];
    int error;

    for (int tries = 0; tries < 100; tries++) {
        const struct timespec pause = {.tv_nsec = 10000000};
        struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
        struct list links = {0};

        if (tries > 2) /* a burst of changes: it will end */
            nanosleep(&pause, NULL);
        swallow_events(netlink);
        request->nlmsg_type = RTM_GETLINK;
        info->ifi_family = AF_UNSPEC;
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        error = dump(NETLINK_ROUTE, request, on_link, &links);
        if (error >= 0) {
            *out = links.elements;
            *number = links.number;
            return 0;
        }
        free(links.elements);
        if (error != -EINTR) /* EINTR: the links changed during the dump */
            return error;
    }
    return error;
}

static bool is_loopback(int family, const __be32 *address) {
    if (family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address))
        return !memcmp(address, &in6addr_loopback, sizeof(in6addr_loopback));
    return (ntohl(address[family == AF_INET6 ? 3 : 0]) >> 24) == IN_LOOPBACKNET;
}

struct listeners {
    struct list list;
    enum pb_transport transport;
};

static int on_socket(const struct nlmsghdr *message, void *context) {
    const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
    struct listeners *listeners = context;
    struct netlink_listener listener = {0};

    if (mnl_nlmsg_get_payload_len(message) < sizeof(*socket) || !socket->id.idiag_sport)
        return MNL_CB_OK;
    listener.key = PB_KEY(listeners->transport, ntohs(socket->id.idiag_sport));
    listener.loopback = is_loopback(socket->idiag_family, socket->id.idiag_src);
    return append(&listeners->list, &listener, sizeof(listener));
}

/* include/net/tcp_states.h: the kernel exports the numbers in sock_diag, but not the names. */
#define STATE_CLOSE  7 /* UDP: bound, not connected */
#define STATE_LISTEN 10

int netlink_listeners(struct netlink_listener **out, unsigned *number) {
    static const struct {
        enum pb_transport transport;
        int protocol, state;
    } kinds[] = {{PB_TCP, IPPROTO_TCP, STATE_LISTEN}, {PB_UDP, IPPROTO_UDP, STATE_CLOSE}};
    static const int families[] = {AF_INET, AF_INET6};
    struct listeners listeners = {0};
    char buffer[256];

    for (unsigned i = 0; i < 4; i++) {
        struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
        struct inet_diag_req_v2 *diag = mnl_nlmsg_put_extra_header(request, sizeof(*diag));
        int error;

        request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
        diag->sdiag_family = families[i % 2];
        diag->sdiag_protocol = kinds[i / 2].protocol;
        diag->idiag_states = 1u << kinds[i / 2].state;
        listeners.transport = kinds[i / 2].transport;
        error = dump(NETLINK_SOCK_DIAG, request, on_socket, &listeners);
        if (error < 0) {
            free(listeners.list.elements);
            return error;
        }
    }
    *out = listeners.list.elements;
    *number = listeners.list.number;
    return 0;
}

static const __u32 parents[] = {TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
                                TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};

static struct nlmsghdr *filter_request(char buffer[256], int interface, __u32 parent) {
    struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
    struct tcmsg *filter = mnl_nlmsg_put_extra_header(request, sizeof(*filter));

    request->nlmsg_type = RTM_GETTFILTER;
    filter->tcm_family = AF_UNSPEC;
    filter->tcm_ifindex = interface;
    filter->tcm_parent = parent;
    return request;
}

static int on_any_filter(const struct nlmsghdr *message, void *context) {
    (void)message;
    *(int *)context = 1;
    return MNL_CB_OK;
}

int netlink_has_filters(int interface) {
    char buffer[256];
    int found = 0;

    for (unsigned i = 0; i < 2 && !found; i++) {
        int error = dump(NETLINK_ROUTE, filter_request(buffer, interface, parents[i]),
                         on_any_filter, &found);

        if (error < 0)
            return error;
    }
    return found;
}

static void read_program(struct netlink_filter *filter, const struct nlattr *options) {
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

static int on_filter(const struct nlmsghdr *message, void *context) {
    const struct tcmsg *info = mnl_nlmsg_get_payload(message);
    struct netlink_filter filter = {.priority = TC_H_MAJ(info->tcm_info) >> 16,
                                    .handle = info->tcm_handle};
    const struct nlattr *attribute, *kind = NULL, *options = NULL;

    /* Each priority comes with a message of its own, without a handle. */
    if (message->nlmsg_type != RTM_NEWTFILTER || !info->tcm_handle)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(*info)) {
        if (mnl_attr_get_type(attribute) == TCA_KIND)
            kind = attribute;
        else if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
            options = attribute;
    }
    /* What the options mean depends on the kind. */
    if (kind && options && mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) >= 0 &&
        !strcmp(mnl_attr_get_str(kind), "bpf"))
        read_program(&filter, options);
    return append(context, &filter, sizeof(filter));
}

int netlink_filters(int interface, bool egress, struct netlink_filter **filters, unsigned *number) {
    struct list list = {0};
    char buffer[256];
    struct nlmsghdr *request = filter_request(buffer, interface, parents[egress]);
    int error;

    mnl_attr_put_u32(request, TCA_CHAIN, 0);
    error = dump(NETLINK_ROUTE, request, on_filter, &list);
    if (error < 0) {
        free(list.elements);
        return error;
    }
    *filters = list.elements;
    *number = list.number;
    return 0;
}
