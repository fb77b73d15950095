/* SPDX-License-Identifier: MIT */
/* Links. Their attributes: rtnl_fill_ifinfo() in the kernel's net/core/rtnetlink.c. */
#include "netlink_private.h"

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct netlink {
    struct mnl_socket *events; /* notifications of the group RTNLGRP_LINK */
    bool sysfs;                /* parents of links are told by sysfs only */
};

/* IFLA_PARENT_DEV_NAME came with Linux 5.14. By the release, since most links have no parent. */
static bool needs_sysfs(void) {
    struct utsname kernel;
    unsigned major, minor;

    return !uname(&kernel) && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
           (major < 5 || (major == 5 && minor < 14));
}

int netlink_open(struct netlink **out) {
    struct netlink *netlink = calloc(1, sizeof(*netlink));
    int error;

    if (!netlink)
        return -ENOMEM;
    netlink->sysfs = needs_sysfs();
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

/* ---- one link ---- */

/* The bus of devices by which Xen's backends serve their guests' network devices. */
#define XEN_BACKEND "xen-backend" /* drivers/xen/xenbus/xenbus_probe_backend.c */

/* What the attributes of a link say beside what struct netlink_link has. */
struct parsed {
    struct netlink_link link;
    bool parent;        /* it has a device on some bus */
    bool foreign_below; /* what is below is in another network namespace */
    bool tun_type;      /* link.l3 was told */
};

/* Terminated and truncated; unchanged if the attribute is no string. */
static void copy_text(char *to, size_t size, const struct nlattr *attribute) {
    if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        snprintf(to, size, "%s", mnl_attr_get_str(attribute));
}

static int get_index(const struct nlattr *attribute) {
    return mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0 ? (int)mnl_attr_get_u32(attribute) : 0;
}

static bool is_text(const struct nlattr *attribute, const char *text) {
    return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0 &&
           !strcmp(mnl_attr_get_str(attribute), text);
}

/* Whether the text begins with `letters` and a digit. */
static bool is_numbered(const char *text, const char *letters) {
    size_t length = strlen(letters);

    return !strncmp(text, letters, length) && text[length] >= '0' && text[length] <= '9';
}

/*
 * "pf0", "pf0vf1", "c1pf0sf88" by __devlink_port_phys_port_name_get() in net/devlink/port.c;
 * "p0pf0vf1" by drivers/net/ethernet/sfc/ef100_rep.c. A card's own ports are "p0" and "p0s1".
 */
static bool is_representor(const struct nlattr *attribute) {
    const char *name;

    if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0)
        return false;
    name = mnl_attr_get_str(attribute);
    if (is_numbered(name, "c") || is_numbered(name, "p"))
        name += 1 + strspn(name + 1, "0123456789");
    return is_numbered(name, "pf");
}

/* IFLA_INFO_DATA, whose attributes have a meaning for each kind. */
static void parse_data(struct parsed *parsed, const struct nlattr *data) {
    const struct nlattr *attribute;

    if (strcmp(parsed->link.kind, "tun") != 0)
        return;
    mnl_attr_for_each_nested(attribute, data) {
        if (mnl_attr_get_type(attribute) == IFLA_TUN_TYPE &&
            mnl_attr_validate(attribute, MNL_TYPE_U8) >= 0) {
            parsed->link.l3 = mnl_attr_get_u8(attribute) == IFF_TUN;
            parsed->tun_type = true;
        }
    }
}

static void parse_linkinfo(struct parsed *parsed, const struct nlattr *linkinfo) {
    struct netlink_link *link = &parsed->link;
    const struct nlattr *attribute, *data = NULL;

    mnl_attr_for_each_nested(attribute, linkinfo) {
        switch (mnl_attr_get_type(attribute)) {
        case IFLA_INFO_KIND:
            copy_text(link->kind, sizeof(link->kind), attribute);
            break;
        case IFLA_INFO_SLAVE_KIND:
            copy_text(link->master_kind, sizeof(link->master_kind), attribute);
            break;
        case IFLA_INFO_DATA:
            data = attribute;
            break;
        }
    }
    if (data)
        parse_data(parsed, data);
}

/* Returns MNL_CB_OK, or MNL_CB_ERROR and sets errno. */
static int parse_altnames(struct netlink_link *link, const struct nlattr *list) {
    const struct nlattr *attribute;
    char *names, *end;

    if (link->altnames)
        return MNL_CB_OK;
    /* Each has a header in the list, so they fit; then the empty one. */
    names = end = malloc(mnl_attr_get_payload_len(list) + 1);
    if (!names) {
        errno = ENOMEM;
        return MNL_CB_ERROR;
    }
    mnl_attr_for_each_nested(attribute, list) {
        if (mnl_attr_get_type(attribute) == IFLA_ALT_IFNAME &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0 && *mnl_attr_get_str(attribute))
            end = stpcpy(end, mnl_attr_get_str(attribute)) + 1;
    }
    *end = 0;
    if (end > names)
        link->altnames = names;
    else
        free(names);
    return MNL_CB_OK;
}

