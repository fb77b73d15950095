/* SPDX-License-Identifier: MIT */
/*
 * The ledger of one interface name: which series there are, and what each has
 * counted since the daemon began. It outlives slots, BPF objects and the
 * interface itself, so its series only ever grow.
 *
 * A port is a series of its own when it is selected, or listening, or dynamic:
 * busy enough, within the limits. What it carries at other times is counted in its
 * transport's "other" and stays there.
 *
 * Per read: ledger_account for every slot that carried something, ledger_listening for
 * every listening port, ledger_update once, [ledger_save], ledger_report once.
 *
 * A series that comes up says its old total (0 when new) at that read; what the
 * read brought follows with the next one, because collectd has no rate for the
 * first value of a series and would lose it.
 *
 * Times are monotonic nanoseconds. Not thread-safe: one thread at a time per ledger.
 */
#ifndef PB_LEDGER_H
#define PB_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct ledger;

struct ledger_policy {
    __u64 min_bytes;    /* a dynamic port needs so many (rx + tx) in its slot to become a series */
    __u32 max_series;   /* dynamic ports that ever become one; listening ones: as many again */
    __u32 top;          /* dynamic ports that are a series at a time; 0: any number */
    __u64 idle_timeout; /* ns without traffic (listening: without a socket) that end a series */
};

/* `interface` is for messages; both are copied. -ENOMEM. */
int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy);
void ledger_free(struct ledger *ledger); /* NULL is fine */

/* A slots_account_fn, with the ledger as its context. */
void ledger_account(void *ledger, __u32 slot, __u32 key, __u64 held,
                    const struct pb_counters *delta);

/* key is a series of its own as long as the interface is there. False: no memory. */
bool ledger_select(struct ledger *ledger, __u32 key);

/* key has a listening socket now: a series of its own. False: beyond the limit, or no memory. */
bool ledger_listening(struct ledger *ledger, __u32 key, __u64 now);

/* Decides which dynamic ports are series; the rest goes to "other". Ends idle ones. */
void ledger_update(struct ledger *ledger, __u64 now);

/* Whether key is a series of its own now: its slot is worth keeping. */
bool ledger_is_active(void *ledger, __u32 key);

/*
 * For another process: ledger_save writes at most ledger_saved_size() bytes, of which
 * ledger_restore makes a fresh ledger go on. `selected`: how many keys ledger_select is ever
 * called with. To be saved after ledger_update and before ledger_report: what was said may not be
 * more than what was saved. -ENOMEM.
 */
size_t ledger_saved_size(const struct ledger_policy *policy, __u32 selected);
void ledger_save(const struct ledger *ledger, void *to);
int ledger_restore(struct ledger *ledger, const void *from);

/* One call for each series that is up; totals only ever grow. */
typedef void ledger_report_fn(void *context, const char *instance, const struct pb_counters *total);
void ledger_report(struct ledger *ledger, ledger_report_fn *say, void *context);

/* The interface has gone: its series stop, and keep their totals for its return. */
void ledger_suspend(struct ledger *ledger);

#endif
