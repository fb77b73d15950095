/* SPDX-License-Identifier: MIT */
#include "default_rule.h"

#include <linux/if_arp.h> /* has types that <net/if_arp.h> lacks */
#include <stdio.h>
#include <string.h>

static bool is(const char *kind, const char *other) {
    return !strcmp(kind, other);
}

/* ---- the rule ---- */

/* The master of an Azure or virtio failover pair is no rtnl_link_ops' device: it has no kind. */
static bool is_aggregated(const struct netlink_link *link) {
    return link->flags & IFF_SLAVE || is(link->master_kind, "bond") ||
           is(link->master_kind, "team") || (link->master && !link->master_kind[0]);
}

/* Where packets enter the host. A failover or netvsc device is a card, too. */
static bool is_uplink(const struct netlink_link *link) {
    return link->card || is(link->kind, "bond") || is(link->kind, "team");
}

static bool is_switch_port(const struct netlink_link *link) {
    return is(link->master_kind, "bridge") || is(link->master_kind, "openvswitch");
}

static bool is_monitor(const struct netlink_link *link) {
    switch (link->type) {
    case ARPHRD_NETLINK: /* nlmon */
    case ARPHRD_VSOCKMON:
    case ARPHRD_IEEE80211: /* monitor mode of Wi-Fi, bare or with a header of one of two kinds */
    case ARPHRD_IEEE80211_PRISM:
    case ARPHRD_IEEE80211_RADIOTAP:
    case ARPHRD_IEEE802154_MONITOR:
        return true;
    }
    return false;
}

static bool is_pair_end(const struct netlink_link *link) {
    return is(link->kind, "veth") || is(link->kind, "netkit");
}

static bool has_default_route(const struct default_rule *rule, int index) {
    for (unsigned family = 0; family < 2; family++)
        for (unsigned n = 0; n < DEFAULT_ROUTE_MAX; n++)
            if (rule->default_route[family][n] == index)
                return true;
    return false;
}

/* The reason that a link has in itself, or by its master. */
static enum default_rule_reason find_reason(const struct default_rule *rule,
                                            const struct netlink_link *link, bool conduit) {
    if (link->flags & IFF_LOOPBACK)
        return OUT_LOOPBACK;
    if (is_aggregated(link))
        return OUT_AGGREGATED;
    if (conduit)
        return OUT_DSA_CONDUIT;
    if (link->xen_backend)
        return OUT_XEN_BACKEND;
    if (link->representor)
        return OUT_REPRESENTOR;
    if (is(link->kind, "ifb"))
        return OUT_IFB;
    if (is(link->kind, "vrf"))
        return OUT_VRF;
    if (is_monitor(link))
        return OUT_MONITOR;
    if (link->type == ARPHRD_CAN)
        return OUT_CAN;
    if (is_switch_port(link) && !is_uplink(link))
        return OUT_PORT;
    if (is_pair_end(link) && rule->card_seen && !has_default_route(rule, link->index))
        return OUT_CONTAINER;
    return NOT_LEFT_OUT;
}

/*
 * Ports of a DSA switch are cards whose packets go by the conduit: dsa_user_get_iflink() in
 * net/dsa/user.c. Their kind is "dsa" from Linux 6.1 on, before that they have none.
 */
static void mark_conduit(struct links *links, const struct netlink_link *port) {
    struct netlink_link *conduit;

    if (!port->card || !port->below || (port->kind[0] && !is(port->kind, "dsa")))
        return;
    conduit = links_find(links, port->below);
    if (conduit)
        conduit->left_out = OUT_DSA_CONDUIT;
}

bool default_rule_mark(struct default_rule *rule, struct links *links) {
    bool by_route = false;

    for (unsigned n = 0; n < links->number; n++)
        rule->card_seen |= links->link[n].card;
    for (unsigned n = 0; n < links->number; n++)
        mark_conduit(links, &links->link[n]);
    for (unsigned n = 0; n < links->number; n++) {
        struct netlink_link *link = &links->link[n];
        bool conduit = link->left_out == OUT_DSA_CONDUIT;

        link->left_out = find_reason(rule, link, conduit);
        link->wanted = link->left_out == NOT_LEFT_OUT;
        by_route |= rule->card_seen && link->flags & IFF_UP && is_pair_end(link) &&
                    (link->wanted || link->left_out == OUT_CONTAINER);
    }
    return by_route;
}

/* ---- in words ---- */

/* Fits one name and several. */
static const char *const phrases[DEFAULT_RULE_REASONS] = {
    [OUT_LOOPBACK] = "loopback",
    [OUT_AGGREGATED] = "in a bond, team or failover device",
    [OUT_DSA_CONDUIT] = "below the ports of a DSA switch",
    [OUT_XEN_BACKEND] = "to a Xen guest",
    [OUT_REPRESENTOR] = "SR-IOV representor",
    [OUT_IFB] = "ifb: redirected packets",
    [OUT_VRF] = "VRF: its ports are counted",
    [OUT_MONITOR] = "monitor",
    [OUT_CAN] = "CAN",
    [OUT_PORT] = "in a bridge",
    [OUT_CONTAINER] = "to a container",
};

#define NAMES_MAX  3 /* of a group */
#define GROUP_SIZE 160

/* "eth0, eth1, eth2 and 5 more (REASON)"; false: there is none. */
static bool describe_group(const struct links *links, enum default_rule_reason reason,
                           char group[GROUP_SIZE]) {
    unsigned number = 0;
    int length = 0;

    for (unsigned n = 0; n < links->number; n++) {
        const struct netlink_link *link = &links->link[n];

        if (link->left_out == reason && link->flags & IFF_UP && number++ < NAMES_MAX)
            length += snprintf(group + length, GROUP_SIZE - length, "%s%s", length ? ", " : "",
                               link->name);
    }
    if (number > NAMES_MAX)
        length += snprintf(group + length, GROUP_SIZE - length, " and %u more", number - NAMES_MAX);
    snprintf(group + length, GROUP_SIZE - length, " (%s)", phrases[reason]);
    return number;
}

void default_rule_describe(const struct links *links, char *text, size_t size) {
    size_t length = 0;

    text[0] = 0;
    for (enum default_rule_reason reason = 1; reason < DEFAULT_RULE_REASONS; reason++) {
        char group[GROUP_SIZE];
        size_t needed;

        if (!describe_group(links, reason, group))
            continue;
        needed = strlen(group) + (length ? 2 : 0);
        if (needed >= size - length)
            continue;
        length += snprintf(text + length, size - length, "%s%s", length ? "; " : "", group);
    }
}
