/* SPDX-License-Identifier: MIT */
/* The state of a ledger in memory that outlives the process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_private.h"

struct saved {
    __u32 fixed_number, ports_number;
    __u32 created[KINDS];
    __u32 unused;           /* what follows is aligned to 8 bytes without padding */
    struct series series[]; /* fixed ones that ever counted anything, then ports */
};

size_t ledger_saved_size(const struct ledger_policy *policy, __u32 selected) {
    /* Dynamic and listening ports have a limit each. */
    return sizeof(struct saved) +
           (PB_FIXED_SLOTS + 2 * (size_t)policy->max_series + selected) * sizeof(struct series);
}

void ledger_save(const struct ledger *ledger, void *to) {
    struct saved *saved = to;

    saved->fixed_number = ledger->fixed_number;
    saved->ports_number = ledger->ports_number;
    memcpy(saved->created, ledger->created, sizeof(saved->created));
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        saved->series[i] = ledger->fixed[ledger->fixed_used[i]];
    if (ledger->ports_number)
        memcpy(&saved->series[ledger->fixed_number], ledger->ports,
               ledger->ports_number * sizeof(ledger->ports[0]));
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
    const struct series *saved_ports = &saved->series[saved->fixed_number];
    struct series *ports = calloc(saved->ports_number + 1, sizeof(*ports));
    struct key_index port_index = {0};
    int error = ports ? 0 : -ENOMEM;

    for (__u32 i = 0; i < saved->ports_number && !error; i++)
        error = key_index_add(&port_index, saved_ports[i].key, i + 1);
    if (error) {
        key_index_clear(&port_index);
        free(ports);
        return error;
    }
    free(ledger->ports);
    ledger->ports = ports;
    ledger->ports_number = saved->ports_number;
    ledger->ports_capacity = saved->ports_number + 1;
    key_index_clear(&ledger->port_index);
    ledger->port_index = port_index;
    memcpy(ledger->created, saved->created, sizeof(ledger->created));
    for (__u32 i = 0; i < saved->fixed_number; i++) {
        struct series *series = ledger_use_fixed(ledger, saved->series[i].key);

        *series = saved->series[i];
        resume(series);
    }
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        ports[i] = saved_ports[i];
        resume(&ports[i]);
    }
    return 0;
}
