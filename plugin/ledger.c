/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "array.h"
#include "ledger_private.h"
#include "pages.h"
#include "series_name.h"

/* They need no memory later that may not be there then. */
static int add_groups(struct ledger_ports *ports, __u32 groups) {
    if (!groups)
        return 0;
    ports->series = calloc(groups, sizeof(ports->series[0]));
    if (!ports->series)
        return -ENOMEM;
    ports->number = ports->capacity = groups;
    for (__u32 i = 0; i < groups; i++)
        ports->series[i] = (struct series){.key = PB_KEYS + i, .kind = SELECTED};
    return 0;
}

int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy) {
    struct ledger *ledger = pages_new(sizeof(*ledger));

    if (!ledger)
        return -ENOMEM;
    ledger->policy = *policy;
    snprintf(ledger->interface, sizeof(ledger->interface), "%s", interface);
    if (add_groups(&ledger->ports, policy->groups)) {
        ledger_free(ledger);
        return -ENOMEM;
    }
    *out = ledger;
    return 0;
}

void ledger_free(struct ledger *ledger) {
    if (!ledger)
        return;
    free(ledger->ports.series);
    key_index_clear(&ledger->ports.index);
    free(ledger->candidates);
    pages_free(ledger, sizeof(*ledger));
}

void ledger_set_listeners(struct ledger *ledger, ledger_listening_fn *is_listening,
                          const void *context) {
    ledger->is_listening = is_listening;
    ledger->is_listening_context = context;
}

static bool is_listening(const struct ledger *ledger, __u32 key) {
    return ledger->is_listening && ledger->is_listening(ledger->is_listening_context, key);
}

