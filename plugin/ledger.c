/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "array.h"
#include "ledger_private.h"
#include "log.h"
#include "pages.h"
#include "series_name.h"

int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy) {
    struct ledger *ledger = pages_new(sizeof(*ledger));

    if (!ledger)
        return -ENOMEM;
    ledger->policy = *policy;
    snprintf(ledger->interface, sizeof(ledger->interface), "%s", interface);
    *out = ledger;
    return 0;
}

void ledger_free(struct ledger *ledger) {
    if (!ledger)
        return;
    free(ledger->ports);
    key_index_clear(&ledger->port_index);
    free(ledger->candidates);
    pages_free(ledger, sizeof(*ledger));
}

static void add_counters(struct pb_counters *to, const struct pb_counters *delta) {
    to->rx_bytes += delta->rx_bytes;
    to->rx_packets += delta->rx_packets;
    to->tx_bytes += delta->tx_bytes;
    to->tx_packets += delta->tx_packets;
}

static bool is_zero(const struct pb_counters *counters) {
    return !(counters->rx_bytes | counters->rx_packets | counters->tx_bytes | counters->tx_packets);
}

static __u64 bytes_of(const struct pb_counters *counters) {
    return counters->rx_bytes + counters->tx_bytes;
}

static __u64 greater(__u64 a, __u64 b) {
    return a > b ? a : b;
}

/* What a series counts before its first report is deferred, see ledger.h. */
static void credit(struct series *series, const struct pb_counters *delta) {
    add_counters(series->reported ? &series->total : &series->deferred, delta);
    series->active = true;
}

static void end_series(struct series *series) {
    if (!series->active)
        return; /* and maybe never touched */
    series->active = false;
    series->reported = false;
    series->ending = false;
}

struct series *ledger_use_fixed(struct ledger *ledger, __u32 slot) {
    struct series *series = &ledger->fixed[slot];

    if (!series->key) {
        series->key = slot;
        ledger->fixed_used[ledger->fixed_number++] = (__u16)slot;
    }
    return series;
}

static struct series *find_series(const struct ledger *ledger, __u32 key) {
    __u32 index = key_index_get(&ledger->port_index, key);

    return index ? &ledger->ports[index - 1] : NULL;
}

static void credit_other(struct ledger *ledger, __u32 key, const struct pb_counters *delta) {
    if (!is_zero(delta)) /* a delta of 0 does not make "other" active */
        credit(ledger_use_fixed(ledger, PB_SLOT_OTHER(key / PB_PORTS)), delta);
}

/* A series with an amount to report must not end before it has reported it. */
static bool may_end(const struct series *series) {
    return series->active && !series->unreported && is_zero(&series->deferred);
}

/* Ends a port's series as of the previous read: what this read brought goes to "other". */
static void end_port(struct ledger *ledger, struct series *series) {
    credit_other(ledger, series->key, &series->pending);
    series->pending = (struct pb_counters){0};
    end_series(series);
}

void ledger_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                    const struct pb_counters *delta) {
    struct candidate *candidates = NULL;
    struct ledger *ledger = context;
    struct series *series;

    if (slot < PB_FIXED_SLOTS) {
        credit(ledger_use_fixed(ledger, slot), delta);
        return;
    }
    series = find_series(ledger, key);
    if (series && series->active) {
        add_counters(&series->pending, delta);
        return;
    }
    if (slot_bytes >= ledger->policy.min_bytes)
        candidates = array_grow(ledger->candidates, ledger->candidates_number,
                                &ledger->candidates_capacity, sizeof(*candidates));
    if (!candidates) {
        credit_other(ledger, key, delta);
        return;
    }
    ledger->candidates = candidates;
    candidates[ledger->candidates_number++] = (struct candidate){.delta = *delta, .key = key};
}

static int by_bytes(const void *a, const void *b) {
    __u64 left = bytes_of(&((const struct candidate *)a)->delta);
    __u64 right = bytes_of(&((const struct candidate *)b)->delta);

    return left < right ? 1 : left > right ? -1 : 0;
}

/* The series of a port, created if it has none. NULL: the limit of its kind, or no memory. */
static struct series *find_or_create(struct ledger *ledger, __u32 key, enum kind kind) {
    struct series *series = find_series(ledger, key), *ports;

    if (series)
        return series;
    if (kind != SELECTED && ledger->created[kind] >= ledger->policy.max_series)
        return NULL;
    ports =
        array_grow(ledger->ports, ledger->ports_number, &ledger->ports_capacity, sizeof(*ports));
    if (!ports)
        return NULL;
    ledger->ports = ports;
    if (key_index_add(&ledger->port_index, key, ledger->ports_number + 1))
        return NULL;
    series = &ports[ledger->ports_number++];
    *series = (struct series){.key = key, .kind = kind};
    if (++ledger->created[kind] == ledger->policy.max_series && kind != SELECTED)
        pb_log(LOG_WARNING,
               "%s: MaxPorts reached: %u %s ports have become series, further ones are counted in "
               "\"other\". Select the ports that matter with Port, or raise MaxPorts.",
               ledger->interface, ledger->policy.max_series,
               kind == LISTENING ? "listening" : "busy");
    return series;
}

bool ledger_select(struct ledger *ledger, __u32 key) {
    struct series *series = find_or_create(ledger, key, SELECTED);

    if (!series)
        return false;
    series->kind = SELECTED;
    series->active = true;
    return true;
}

