/* SPDX-License-Identifier: MIT */
/*
 * The ledger of one interface name: its series and what each has counted. It outlives the slots,
 * the BPF object and the interface itself, so the total of a series never falls.
 *
 * A port is a series of its own while it is selected, listening, or dynamic (busy enough, within
 * the limits). What it counts at other times is credited to its transport's "other" and stays
 * there. A group of ports is one series, under a key of its own: PB_KEYS and up, in the order of
 * ledger_policy's groups.
 *
 * How many bytes make a port a series rises with the series that have begun lately, see bar.h, for
 * dynamic and for listening ports apart. Until half of max_ports listening ones have begun lately,
 * one packet is enough for those. A port that was a series before returns with min_bytes, a
 * listening one with a packet. At most LEDGER_NAMES_MAX * max_ports ports of either kind ever
 * become series, as storage keeps each for good.
 *
 * One read is, in this order:
 *     ledger_select for the ports and groups concerned,
 *     ledger_account for every slot that counted something,
 *     ledger_update, [ledger_save], [ledger_for_each_new], ledger_report, [ledger_end]
 *
 * A series that becomes active reports its previous total at that read, 0 if it is new. What the
 * read brought is deferred to the next report: collectd computes no rate from the first value of a
 * series, so it would be lost.
 *
 * Keys are those of tc_portbytes.h and of groups. Times are nanoseconds of CLOCK_BOOTTIME: it goes
 * on while the machine is suspended and from one daemon to the next, and nobody sets it. One that
 * stands still or goes back (another time namespace) is no time at all. Functions that can fail
 * return a negative errno, or false, and leave their outputs unchanged on failure.
 *
 * Threads: one at a time per ledger.
 */
#ifndef PB_LEDGER_H
#define PB_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct ledger;

#define LEDGER_NAMES_MAX 4u

struct ledger_policy {
    __u64 min_bytes;          /* rx + tx in its slot that make a dynamic port a series, at least */
    __u32 max_ports;          /* the more, the more series begin until that rises, see bar.h */
    bool no_dynamic;          /* no port is a series because it is busy */
    __u32 top;                /* limit of dynamic ports that are series at a time; 0: none */
    __u64 idle_timeout;       /* ns without traffic (listening: a socket) that end a series */
    __u32 selected;           /* how many keys ledger_select is ever called with */
    __u32 groups;             /* how many of these are groups: PB_KEYS to PB_KEYS + groups - 1 */
    const char *const *group; /* their instances ("group-rtp"); remain the caller's */
};

/* `interface` is its name, for log messages. It and `policy` are copied. -ENOMEM. */
int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy);
void ledger_free(struct ledger *ledger); /* NULL is fine */

/*
 * Which ports have a listening socket now. It is asked in ledger_account and ledger_update, only
 * for ports that count something or are series, so that idle sockets cost nothing here; its answer
 * must not change between the two. A port that has one is a series from its first packet (if the
 * bar permits it), and until idle_timeout after it was last found to have one, whatever it carries.
 * It is one of those for which ledger_for_each_port says LEDGER_BUSY_MAX then. NULL, as in a new
 * ledger: none has. `context` remains the caller's.
 */
typedef bool ledger_listening_fn(const void *context, __u32 key);
void ledger_set_listeners(struct ledger *ledger, ledger_listening_fn *is_listening,
                          const void *context);

/*
 * A slots_account_fn; context is the ledger. Without memory a port's delta goes to "other"; a
 * group's goes to the group in any case.
 */
void ledger_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                    const struct pb_counters *delta);

/*
 * The port or group is a series of its own until ledger_suspend, whatever it counts. To be called
 * again after that. False: no memory, which a group needs none of. key: below PB_PORT_KEYS, or a
 * group's.
 */
bool ledger_select(struct ledger *ledger, __u32 key);

/*
 * Ends idle series, and of the dynamic ones the weakest that exceed `top`; decides which ports
 * become series. The rest goes to "other".
 */
void ledger_update(struct ledger *ledger, __u64 now);

/*
 * Called for each port that is a series of its own now. busy: how many bytes a read it has counted
 * lately; LEDGER_BUSY_MAX: it is selected or listening. These are the arguments of slots_keep. Not
 * called for groups.
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
 * bytes, to an address that is a multiple of 8. Call it between ledger_update and ledger_report: no
 * total may have been reported that is not in a saved state. ledger_restore reads it into a new
 * ledger with the same policy (min_bytes, `top` and idle_timeout may differ): 0 or -ENOMEM. It must
 * be valid: ledger_saved_is_valid finds no number in it that this policy does not permit.
 */
size_t ledger_saved_size(const struct ledger_policy *policy);
void ledger_save(const struct ledger *ledger, void *to);
bool ledger_saved_is_valid(const struct ledger_policy *policy, const void *from);
int ledger_restore(struct ledger *ledger, const void *from);

/*
 * Called for each series that began since the last call and had no record, in this ledger or in
 * the saved one: a port that became one by what it counted, in the order in which they did; then
 * the fixed ones. slot, key: as for series_name. bytes: rx + tx that it counted in the read in
 * which it began. Call it between ledger_update and ledger_report.
 */
typedef void ledger_new_fn(void *context, __u32 slot, __u32 key, __u64 bytes);
void ledger_for_each_new(struct ledger *ledger, ledger_new_fn *each, void *context);

/* Called for each active series. instance: see series_name.h; valid during the call only. */
typedef void ledger_report_fn(void *context, const char *instance, const struct pb_counters *total);
void ledger_report(struct ledger *ledger, ledger_report_fn *report, void *context);

/* Whether no series has counted anything, so that nothing is lost with the ledger. */
bool ledger_is_zero(const struct ledger *ledger);

/* The interface is gone: all series become inactive. They keep their totals for its return. */
void ledger_suspend(struct ledger *ledger);

#endif
