/* SPDX-License-Identifier: MIT */
/*
 * Which interfaces are counted if none is named, and why others are left out: each packet of this
 * host is to be counted where it enters and leaves the host. Pure: the same answer for the same
 * arguments.
 */
#ifndef PB_DEFAULT_RULE_H
#define PB_DEFAULT_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "links.h"

/* Of several that apply, the first. */
enum default_rule_reason {
    NOT_LEFT_OUT,
    OUT_LOOPBACK,
    OUT_AGGREGATED,  /* of a bond, team, failover or netvsc device, which has all its packets */
    OUT_DSA_CONDUIT, /* the ports of the switch have all its packets */
    OUT_XEN_BACKEND, /* leads to a guest: ingress is the guest's egress */
    OUT_REPRESENTOR, /* the same, for a function of an SR-IOV card */
    OUT_IFB,         /* another interface's ingress, as egress */
    OUT_VRF,         /* its ports have all its packets, and it has no ingress hook */
    OUT_MONITOR,     /* copies */
    OUT_CAN,         /* no network packets */
    OUT_PORT,        /* of a bridge or Open vSwitch, and not where packets enter the host */
    OUT_CONTAINER,   /* a veth or netkit end on a host with a card, so the host's end of a pair */
    DEFAULT_RULE_REASONS
};

#define DEFAULT_ROUTE_MAX 8 /* interfaces of one route that are remembered */

/* What is remembered from one look at the links to the next. All 0 at the start. */
struct default_rule {
    bool card_seen; /* there was a card once: this is a host, or a container that was given one */
    int default_route[2][DEFAULT_ROUTE_MAX]; /* IPv4, IPv6: where it led when there was one */
};

/*
 * Marks the links, which are sorted: `wanted`, or why they are left out. Returns whether that
 * depends on the default route: a veth or netkit end that has it is not OUT_CONTAINER. If it does,
 * rule->default_route should be up to date; it may be marked again then.
 */
bool default_rule_mark(struct default_rule *rule, struct links *links);

/*
 * What of the links that are up is left out, a group with some names for each reason, as text for
 * the log, terminated; as many groups as `size` has room for. Empty: nothing is left out.
 */
void default_rule_describe(const struct links *links, char *text, size_t size);

#endif
