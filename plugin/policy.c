/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <net/ethernet.h>
#include <net/if_arp.h>
#include <stdio.h>

#include "clock.h"
#include "slots.h"
#include "snapshot.h"

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823 /* linux/if_arp.h, which <net/if_arp.h> excludes */
#endif

/* Linux's default, Documentation/networking/ip-sysctl.rst. */
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST  60999

__u32 policy_dynamic_slots(const struct settings *settings) {
    return settings->dynamic_ports ? settings->max_ports : 0;
}

__u32 policy_reserved_slots(const struct settings *settings) {
    return settings->ports_number + (settings->listening_ports ? settings->max_ports : 0);
}

bool policy_wants(const struct settings *settings, const struct netlink_link *link) {
    if (selection_is_empty(settings->interfaces))
        return !(link->flags & IFF_LOOPBACK) && !link->enslaved;
    return selection_wants(settings->interfaces, link->name);
}

const struct netlink_link *policy_find_wanted(const struct settings *settings,
                                              const struct links *links, int index) {
    const struct netlink_link *link = links_find(links, index);

    return link && policy_wants(settings, link) ? link : NULL;
}

__u32 policy_l2_len(unsigned short type) {
    switch (type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return ETHER_HDR_LEN;
    case ARPHRD_IPGRE: /* the outer header, if any, and not in both directions */
    case ARPHRD_IP6GRE:
        return PB_L2_UNKNOWN;
    default: /* tun, WireGuard, PPP, the other tunnels */
        return 0;
    }
}

struct classifier_settings policy_classifier(const struct settings *settings, __u32 lanes) {
    static const struct {
        enum pb_port ingress, egress;
    } ports[] = {
        [COUNT_LOCAL] = {PB_PORT_DESTINATION, PB_PORT_SOURCE},
        [COUNT_REMOTE] = {PB_PORT_SOURCE, PB_PORT_DESTINATION},
        [COUNT_DESTINATION] = {PB_PORT_DESTINATION, PB_PORT_DESTINATION},
        [COUNT_SOURCE] = {PB_PORT_SOURCE, PB_PORT_SOURCE},
        [COUNT_LOWER] = {PB_PORT_LOWER, PB_PORT_LOWER},
    };

    return (struct classifier_settings){
        .ingress_port = ports[settings->count_by].ingress,
        .egress_port = ports[settings->count_by].egress,
        .ingress = settings->ingress,
        .egress = settings->egress,
        .slots = slots_total(policy_dynamic_slots(settings), policy_reserved_slots(settings)),
        .lanes = lanes,
    };
}

__u64 policy_memory_max(__u64 machine) {
    return machine / 32;
}

struct ledger_policy policy_ledger(const struct settings *settings) {
    return (struct ledger_policy){.min_bytes = settings->min_bytes,
                                  .max_series = settings->max_ports,
                                  .top = settings->top_ports,
                                  .idle_timeout = settings->idle_timeout * SECOND};
}

bool policy_uses_local_range(const struct settings *settings) {
    return settings->fold_ephemeral &&
           (settings->count_by == COUNT_LOCAL || settings->count_by == COUNT_LOWER);
}

struct port_range policy_ephemeral(const struct settings *settings, const char *local_port_range) {
    struct port_range range;

    if (!settings->fold_ephemeral)
        return (struct port_range){1, 0};
    /* The far end's range is unknown: RFC 6335's and Linux's, together. */
    if (!policy_uses_local_range(settings))
        return (struct port_range){EPHEMERAL_FIRST, PB_PORTS - 1};
    if (local_port_range && sscanf(local_port_range, "%u %u", &range.first, &range.last) == 2 &&
        range.last < PB_PORTS)
        return range;
    return (struct port_range){EPHEMERAL_FIRST, EPHEMERAL_LAST};
}

/* ---- what outlives the daemon ---- */

/* To be changed with the meaning of anything saved that its size does not tell. */
#define LAYOUT 2

size_t policy_slots_state_size(const struct settings *settings) {
    return snapshot_size(
        slots_saved_size(policy_dynamic_slots(settings), policy_reserved_slots(settings)));
}

size_t policy_tally_size(const struct settings *settings) {
    return tally_saved_size(policy_dynamic_slots(settings), policy_reserved_slots(settings));
}

size_t policy_state_size(const struct settings *settings) {
    struct ledger_policy ledger = policy_ledger(settings);

    return snapshot_size(policy_tally_size(settings) +
                         ledger_saved_size(&ledger, settings->ports_number));
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
#define HASH_BEGIN 0xcbf29ce484222325ull

static __u64 hash_byte(__u64 before, unsigned char byte) {
    return (before ^ byte) * 0x100000001b3;
}

static __u64 hash_number(__u64 before, __u64 number, unsigned bytes) {
    for (; bytes; bytes--, number >>= 8)
        before = hash_byte(before, number & 0xff);
    return before;
}

__u64 policy_fingerprint(const struct settings *settings,
                         const struct classifier_settings *classifier) {
    const __u64 facts[] = {LAYOUT,
                           policy_state_size(settings),
                           policy_slots_state_size(settings),
                           policy_tally_size(settings),
                           sizeof(struct pb_shared),
                           PB_FIXED_SLOTS,
                           policy_dynamic_slots(settings),
                           policy_reserved_slots(settings),
                           classifier->slots,
                           classifier->lanes,
                           classifier->ingress_port,
                           classifier->egress_port,
                           classifier->ingress,
                           classifier->egress};
    __u64 hash = HASH_BEGIN;

    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        hash = hash_number(hash, facts[i], sizeof(facts[i]));
    for (__u32 i = 0; i < settings->ports_number; i++)
        hash = hash_number(hash, settings->ports[i], sizeof(settings->ports[i]));
    return hash;
}

__u64 policy_fingerprint_interface(__u64 fingerprint, __u32 maps, __u32 l2_len, const char *name) {
    fingerprint = hash_number(fingerprint, maps, sizeof(maps));
    fingerprint = hash_number(fingerprint, l2_len, sizeof(l2_len));
    for (const char *byte = name; *byte; byte++)
        fingerprint = hash_byte(fingerprint, *byte);
    return fingerprint;
}
