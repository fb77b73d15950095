/* SPDX-License-Identifier: MIT */
/*
 * The ledger of one interface name: its series and what each has counted. It outlives the slots,
 * the BPF object and the interface itself, so the total of a series never falls.
 *
 * A port is a series of its own while it is selected, listening, or dynamic (busy enough, within
 * the limits). What it counts at other times is credited to its transport's "other" and stays
 * there.
 *
 * One read is, in this order:
 *     ledger_select and ledger_listening for the ports concerned,
 *     ledger_account for every slot that counted something,
 *     ledger_update, [ledger_save], ledger_report, [ledger_end]
 *
 * A series that becomes active reports its previous total at that read, 0 if it is new. What the
 * read brought is deferred to the next report: collectd computes no rate from the first value of a
 * series, so it would be lost.
 *
 * Keys are those of tc_portbytes.h, times monotonic nanoseconds. Functions that can fail return a
 * negative errno, or false, and leave their outputs unchanged on failure.
 *
 * Threads: one at a time per ledger.
 */
#ifndef PB_LEDGER_H
#define PB_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct ledger;

struct ledger_policy {
    __u64 min_bytes;    /* rx + tx in its slot that make a dynamic port a series; 0: any packet */
    __u32 max_series;   /* limit of dynamic ports that ever become series, and of listening ones */
    __u32 top;          /* limit of dynamic ports that are series at a time; 0: none */
    __u64 idle_timeout; /* ns without traffic (listening: without a socket) that end a series */
};

/* `interface` is its name, for log messages. It and `policy` are copied. -ENOMEM. */
int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy);
void ledger_free(struct ledger *ledger); /* NULL is fine */

/* A slots_account_fn; context is the ledger. Without memory a port's delta goes to "other". */
void ledger_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                    const struct pb_counters *delta);

/*
 * The port is a series of its own until ledger_suspend, whatever it counts. To be called again
 * after that. False: no memory. key: below PB_PORT_KEYS.
 */
bool ledger_select(struct ledger *ledger, __u32 key);

/*
 * The port has a listening socket now, and is a series until idle_timeout after the last such call.
 * False: the limit of listening ports is reached, or no memory. key: below PB_PORT_KEYS.
 */
bool ledger_listening(struct ledger *ledger, __u32 key, __u64 now);

/* Ends idle series, and decides which dynamic ports become series; the rest goes to "other". */
void ledger_update(struct ledger *ledger, __u64 now);

/*
 * Called for each port that is a series of its own now. busy: how many bytes a read it has counted
 * lately; LEDGER_BUSY_MAX: it is selected or listening. These are the arguments of slots_keep.
 */
#define LEDGER_BUSY_MAX (~0ull)
typedef void ledger_port_fn(void *context, __u32 key, __u64 busy);
void ledger_for_each_port(const struct ledger *ledger, ledger_port_fn *port, void *context);

/*
 * The series of a dynamic port ends with the next ledger_update, or with the first one after all
 * that it has counted was reported. For slots_end_surplus. Others are not concerned.
 */
void ledger_end(struct ledger *ledger, __u32 key);

/*
 * ledger_save writes the state with which another process continues: at most ledger_saved_size()
 * bytes, to an address that is a multiple of 8. `selected`: the number of keys that ledger_select
 * is ever called with. Call it between ledger_update and ledger_report: no total may have been
 * reported that is not in a saved state. ledger_restore reads it into a new ledger with the same
 * policy: 0 or -ENOMEM.
 */
size_t ledger_saved_size(const struct ledger_policy *policy, __u32 selected);
void ledger_save(const struct ledger *ledger, void *to);
int ledger_restore(struct ledger *ledger, const void *from);

/* Called for each active series. instance: see series_name.h; valid during the call only. */
typedef void ledger_report_fn(void *context, const char *instance, const struct pb_counters *total);
void ledger_report(struct ledger *ledger, ledger_report_fn *report, void *context);

/* Whether no series has counted anything, so that nothing is lost with the ledger. */
bool ledger_is_zero(const struct ledger *ledger);

/* The interface is gone: all series become inactive. They keep their totals for its return. */
void ledger_suspend(struct ledger *ledger);

#endif