static bool is_group(__u32 key) {
    return key >= PB_KEYS;
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

static void set_new(struct ledger *ledger, struct series *series) {
    series->is_new = true;
    ledger->any_new = true;
}

static struct series *find_series(const struct ledger *ledger, __u32 key) {
    __u32 index;

    if (is_group(key))
        return key - PB_KEYS < ledger->policy.groups ? &ledger->ports.series[key - PB_KEYS] : NULL;
    index = key_index_get(&ledger->ports.index, key);
    return index ? &ledger->ports.series[index - 1] : NULL;
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
    bool listening;

    if (slot < PB_FIXED_SLOTS) {
        series = &ledger->fixed[slot];
        if (!series->key)
            set_new(ledger, ledger_use_fixed(ledger, slot));
        credit(series, delta);
        return;
    }
    series = find_series(ledger, key);
    if (series && (series->active || is_group(key))) {
        add_counters(&series->pending, delta);
        return;
    }
    listening = is_listening(ledger, key);
    /* No port needs less, so that a scan takes no memory. */
    if (listening || (slot_bytes >= ledger->policy.min_bytes && !ledger->policy.no_dynamic))
        candidates = array_grow(ledger->candidates, ledger->candidates_number,
                                &ledger->candidates_capacity, sizeof(*candidates));
    if (!candidates) {
        credit_other(ledger, key, delta);
        return;
    }
    ledger->candidates = candidates;
    candidates[ledger->candidates_number++] = (struct candidate){
        .delta = *delta, .slot_bytes = slot_bytes, .key = key, .listening = listening};
}

static int by_bytes(const void *a, const void *b) {
    __u64 left = bytes_of(&((const struct candidate *)a)->delta);
    __u64 right = bytes_of(&((const struct candidate *)b)->delta);

    return left < right ? 1 : left > right ? -1 : 0;
}

struct series *ledger_add_port(struct ledger *ledger, __u32 key) {
    struct series *series = find_series(ledger, key);
    struct ledger_ports *ports = &ledger->ports;

    if (series)
        return series;
    series = array_grow(ports->series, ports->number, &ports->capacity, sizeof(*series));
    if (!series)
        return NULL;
    ports->series = series;
    if (key_index_add(&ports->index, key, ports->number + 1))
        return NULL;
    series += ports->number++;
    *series = (struct series){.key = key};
    return series;
}

bool ledger_select(struct ledger *ledger, __u32 key) {
    struct series *series = ledger_add_port(ledger, key);

    if (!series)
        return false;
    series->kind = SELECTED;
    series->active = true;
    return true;
}

/* The least busy of the dynamic series that may end; NULL: there is none. */
static struct series *find_weakest(const struct ledger *ledger) {
    struct series *weakest = NULL;

    for (__u32 i = 0; i < ledger->ports.number; i++) {
        struct series *series = &ledger->ports.series[i];

        if (may_end(series) && series->kind == DYNAMIC &&
            (!weakest || series->decayed_peak < weakest->decayed_peak))
            weakest = series;
    }
    return weakest;
}

/* The places that TopPorts leaves to dynamic ports in one read. */
struct places {
    __u32 active; /* dynamic series */
    bool taken;   /* none is left, nor for any port less busy than the one that found this */
};

/* With a lower TopPorts than before there may be more series than places. */
static void end_surplus(struct ledger *ledger, struct places *places) {
    struct series *weakest;

    while (ledger->policy.top && places->active > ledger->policy.top &&
           (weakest = find_weakest(ledger))) {
        end_port(ledger, weakest);
        places->active--;
    }
}

/*
 * Whether a dynamic port that counted `bytes` in this read finds a place. A series ends only for
 * one more than twice as busy, or two of about the same size would alternate.
 */
static bool make_place(struct ledger *ledger, struct places *places, __u64 bytes) {
    struct series *weakest;

    if (!ledger->policy.top || places->active < ledger->policy.top)
        return true;
    weakest = places->taken ? NULL : find_weakest(ledger);
    if (!weakest || bytes / 2 <= weakest->decayed_peak) {
        places->taken = true;
        return false;
    }
    end_port(ledger, weakest);
    places->active--;
    return true;
}

/* The series of a port, if the limits permit one. */
static struct series *promote(struct ledger *ledger, struct places *places,
                              const struct candidate *candidate) {
    enum kind kind = candidate->listening ? LISTENING : DYNAMIC;
    bool has_record = find_series(ledger, candidate->key);
    struct series *series;

    if (!ledger_may_begin(ledger, kind, candidate->slot_bytes, has_record) ||
        (kind == DYNAMIC && !make_place(ledger, places, bytes_of(&candidate->delta))))
        return NULL;
    series = ledger_add_port(ledger, candidate->key);
    if (!series)
        return NULL;
    if (!has_record) {
        ledger_begun(ledger, kind);
        set_new(ledger, series);
    }
    if (series->kind != SELECTED)
        series->kind = kind;
    return series;
}

static void update_candidate(struct ledger *ledger, struct places *places,
                             const struct candidate *candidate, __u64 now) {
    struct series *series = find_series(ledger, candidate->key);

    if (series && series->active) { /* the port had two slots in this read */
        credit(series, &candidate->delta);
        return;
    }
    series = promote(ledger, places, candidate);
    if (!series) {
        credit_other(ledger, candidate->key, &candidate->delta);
        return;
    }
    credit(series, &candidate->delta);
    series->decayed_peak = bytes_of(&candidate->delta);
    series->last_active = now;
    places->active += series->kind == DYNAMIC;
}

/* Ends an active series whose time has come. */
static void update_port(struct ledger *ledger, struct series *series, __u64 now) {
    __u64 bytes = bytes_of(&series->pending);

    if (series->kind != SELECTED && is_listening(ledger, series->key)) {
        series->kind = LISTENING;
        series->last_active = now;
    }
    if ((bytes && series->kind == DYNAMIC) || series->last_active > now)
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
}

void ledger_update(struct ledger *ledger, __u64 now) {
    struct places places = {0};

    for (int kind = 0; kind < SELECTED; kind++)
        bar_pass(&ledger->limits[kind].bar, now);
    for (__u32 i = 0; i < ledger->ports.number; i++) {
        struct series *series = &ledger->ports.series[i];

        if (series->active)
            update_port(ledger, series, now);
        places.active += series->active && series->kind == DYNAMIC;
    }
    end_surplus(ledger, &places);

    /* The busiest first, as the limits may not permit all of them. */
    if (ledger->candidates_number)
        qsort(ledger->candidates, ledger->candidates_number, sizeof(*ledger->candidates), by_bytes);
    for (__u32 i = 0; i < ledger->candidates_number; i++)
        update_candidate(ledger, &places, &ledger->candidates[i], now);
    ledger->candidates_number = 0;

    for (__u32 i = 0; i < ledger->ports.number; i++) {
        struct series *series = &ledger->ports.series[i];

        if (!is_zero(&series->pending))
            credit(series, &series->pending);
        series->pending = (struct pb_counters){0};
    }
}

void ledger_for_each_port(const struct ledger *ledger, ledger_port_fn *port, void *context) {
    for (__u32 i = 0; i < ledger->ports.number; i++) {
        const struct series *series = &ledger->ports.series[i];

        if (series->active && !is_group(series->key))
            port(context, series->key,
                 series->kind == DYNAMIC ? series->decayed_peak : LEDGER_BUSY_MAX);
    }
}

void ledger_end(struct ledger *ledger, __u32 key) {
    struct series *series = find_series(ledger, key);

    if (series && series->active)
        series->ending = true;
}

static void report_series(struct series *series, const char *instance, ledger_report_fn *report,
                          void *context) {
    report(context, instance, &series->total);
    series->reported = true;
    series->unreported = !is_zero(&series->deferred);
    add_counters(&series->total, &series->deferred);
    series->deferred = (struct pb_counters){0};
}

void ledger_report(struct ledger *ledger, ledger_report_fn *report, void *context) {
    char name[SERIES_NAME_SIZE];

    for (__u32 i = 0; i < ledger->fixed_number; i++) {
        __u32 slot = ledger->fixed_used[i];

        if (!ledger->fixed[slot].active)
            continue;
        series_name(name, slot, PB_KEYS);
        report_series(&ledger->fixed[slot], name, report, context);
    }
    for (__u32 i = 0; i < ledger->ports.number; i++) {
        struct series *series = &ledger->ports.series[i];

        if (!series->active)
            continue;
        if (!is_group(series->key))
            series_name(name, PB_FIXED_SLOTS, series->key);
        report_series(series, is_group(series->key) ? ledger->policy.group[i] : name, report,
                      context);
    }
}

void ledger_suspend(struct ledger *ledger) {
    for (__u32 i = 0; i < ledger->fixed_number; i++)
        end_series(&ledger->fixed[ledger->fixed_used[i]]);
    for (__u32 i = 0; i < ledger->ports.number; i++)
        end_series(&ledger->ports.series[i]);
}

bool ledger_is_zero(const struct ledger *ledger) {
    for (__u32 i = 0; i < ledger->ports.number; i++) {
        const struct series *series = &ledger->ports.series[i];

        if (!is_zero(&series->total) || !is_zero(&series->deferred) || !is_zero(&series->pending))
            return false;
    }
    return !ledger->fixed_number;
}
