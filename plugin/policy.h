/* SPDX-License-Identifier: MIT */
/*
 * What the settings mean, in the numbers of the modules below. Pure: the same answer for the same
 * arguments.
 */
#ifndef PB_POLICY_H
#define PB_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "classifier.h"
#include "config.h"
#include "ledger.h"
#include "netlink.h"

/* How many slots the classifier allocates by itself, and how many are allocated by policy. */
__u32 policy_dynamic_slots(const struct settings *settings);
__u32 policy_reserved_slots(const struct settings *settings);

/* Whether an interface is to be counted. */
bool policy_wants(const struct settings *settings, const struct netlink_link *link);

/* For an interface of this ARPHRD type. */
struct classifier_settings policy_classifier(const struct settings *settings, unsigned short type);

struct ledger_policy policy_ledger(const struct settings *settings);

/*
 * The ports that are folded into the ephemeral series. local_port_range: what
 * /proc/sys/net/ipv4/ip_local_port_range says, NULL if it can't be read. It is ignored unless
 * policy_uses_local_range.
 */
struct port_range {
    __u32 first, last; /* first > last: none */
};
bool policy_uses_local_range(const struct settings *settings);
struct port_range policy_ephemeral(const struct settings *settings, const char *local_port_range);

/* The state of one interface that outlives the daemon: its size, and that of the slots' part. */
size_t policy_slots_size(const struct settings *settings);
size_t policy_state_size(const struct settings *settings);

/*
 * A number for everything that the pinned maps and the state depend on; a state of another number
 * is not resumed. A ledger belongs to an interface's name, which is added to the rest.
 */
__u64 policy_fingerprint(const struct settings *settings,
                         const struct classifier_settings *classifier);
__u64 policy_fingerprint_named(__u64 fingerprint, const char *name);

#endif
