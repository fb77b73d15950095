/* SPDX-License-Identifier: MIT */
/*
 * The <Plugin tc_portbytes> block: from collectd's parsed configuration to
 * settings. Strict: whatever is not plainly right is refused, with one line of
 * the log that names option, value and what is allowed.
 */
#ifndef PB_CONFIG_H
#define PB_CONFIG_H

#include <stdbool.h>

#include <linux/types.h>

#include "selection.h"

struct oconfig_item_s; /* liboconfig's */

enum count_by { COUNT_LOCAL, COUNT_REMOTE, COUNT_DESTINATION, COUNT_SOURCE, COUNT_LOWER };

struct settings {
    struct selection *interfaces; /* owned */
    bool ingress, egress;
    enum count_by count_by;
    __u32 max_ports;
    bool fold_ephemeral;
    __u64 min_bytes;
    __u32 *ports; /* keys selected, each once; owned */
    __u32 ports_number;
    bool dynamic_ports;
    bool listening_ports;
    __u32 top_ports;    /* 0: no limit */
    __u32 idle_timeout; /* seconds */
    bool persist;       /* what counts outlives the process */
    bool standard_types;
    __u32 given; /* which options were given: those that are not lists may be so once */
};

/* The defaults. -ENOMEM. */
int config_defaults(struct settings *settings);
void config_free(struct settings *settings);

/* Adds one block; there may be several. 0, or -EINVAL after saying why, or -ENOMEM. */
int config_block(struct settings *settings, const struct oconfig_item_s *block);

#endif
