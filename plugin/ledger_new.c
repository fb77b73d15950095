/* SPDX-License-Identifier: MIT */
/* Which series are new. */
#include "ledger_private.h"

/* Until a series' first report all that it has counted is deferred. */
static void pass_new(struct series *series, __u32 slot, ledger_new_fn *each, void *context) {
    if (!series->is_new)
        return;
    series->is_new = false;
    each(context, slot, series->key, series->deferred.rx_bytes + series->deferred.tx_bytes);
}

void ledger_for_each_new(struct ledger *ledger, ledger_new_fn *each, void *context) {
    if (!ledger->any_new)
        return;
    ledger->any_new = false;
    for (__u32 i = 0; i < ledger->ports.number; i++)
        pass_new(&ledger->ports.series[i], PB_FIXED_SLOTS, each, context);
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        pass_new(&ledger->fixed[ledger->fixed_used[i]], ledger->fixed_used[i], each, context);
}