bool ledger_listening(struct ledger *ledger, __u32 key, __u64 now) {
    struct series *series = find_or_create(ledger, key, LISTENING);

    if (!series)
        return false;
    if (series->kind != SELECTED)
        series->kind = LISTENING;
    series->active = true;
    series->last_active = now;
    return true;
}

/*
 * Ends the least busy of the dynamic series in favour of a port that counted `bytes` in this read.
 * Only for a port more than twice as busy, or two of about the same size would alternate. False:
 * there is no such series.
 */
static bool evict_weakest(struct ledger *ledger, __u64 bytes) {
    const struct series *end = ledger->ports + ledger->ports_number;
    struct series *weakest = NULL;

    for (struct series *series = ledger->ports; series < end; series++)
        if (may_end(series) && series->kind == DYNAMIC &&
            (!weakest || series->decayed_peak < weakest->decayed_peak))
            weakest = series;
    if (!weakest || bytes / 2 <= weakest->decayed_peak)
        return false;
    end_port(ledger, weakest);
    return true;
}

/* The series of a dynamic port, if the limits permit one. active: how many dynamic ones are. */
static struct series *promote(struct ledger *ledger, const struct candidate *candidate,
                              __u32 *active) {
    if (!find_series(ledger, candidate->key) &&
        ledger->created[DYNAMIC] >= ledger->policy.max_series)
        return NULL;
    if (ledger->policy.top && *active >= ledger->policy.top) {
        if (!evict_weakest(ledger, bytes_of(&candidate->delta)))
            return NULL;
        --*active;
    }
    return find_or_create(ledger, candidate->key, DYNAMIC);
}

static void update_candidate(struct ledger *ledger, const struct candidate *candidate, __u64 now,
                             __u32 *active) {
    struct series *series = find_series(ledger, candidate->key);

    if (series && series->active) { /* the port had two slots in this read */
        credit(series, &candidate->delta);
        return;
    }
    series = promote(ledger, candidate, active);
    if (!series) {
        credit_other(ledger, candidate->key, &candidate->delta);
        return;
    }
    credit(series, &candidate->delta);
    series->decayed_peak = bytes_of(&candidate->delta);
    series->last_active = now;
    ++*active;
}

void ledger_update(struct ledger *ledger, __u64 now) {
    __u32 active = 0;

    for (__u32 i = 0; i < ledger->ports_number; i++) {
        struct series *series = &ledger->ports[i];
        __u64 bytes = bytes_of(&series->pending);

        if (bytes && series->kind == DYNAMIC)
            series->last_active = now;
        /* Rises at once and falls by a quarter per read: a short pause must not cost a place. */
        series->decayed_peak = greater(bytes, series->decayed_peak - series->decayed_peak / 4);
        if (may_end(series) && series->kind != SELECTED &&
            (now - series->last_active >= ledger->policy.idle_timeout ||
             (series->ending && series->kind == DYNAMIC))) {
            /* A port that has stopped listening and is still busy may return as a dynamic one. */
            end_port(ledger, series);
            series->kind = DYNAMIC;
        }
        active += series->active && series->kind == DYNAMIC;
    }

    /* The busiest first, as the limits may not permit all of them. */
    if (ledger->candidates_number)
        qsort(ledger->candidates, ledger->candidates_number, sizeof(*ledger->candidates), by_bytes);
    for (__u32 i = 0; i < ledger->candidates_number; i++)
        update_candidate(ledger, &ledger->candidates[i], now, &active);
    ledger->candidates_number = 0;

    for (__u32 i = 0; i < ledger->ports_number; i++) {
        struct series *series = &ledger->ports[i];

        if (!is_zero(&series->pending))
            credit(series, &series->pending);
        series->pending = (struct pb_counters){0};
    }
}

void ledger_for_each_port(const struct ledger *ledger, ledger_port_fn *port, void *context) {
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        const struct series *series = &ledger->ports[i];

        if (series->active)
            port(context, series->key,
                 series->kind == DYNAMIC ? series->decayed_peak : LEDGER_BUSY_MAX);
    }
}

void ledger_end(struct ledger *ledger, __u32 key) {
    struct series *series = find_series(ledger, key);

    if (series && series->active)
        series->ending = true;
}

static void report_series(struct series *series, __u32 slot, ledger_report_fn *report,
                          void *context) {
    char name[SERIES_NAME_SIZE];

    if (!series->active)
        return;
    series_name(name, slot, series->key);
    report(context, name, &series->total);
    series->reported = true;
    series->unreported = !is_zero(&series->deferred);
    add_counters(&series->total, &series->deferred);
    series->deferred = (struct pb_counters){0};
}

void ledger_report(struct ledger *ledger, ledger_report_fn *report, void *context) {
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        report_series(&ledger->fixed[ledger->fixed_used[i]], ledger->fixed_used[i], report,
                      context);
    for (__u32 i = 0; i < ledger->ports_number; i++)
        report_series(&ledger->ports[i], PB_FIXED_SLOTS, report, context);
}

void ledger_suspend(struct ledger *ledger) {
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        end_series(&ledger->fixed[ledger->fixed_used[i]]);
    for (__u32 i = 0; i < ledger->ports_number; i++)
        end_series(&ledger->ports[i]);
}

bool ledger_is_zero(const struct ledger *ledger) {
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        const struct series *series = &ledger->ports[i];

        if (!is_zero(&series->total) || !is_zero(&series->deferred) || !is_zero(&series->pending))
            return false;
    }
    return !ledger->fixed_number;
}
