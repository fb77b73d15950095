/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <linux/if_arp.h> /* has types that <net/if_arp.h> lacks */
#include <net/ethernet.h>
#include <string.h>

#include "clock.h"
#include "snapshot.h"

struct slots_layout policy_slots(const struct settings *settings) {
    return (struct slots_layout){
        .dynamic = settings->dynamic_ports ? settings->max_ports : 0,
        .reserved = settings->ports_number + (settings->listening_ports ? settings->max_ports : 0),
        .groups = settings->groups.number,
    };
}

bool policy_mark_wanted(const struct settings *settings, struct default_rule *rule,
                        struct links *links) {
    if (selection_is_empty(settings->interfaces))
        return default_rule_mark(rule, links);
    for (unsigned n = 0; n < links->number; n++) {
        struct netlink_link *link = &links->link[n];

        link->wanted = selection_wants(settings->interfaces, link->name, link->altnames);
    }
    return false;
}

static bool is_kind(const struct netlink_link *link, const char *const *kinds, unsigned number) {
    for (unsigned n = 0; n < number; n++)
        if (!strcmp(link->kind, kinds[n]))
            return true;
    return false;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* By kind where a type has interfaces with and without something in front of L3. */
__u32 policy_l2_len(const struct netlink_link *link) {
    /* Nothing, in both directions. */
    static const char *const bare[] = {"wireguard", "ppp", "ipip", "sit", "ip6tnl"};
    /* What came in still has the outer packet's link layer in front. */
    static const char *const xfrm[] = {"xfrm", "vti", "vti6"};

    if (!strcmp(link->kind, "tun"))
        return link->l3 ? 0 : ETHER_HDR_LEN;
    if (is_kind(link, bare, ARRAY_SIZE(bare)))
        return 0;
    if (is_kind(link, xfrm, ARRAY_SIZE(xfrm)))
        return PB_L2_XFRM;
    switch (link->type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return ETHER_HDR_LEN;
    case ARPHRD_RAWIP:
        return 0;
    case ARPHRD_INFINIBAND: /* the kernel's pseudo header, drivers/infiniband/ulp/ipoib */
    case ARPHRD_NONE:
    case ARPHRD_PPP:
    case ARPHRD_SIT:
    case ARPHRD_SLIP:
    case ARPHRD_CSLIP:
    case ARPHRD_SLIP6:
    case ARPHRD_CSLIP6:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
        return PB_L2_FOREIGN;
    default: /* GRE among them: the outer header, if any, and not in both directions */
        return PB_L2_UNKNOWN;
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
        .slots = slots_total(policy_slots(settings)),
        .lanes = lanes,
    };
}

__u64 policy_memory_max(__u64 machine) {
    return machine / 32;
}

struct ledger_policy policy_ledger(const struct settings *settings) {
    return (struct ledger_policy){.min_bytes = settings->min_bytes,
                                  .max_ports = settings->max_ports,
                                  .no_dynamic = !settings->dynamic_ports,
                                  .top = settings->top_ports,
                                  .selected = settings->ports_number + settings->groups.number,
                                  .groups = settings->groups.number,
                                  .group = (const char *const *)settings->groups.instances,
                                  .idle_timeout = settings->idle_timeout * SECOND};
}

void policy_folded(const struct settings *settings, const struct ephemeral *ephemeral,
                   struct port_set *out) {
    if (!settings->fold_ephemeral)
        *out = (struct port_set){0};
    else if (settings->count_by == COUNT_LOCAL || settings->count_by == COUNT_LOWER)
        *out = ephemeral->passing;
    else
        ephemeral_remote(out);
}

/* ---- what outlives the daemon ---- */

/* To be changed with the meaning of anything saved that its size does not tell. */
#define LAYOUT 3

size_t policy_slots_state_size(const struct settings *settings) {
    return snapshot_size(slots_saved_size(policy_slots(settings)));
}

size_t policy_tally_size(const struct settings *settings) {
    return tally_saved_size(policy_slots(settings));
}

size_t policy_state_size(const struct settings *settings) {
    struct ledger_policy ledger = policy_ledger(settings);

    return snapshot_size(policy_tally_size(settings) + ledger_saved_size(&ledger));
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

/* The null byte at the end of a string is part of it. */
static __u64 hash_string(__u64 before, const char *string) {
    do
        before = hash_byte(before, (unsigned char)*string);
    while (*string++);
    return before;
}

static __u64 hash_groups(__u64 hash, const struct groups *groups) {
    for (__u32 group = 0; group < groups->number; group++)
        hash = hash_string(hash, groups->instances[group]);
    for (__u32 key = 0; groups->number && key < PB_PORT_KEYS; key++) {
        if (groups->of[key]) {
            hash = hash_number(hash, key, sizeof(key));
            hash = hash_number(hash, groups->of[key], sizeof(groups->of[key]));
        }
    }
    return hash;
}

__u64 policy_fingerprint(const struct settings *settings,
                         const struct classifier_settings *classifier) {
    const struct slots_layout layout = policy_slots(settings);
    const __u64 facts[] = {LAYOUT,
                           policy_state_size(settings),
                           policy_slots_state_size(settings),
                           policy_tally_size(settings),
                           sizeof(struct pb_shared),
                           PB_FIXED_SLOTS,
                           layout.dynamic,
                           layout.reserved,
                           layout.groups,
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
    return hash_groups(hash, &settings->groups);
}

__u64 policy_fingerprint_interface(__u64 fingerprint, __u32 maps, __u32 l2_len, const char *name) {
    fingerprint = hash_number(fingerprint, maps, sizeof(maps));
    fingerprint = hash_number(fingerprint, l2_len, sizeof(l2_len));
    for (const char *byte = name; *byte; byte++)
        fingerprint = hash_byte(fingerprint, *byte);
    return fingerprint;
}
