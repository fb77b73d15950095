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
#include "default_rule.h"
#include "ephemeral.h"
#include "ledger.h"
#include "links.h"
#include "slots.h"

struct slots_layout policy_slots(const struct settings *settings);

/*
 * Marks the links that are to be counted (`wanted`), by Interface lines, or without any by the
 * default rule, which says why others are left out. Returns whether the answer depends on the
 * default route, see default_rule.h.
 */
bool policy_mark_wanted(const struct settings *settings, struct default_rule *rule,
                        struct links *links);

/* With counters for so many CPUs, see tc_portbytes.h. */
struct classifier_settings policy_classifier(const struct settings *settings, __u32 lanes);

/* What comes before L3 on an interface: bytes, or one of PB_L2_UNKNOWN and so on. */
__u32 policy_l2_len(const struct netlink_link *link);

/* The most kernel memory for the counters of all interfaces, of a machine with this much memory. */
__u64 policy_memory_max(__u64 machine);

struct ledger_policy policy_ledger(const struct settings *settings);

/* The ports that are folded into the ephemeral series. */
void policy_folded(const struct settings *settings, const struct ephemeral *ephemeral,
                   struct port_set *out);

/*
 * What outlives the daemon. The state of the slots, which all interfaces share; that of an
 * interface: its size, and that of the tally's part, which the ledger's follows.
 */
size_t policy_slots_state_size(const struct settings *settings);
size_t policy_tally_size(const struct settings *settings);
size_t policy_state_size(const struct settings *settings);

/*
 * A number for everything that the pinned maps and the states depend on; a state of another number
 * is not resumed. The second is that of an interface: of its name, since a ledger belongs to that,
 * of its link layer, and of the shared maps (classifier_id) that its state goes with.
 */
__u64 policy_fingerprint(const struct settings *settings,
                         const struct classifier_settings *classifier);
__u64 policy_fingerprint_interface(__u64 fingerprint, __u32 maps, __u32 l2_len, const char *name);

#endif
