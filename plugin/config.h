/* SPDX-License-Identifier: MIT */
/*
 * The <Plugin tc_portbytes> block: converts collectd's parsed configuration to settings. An invalid
 * value is never replaced by a default: it is refused with one line of the log, which has the
 * option, the value and what is expected.
 *
 * Not thread-safe: collectd parses its configuration before it starts any thread.
 */
#ifndef PB_CONFIG_H
#define PB_CONFIG_H

#include <stdbool.h>

#include <linux/types.h>

#include "groups.h"
#include "selection.h"

struct oconfig_item_s; /* oconfig_item_t, of collectd's liboconfig */

/* Which port of a packet is counted: of this host, of the other end, ... */
enum count_by { COUNT_LOCAL, COUNT_REMOTE, COUNT_DESTINATION, COUNT_SOURCE, COUNT_LOWER };

struct settings {
    struct selection *interfaces; /* owned */
    bool ingress, egress;         /* directions to count, at least one */
    enum count_by count_by;
    __u32 max_ports;      /* dynamic ports per interface, 16 to PB_DYNAMIC_MAX */
    bool fold_ephemeral;  /* one series for all ephemeral ports of a transport */
    __u64 min_bytes;      /* rx + tx, until a dynamic port gets a series; at most 2^53 */
    __u32 *ports;         /* selected by Port: PB_KEYs without duplicates; owned */
    __u32 ports_number;   /* at most 4096 */
    struct groups groups; /* none of their ports is selected; owned */
    /* Busy ports get a series. Not given: if no Port is. A Group alone leaves it to them: it puts
     * some ports together, and says nothing about the others. The same with listening_ports. */
    bool dynamic_ports;
    bool listening_ports;  /* ports with a listening socket get a series; with COUNT_LOCAL only */
    __u32 top_ports;       /* dynamic series at a time, at most PB_DYNAMIC_MAX; 0: no limit */
    __u32 idle_timeout;    /* seconds, at least 1 */
    bool persist;          /* the counters outlive the process, on bpffs */
    bool standard_types;   /* if_octets and if_packets instead of port_traffic */
    bool notify_new_ports; /* a notification for each port that becomes a series */
    __u32 given;           /* private to config.c: bit i is set if option i was given */
};

/* The settings without any block. 0 or -ENOMEM; config_free() is allowed after both. */
int config_defaults(struct settings *settings);

/* Frees what the settings own. May be repeated. */
void config_free(struct settings *settings);

/*
 * Applies one block; collectd passes each <Plugin tc_portbytes> block in turn. 0, -EINVAL after one
 * line of the log, or -ENOMEM without one. After an error the options before the failing one are
 * applied, the failing one and those after it are not.
 */
int config_block(struct settings *settings, const struct oconfig_item_s *block);

#endif
