/* SPDX-License-Identifier: MIT */
/* The state of a ledger in memory that outlives the process. */
#include <errno.h>
#include <string.h>

#include "ledger_private.h"

/*
 * The memory is the kernel's, and the ports that were ever series can be many. So only as many are
 * saved with all that there is to them as can be active: there are no more slots for them.
 */
struct saved_series {
    struct pb_counters total, deferred;
    __u64 decayed_peak, last_active;
    __u32 key;
    __u8 kind, active, ending, fixed;
};

/* Of an inactive series. */
struct saved_record {
    struct pb_counters total;
    __u32 key, kind;
};

struct saved {
    struct limit limits[SELECTED];
    __u32 series_number, records_number;
    struct saved_series series[]; /* series_max() of them, then the records */
};

/* Fixed, dynamic, listening and selected ones. */
static size_t series_max(const struct ledger_policy *policy) {
    return PB_FIXED_SLOTS + 2 * (size_t)policy->max_ports + policy->selected;
}

/* The others of LEDGER_NAMES_MAX * max_ports dynamic ones, and as many listening ones. */
static size_t records_max(const struct ledger_policy *policy) {
    return 2 * ((size_t)LEDGER_NAMES_MAX - 1) * policy->max_ports;
}

static size_t records_offset(const struct ledger_policy *policy) {
    return sizeof(struct saved) + series_max(policy) * sizeof(struct saved_series);
}

size_t ledger_saved_size(const struct ledger_policy *policy) {
    return records_offset(policy) + records_max(policy) * sizeof(struct saved_record);
}

static bool is_whole(const struct series *series) {
    return series->active || !is_zero(&series->deferred);
}

static void save_series(struct saved *saved, const struct series *series, bool fixed) {
    saved->series[saved->series_number++] = (struct saved_series){
        .total = series->total,
        .deferred = series->deferred,
        .decayed_peak = series->decayed_peak,
        .last_active = series->last_active,
        .key = series->key,
        .kind = (__u8)series->kind,
        .active = series->active,
        .ending = series->ending,
        .fixed = fixed,
    };
}

static void save_record(struct saved *saved, struct saved_record *record,
                        const struct series *series) {
    *record =
        (struct saved_record){.total = series->total, .key = series->key, .kind = series->kind};
    add_counters(&record->total, &series->deferred);
    saved->records_number++;
}

void ledger_save(const struct ledger *ledger, void *to) {
    struct saved *saved = to;
    struct saved_record *records = (void *)((char *)to + records_offset(&ledger->policy));
    __u32 max = (__u32)series_max(&ledger->policy), whole = 0;

    saved->series_number = saved->records_number = 0;
    memcpy(saved->limits, ledger->limits, sizeof(saved->limits));
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        save_series(saved, &ledger->fixed[ledger->fixed_used[i]], true);
    for (__u32 i = 0; i < ledger->ports.number; i++)
        if (is_whole(&ledger->ports.series[i]) && saved->series_number < max) {
            save_series(saved, &ledger->ports.series[i], false);
            whole++;
        }
    for (__u32 i = 0; i < ledger->ports.number; i++) {
        if (is_whole(&ledger->ports.series[i]) && whole > 0)
            whole--; /* saved above */
        else if (saved->series_number < max)
            save_series(saved, &ledger->ports.series[i], false);
        else
            save_record(saved, &records[saved->records_number], &ledger->ports.series[i]);
    }
}

static const struct saved_record *records_of(const struct ledger_policy *policy,
                                             const struct saved *saved) {
    return (const void *)((const char *)saved + records_offset(policy));
}

static bool limit_is_valid(const struct ledger_policy *policy, const struct limit *limit) {
    /* Each name has begun once; false for NaN, too. */
    return limit->names <= (__u64)LEDGER_NAMES_MAX * policy->max_ports && limit->bar.begun >= 0 &&
           limit->bar.begun <= limit->names;
}

static bool port_is_valid(const struct ledger_policy *policy, __u32 key, __u32 kind) {
    if (key < PB_PORT_KEYS)
        return kind <= SELECTED;
    return key >= PB_KEYS && key - PB_KEYS < policy->groups && kind == SELECTED;
}

bool ledger_saved_is_valid(const struct ledger_policy *policy, const void *from) {
    const struct saved *saved = from;
    const struct saved_record *records = records_of(policy, saved);

    if (saved->series_number > series_max(policy) || saved->records_number > records_max(policy))
        return false;
    for (int kind = 0; kind < SELECTED; kind++)
        if (!limit_is_valid(policy, &saved->limits[kind]))
            return false;
    for (__u32 i = 0; i < saved->series_number; i++) {
        const struct saved_series *series = &saved->series[i];

        if (series->fixed ? series->key == 0 || series->key >= PB_FIXED_SLOTS || series->kind
                          : !port_is_valid(policy, series->key, series->kind))
            return false;
    }
    for (__u32 i = 0; i < saved->records_number; i++)
        if (!port_is_valid(policy, records[i].key, records[i].kind))
            return false;
    return true;
}

/*
 * This collectd has no value of the series yet, so its next report is a first one again. The total
 * counts as unreported: the previous process may have been killed before it reported it.
 */
static struct series series_of(const struct saved_series *saved) {
    return (struct series){
        .total = saved->total,
        .deferred = saved->deferred,
        .decayed_peak = saved->decayed_peak,
        .last_active = saved->last_active,
        .key = saved->key,
        .kind = saved->kind,
        .active = saved->active,
        .unreported = saved->active,
        .ending = saved->ending,
    };
}

static int restore_port(struct ledger *ledger, const struct series *series) {
    struct series *port = ledger_add_port(ledger, series->key);

    if (!port)
        return -ENOMEM;
    *port = *series;
    return 0;
}

static int restore_ports(struct ledger *ledger, const struct saved *saved) {
    const struct saved_record *records = records_of(&ledger->policy, saved);
    struct series series;
    int error = 0;

    for (__u32 i = 0; i < saved->series_number && !error; i++) {
        series = series_of(&saved->series[i]);
        error = saved->series[i].fixed ? 0 : restore_port(ledger, &series);
    }
    for (__u32 i = 0; i < saved->records_number && !error; i++) {
        series = (struct series){
            .total = records[i].total, .key = records[i].key, .kind = records[i].kind};
        error = restore_port(ledger, &series);
    }
    return error;
}

static void restore_fixed(struct ledger *ledger, const struct saved *saved) {
    for (__u32 i = 0; i < saved->series_number; i++)
        if (saved->series[i].fixed)
            *ledger_use_fixed(ledger, saved->series[i].key) = series_of(&saved->series[i]);
}

int ledger_restore(struct ledger *ledger, const void *from) {
    struct ledger *restored;
    int error = ledger_new(&restored, ledger->interface, &ledger->policy);

    if (error)
        return error;
    error = restore_ports(restored, from);
    if (!error) {
        struct ledger_ports empty = ledger->ports;

        ledger->ports = restored->ports;
        restored->ports = empty;
        memcpy(ledger->limits, ((const struct saved *)from)->limits, sizeof(ledger->limits));
        restore_fixed(ledger, from);
    }
    ledger_free(restored);
    return error;
}
