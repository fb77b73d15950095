/* SPDX-License-Identifier: MIT */
/*
 * Dumps of links and routes as the kernel sends them, for devices that can't be had where tests
 * run: replaces libmnl's sockets. To be included in one file of a program.
 */
#ifndef PB_LINKS_FIXTURE_H
#define PB_LINKS_FIXTURE_H

#include <net/if.h> /* before the kernel's, which then leave out what it has */

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "links.h"
#include "mnl_socket.h"

/*
 * What a test says of a link. The comments name who in the kernel emits the attribute; where no
 * other is named, rtnl_fill_ifinfo() in net/core/rtnetlink.c.
 */
struct spec {
    const char *name; /* IFLA_IFNAME */
    int index;        /* 0: one more than that of the one before */
    unsigned short type;
    unsigned flags;          /* beside IFF_UP */
    const char *kind;        /* IFLA_INFO_KIND: rtnl_link_info_fill(), with rtnl_link_ops only */
    const char *master;      /* IFLA_MASTER: the index of an earlier or later one of this name */
    const char *master_kind; /* IFLA_INFO_SLAVE_KIND: rtnl_link_slave_info_fill(), if the master has
                                rtnl_link_ops */
    const char *below;       /* IFLA_LINK: nla_put_iflink(), by ndo_get_iflink */
    bool foreign;            /* IFLA_LINK_NETNSID: rtnl_fill_link_netnsid() */
    const char *parent;      /* IFLA_PARENT_DEV_NAME: of dev->dev.parent, SET_NETDEV_DEV() */
    const char *bus;         /* IFLA_PARENT_DEV_BUS_NAME */
    const char
        *port; /* IFLA_PHYS_PORT_NAME: rtnl_phys_port_name_fill(), by devlink or the driver */
    int tun;   /* IFLA_TUN_TYPE in IFLA_INFO_DATA: tun_fill_info() in drivers/net/tun.c */
    const char *altnames[3]; /* IFLA_ALT_IFNAME in IFLA_PROP_LIST: rtnl_fill_prop_list() */
};

static char reply[65536];
static size_t reply_size, reply_at;
static unsigned reply_error; /* errno of an NLMSG_ERROR instead */
static struct nlmsghdr last_request;

static struct nlmsghdr *begin_message(unsigned short type) {
    struct nlmsghdr *message = mnl_nlmsg_put_header(reply + reply_size);

    message->nlmsg_type = type;
    message->nlmsg_seq = 1;
    return message;
}

static void end_message(const struct nlmsghdr *message) {
    reply_size += NLMSG_ALIGN(message->nlmsg_len);
    if (reply_size > sizeof(reply) - 4096)
        abort();
}

static int index_of(const struct spec *specs, unsigned number, const char *name) {
    int index = 0;

    for (unsigned n = 0; n < number; n++) {
        index = specs[n].index ? specs[n].index : index + 1;
        if (!strcmp(specs[n].name, name))
            return index;
    }
    abort();
}

/* In the order of rtnl_fill_ifinfo(). */
static void add_link(const struct spec *specs, unsigned number, const struct spec *spec) {
    struct nlmsghdr *message = begin_message(RTM_NEWLINK);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
    struct nlattr *linkinfo, *data, *list;

    message->nlmsg_flags = NLM_F_MULTI;
    info->ifi_index = index_of(specs, number, spec->name);
    info->ifi_type = spec->type ? spec->type : ARPHRD_ETHER;
    info->ifi_flags = IFF_UP | spec->flags;
    mnl_attr_put_strz(message, IFLA_IFNAME, spec->name);
    if (spec->master)
        mnl_attr_put_u32(message, IFLA_MASTER, index_of(specs, number, spec->master));
    if (spec->below)
        mnl_attr_put_u32(message, IFLA_LINK, index_of(specs, number, spec->below));
    if (spec->port)
        mnl_attr_put_strz(message, IFLA_PHYS_PORT_NAME, spec->port);
    if (spec->kind || spec->master_kind) {
        linkinfo = mnl_attr_nest_start(message, IFLA_LINKINFO);
        linkinfo->nla_type &= NLA_TYPE_MASK; /* nla_nest_start_noflag() */
        if (spec->kind)
            mnl_attr_put_strz(message, IFLA_INFO_KIND, spec->kind);
        if (spec->tun) {
            data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
            data->nla_type &= NLA_TYPE_MASK;
            mnl_attr_put_u8(message, IFLA_TUN_TYPE, spec->tun);
            mnl_attr_nest_end(message, data);
        }
        if (spec->master_kind)
            mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, spec->master_kind);
        mnl_attr_nest_end(message, linkinfo);
    }
    if (spec->foreign)
        mnl_attr_put_u32(message, IFLA_LINK_NETNSID, 0);
    if (spec->altnames[0]) {
        list = mnl_attr_nest_start(message, IFLA_PROP_LIST);
        for (unsigned n = 0; n < 3 && spec->altnames[n]; n++)
            mnl_attr_put_strz(message, IFLA_ALT_IFNAME, spec->altnames[n]);
        mnl_attr_nest_end(message, list);
    }
    if (spec->parent)
        mnl_attr_put_strz(message, IFLA_PARENT_DEV_NAME, spec->parent);
    if (spec->parent && spec->bus)
        mnl_attr_put_strz(message, IFLA_PARENT_DEV_BUS_NAME, spec->bus);
    end_message(message);
}

static void begin_reply(void) {
    reply_size = reply_at = reply_error = 0;
    memset(reply, 0, sizeof(reply));
}

static void end_dump(void) {
    struct nlmsghdr *done = begin_message(NLMSG_DONE);

    done->nlmsg_flags = NLM_F_MULTI;
    mnl_nlmsg_put_extra_header(done, sizeof(int));
    end_message(done);
}

/* ---- libmnl's sockets ---- */

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t size) {
    (void)nl;
    memcpy(&last_request, request, sizeof(last_request));
    return (ssize_t)size;
}

/* One message a datagram. */
ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buffer, size_t size) {
    const struct nlmsghdr *message = (const struct nlmsghdr *)(reply + reply_at);

    if (nl->events) {
        errno = EAGAIN;
        return -1;
    }
    if (reply_error) {
        struct {
            struct nlmsghdr header;
            struct nlmsgerr error;
        } answer = {
            .header = {.nlmsg_len = sizeof(answer), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 1},
            .error = {.error = -(int)reply_error}};

        memcpy(buffer, &answer, sizeof(answer));
        return sizeof(answer);
    }
    if (reply_at >= reply_size || message->nlmsg_len > size)
        abort(); /* it would wait for ever */
    reply_at += NLMSG_ALIGN(message->nlmsg_len);
    memcpy(buffer, message, message->nlmsg_len);
    return message->nlmsg_len;
}

int mnl_socket_get_fd(const struct mnl_socket *nl) {
    (void)nl;
    return -1;
}

int mnl_socket_close(struct mnl_socket *nl) {
    free(nl);
    return 0;
}

/* ---- */

/* The links that are read from a dump of these, sorted; the caller frees them. */
static struct links read_links(const struct spec *specs, unsigned number) {
    struct links links = {0};
    struct netlink *netlink;

    begin_reply();
    for (unsigned n = 0; n < number; n++)
        add_link(specs, number, &specs[n]);
    end_dump();
    if (netlink_open(&netlink) || netlink_links(netlink, &links.link, &links.number))
        abort();
    netlink_close(netlink);
    links_sort(&links);
    return links;
}

#endif
