/* SPDX-License-Identifier: MIT */
/* The state of a ledger in memory that outlives the process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_private.h"

struct saved {
    __u32 ports_number;
    __u32 created[KINDS];
    struct series fixed[PB_FIXED_SLOTS];
    struct series ports[];
};

size_t ledger_saved_size(const struct ledger_policy *policy, __u32 selected) {
    /* Dynamic and listening ports have a limit each. */
    return sizeof(struct saved) +
           (2 * (size_t)policy->max_series + selected) * sizeof(struct series);
}

void ledger_save(const struct ledger *ledger, void *to) {
    struct saved *saved = to;

    saved->ports_number = ledger->ports_number;
    memcpy(saved->created, ledger->created, sizeof(saved->created));
    memcpy(saved->fixed, ledger->fixed, sizeof(saved->fixed));
    if (ledger->ports_number)
        memcpy(saved->ports, ledger->ports, ledger->ports_number * sizeof(saved->ports[0]));
}

/*
 * This collectd has no value of the series yet, so its next report is a first one again. The total
 * counts as unreported: the previous process may have been killed before it reported it.
 */
static void resume(struct series *series) {
    series->reported = false;
    series->unreported = series->active;
}

int ledger_restore(struct ledger *ledger, const void *from) {
    const struct saved *saved = from;
    struct series *ports = calloc(saved->ports_number + 1, sizeof(*ports));

    if (!ports)
        return -ENOMEM;
    free(ledger->ports);
    ledger->ports = ports;
    ledger->ports_number = saved->ports_number;
    ledger->ports_capacity = saved->ports_number + 1;
    memcpy(ledger->created, saved->created, sizeof(ledger->created));
    memcpy(ledger->fixed, saved->fixed, sizeof(ledger->fixed));
    memcpy(ports, saved->ports, saved->ports_number * sizeof(*ports));
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        resume(&ledger->fixed[slot]);
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        resume(&ports[i]);
        ledger->port_index[ports[i].key] = i + 1;
    }
    return 0;
}