static int parse_attribute(const struct nlattr *attribute, void *context) {
    struct parsed *parsed = context;
    struct netlink_link *link = &parsed->link;

    switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
        if (mnl_attr_get_payload_len(attribute) <= sizeof(link->name))
            copy_text(link->name, sizeof(link->name), attribute);
        break;
    case IFLA_MASTER:
        link->master = get_index(attribute);
        break;
    case IFLA_LINK:
        link->below = get_index(attribute);
        break;
    case IFLA_LINK_NETNSID:
        parsed->foreign_below = true;
        break;
    case IFLA_PARENT_DEV_NAME:
        parsed->parent = true;
        break;
    case IFLA_PARENT_DEV_BUS_NAME:
        link->xen_backend = is_text(attribute, XEN_BACKEND);
        break;
    case IFLA_PHYS_PORT_NAME:
        link->representor = is_representor(attribute);
        break;
    case IFLA_LINKINFO:
        parse_linkinfo(parsed, attribute);
        break;
    case IFLA_PROP_LIST:
        return parse_altnames(link, attribute);
    }
    return MNL_CB_OK;
}

static void ask_sysfs(struct parsed *parsed) {
    char path[64 + IFNAMSIZ], bus[256] = "";

    snprintf(path, sizeof(path), "/sys/class/net/%s/device", parsed->link.name);
    parsed->parent = !access(path, F_OK);
    if (!parsed->parent)
        return;
    snprintf(path, sizeof(path), "/sys/class/net/%s/device/subsystem", parsed->link.name);
    if (readlink(path, bus, sizeof(bus) - 1) > 0) /* it writes no end */
        parsed->link.xen_backend = strstr(bus, "/" XEN_BACKEND) != NULL;
}

/* ---- all links ---- */

/* The context of parse_link. */
struct found_links {
    struct list list;
    bool sysfs;
};

static int parse_link(const struct nlmsghdr *message, void *context) {
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct found_links *found = context;
    struct parsed parsed = {0};
    struct netlink_link *link = &parsed.link;
    int result;

    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return MNL_CB_OK;
    link->index = info->ifi_index;
    link->flags = info->ifi_flags;
    link->type = info->ifi_type;
    result = mnl_attr_parse(message, sizeof(*info), parse_attribute, &parsed);
    if (result == MNL_CB_OK && link->name[0]) {
        if (found->sysfs)
            ask_sysfs(&parsed);
        if (!parsed.tun_type)
            link->l3 = !strcmp(link->kind, "tun") && link->type != ARPHRD_ETHER;
        if (parsed.foreign_below || link->below == link->index)
            link->below = 0;
        link->card = parsed.parent && !link->xen_backend && !link->representor;
        result = append(&found->list, link, sizeof(*link));
        if (result == MNL_CB_OK)
            return result;
    }
    free(link->altnames);
    return result;
}

/* Lost (ENOBUFS) and truncated (ENOSPC) notifications do no harm: a dump follows. */
static void drain_events(struct netlink *netlink) {
    char buffer[8192];

    while (mnl_socket_recvfrom(netlink->events, buffer, sizeof(buffer)) > 0 || errno == ENOBUFS ||
           errno == ENOSPC || errno == EINTR)
        ;
}

/* While links change, a dump is interrupted (EINTR, by NLM_F_DUMP_INTR) and has to be repeated. */
#define DUMP_ATTEMPTS          100
#define ATTEMPTS_WITHOUT_DELAY 3

int netlink_links(struct netlink *netlink, struct netlink_link **out, unsigned *number) {
    const struct timespec delay = {.tv_nsec = 10000000};
    char buffer[REQUEST_BUFFER_SIZE];
    int error;

    for (int attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
        struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
        struct ifinfomsg *info = mnl_nlmsg_put_extra_header(request, sizeof(*info));
        struct found_links found = {.sysfs = netlink->sysfs};

        if (attempt >= ATTEMPTS_WITHOUT_DELAY)
            nanosleep(&delay, NULL);
        drain_events(netlink);
        request->nlmsg_type = RTM_GETLINK;
        info->ifi_family = AF_UNSPEC;
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        error = dump(NETLINK_ROUTE, request, parse_link, &found);
        if (error >= 0) {
            *out = found.list.elements;
            *number = found.list.number;
            return 0;
        }
        netlink_links_free(found.list.elements, found.list.number);
        if (error != -EINTR)
            return error;
    }
    return error;
}
