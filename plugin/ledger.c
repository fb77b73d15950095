/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "array.h"
#include "log.h"
#include "series_name.h"

enum kind { DYNAMIC, LISTENING, SELECTED }; /* the last that fits */

struct series {
    struct pb_counters total; /* what it says */
    struct pb_counters late;  /* what it says from the next read on */
    struct pb_counters fresh; /* booked at this read; whose it is ledger_update decides */
    __u64 busy;               /* bytes per read, a moving average */
    __u64 last;               /* when it last carried something; listening: had a socket */
    __u32 key;
    enum kind kind;
    bool up;
    bool spoken; /* has said something since it came up */
    bool owes;   /* has a total that is not said yet: may not end before it is */
};

/* A port without a series that may become one at this read. */
struct candidate {
    struct pb_counters delta;
    __u32 key;
};

struct ledger {
    struct ledger_policy policy;
    struct series fixed[PB_FIXED_SLOTS]; /* always there: "other" can take anything */
    struct series *ports;
    __u32 ports_number, ports_capacity;
    __u32 *port_of;           /* by key: 1 + its place in ports; 0: never had a series */
    __u32 made[SELECTED + 1]; /* how many of each kind ever became series, by first kind */
    struct candidate *candidates;
    __u32 candidates_number, candidates_capacity;
    char interface[64];
};

#define PORT_OF_BYTES (PB_PORT_KEYS * sizeof(__u32))

int ledger_new(struct ledger **out, const char *interface, const struct ledger_policy *policy) {
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    if (!ledger)
        return -ENOMEM;
    /*
     * Large and almost never written: untouched pages cost nothing. Not calloc, which after a
     * free takes such sizes from the heap, where it must write them.
     */
    ledger->port_of =
        mmap(NULL, PORT_OF_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ledger->port_of == MAP_FAILED) {
        free(ledger);
        return -ENOMEM;
    }
    ledger->policy = *policy;
    snprintf(ledger->interface, sizeof(ledger->interface), "%s", interface);
    *out = ledger;
    return 0;
}

void ledger_free(struct ledger *ledger) {
    if (!ledger)
        return;
    free(ledger->ports);
    munmap(ledger->port_of, PORT_OF_BYTES);
    free(ledger->candidates);
    free(ledger);
}

static void add(struct pb_counters *to, const struct pb_counters *delta) {
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

/* What comes before the series' first word is late. */
static void credit(struct series *series, const struct pb_counters *delta) {
    add(series->spoken ? &series->total : &series->late, delta);
    series->up = true;
}

static void end(struct series *series) {
    series->up = false;
    series->spoken = false;
}

static struct series *series_of(const struct ledger *ledger, __u32 key) {
    __u32 place = key < PB_PORT_KEYS ? ledger->port_of[key] : 0;

    return place ? &ledger->ports[place - 1] : NULL;
}

bool ledger_is_active(void *context, __u32 key) {
    const struct series *series = series_of(context, key);

    return series && series->up;
}

static void credit_other(struct ledger *ledger, __u32 key, const struct pb_counters *delta) {
    if (!is_zero(delta)) /* else "other" would come up for nothing */
        credit(&ledger->fixed[PB_SLOT_OTHER(key / PB_PORTS)], delta);
}

/* One that owes would lose what it has yet to say: it may not end. */
static bool may_end(const struct series *series) {
    return series->up && !series->owes && is_zero(&series->late);
}

/* Ends a port's series before this read: what the read brought is in "other". */
static void end_port(struct ledger *ledger, struct series *series) {
    credit_other(ledger, series->key, &series->fresh);
    series->fresh = (struct pb_counters){0};
    end(series);
}

void ledger_account(void *context, __u32 slot, __u32 key, __u64 held,
                    const struct pb_counters *delta) {
    struct candidate *candidates = NULL;
    struct ledger *ledger = context;
    struct series *series;

    if (slot < PB_FIXED_SLOTS) {
        credit(&ledger->fixed[slot], delta);
        return;
    }
    series = series_of(ledger, key);
    if (series && series->up) {
        add(&series->fresh, delta);
        return;
    }
    if (held >= ledger->policy.min_bytes)
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

/* The series of a port, made if there is none. NULL: the limit of its kind, or no memory. */
static struct series *have_series(struct ledger *ledger, __u32 key, enum kind kind) {
    struct series *series = series_of(ledger, key), *ports;

    if (series)
        return series;
    if (kind != SELECTED && ledger->made[kind] >= ledger->policy.max_series)
        return NULL;
    ports =
        array_grow(ledger->ports, ledger->ports_number, &ledger->ports_capacity, sizeof(*ports));
    if (!ports)
        return NULL;
    ledger->ports = ports;
    series = &ports[ledger->ports_number];
    *series = (struct series){.key = key, .kind = kind};
    ledger->port_of[key] = ++ledger->ports_number;
    if (++ledger->made[kind] == ledger->policy.max_series && kind != SELECTED)
        pb_log(LOG_WARNING,
               "%s: %u %s ports have become series since the start, which is the limit; further "
               "ones are counted in \"other\". Name those that matter with Port, or raise "
               "MaxPorts.",
               ledger->interface, ledger->policy.max_series,
               kind == LISTENING ? "listening" : "busy");
    return series;
}

bool ledger_select(struct ledger *ledger, __u32 key) {
    struct series *series = have_series(ledger, key, SELECTED);

    if (!series)
        return false;
    series->kind = SELECTED;
    series->up = true;
    return true;
}

bool ledger_listening(struct ledger *ledger, __u32 key, __u64 now) {
    struct series *series = have_series(ledger, key, LISTENING);

    if (!series)
        return false;
    if (series->kind != SELECTED)
        series->kind = LISTENING;
    series->up = true;
    series->last = now;
    return true;
}

/*
 * With TopPorts in force and as many series up: the weakest of them makes place, but
 * only for a port twice as busy, so that two of about the same size don't take turns.
 * Returns whether there is place.
 */
static bool make_place(struct ledger *ledger, __u64 bytes, __u32 *up) {
    struct series *weakest = NULL;

    if (!ledger->policy.top || *up < ledger->policy.top)
        return true;
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        struct series *series = &ledger->ports[i];

        if (may_end(series) && series->kind == DYNAMIC &&
            (!weakest || series->busy < weakest->busy))
            weakest = series;
    }
    if (!weakest || bytes / 2 <= weakest->busy)
        return false;
    end_port(ledger, weakest);
    --*up;
    return true;
}

static void settle_candidate(struct ledger *ledger, const struct candidate *candidate, __u64 now,
                             __u32 *up) {
    struct series *series = series_of(ledger, candidate->key);
    __u64 bytes = bytes_of(&candidate->delta);

    if (series && series->up) { /* the port had two slots since the last read */
        credit(series, &candidate->delta);
        return;
    }
    if ((series || ledger->made[DYNAMIC] < ledger->policy.max_series) &&
        make_place(ledger, bytes, up))
        series = have_series(ledger, candidate->key, DYNAMIC);
    else
        series = NULL;
    if (!series) {
        credit_other(ledger, candidate->key, &candidate->delta);
        return;
    }
    credit(series, &candidate->delta);
    series->busy = bytes;
    series->last = now;
    ++*up;
}

void ledger_update(struct ledger *ledger, __u64 now) {
    __u32 up = 0;

    for (__u32 i = 0; i < ledger->ports_number; i++) {
        struct series *series = &ledger->ports[i];
        __u64 bytes = bytes_of(&series->fresh);

        if (bytes && series->kind == DYNAMIC)
            series->last = now;
        /* Rises at once, falls by a quarter a read: a pause is no reason to lose one's place. */
        series->busy = greater(bytes, series->busy - series->busy / 4);
        if (may_end(series) && series->kind != SELECTED &&
            now - series->last >= ledger->policy.idle_timeout) {
            /* A port that listened once and is still busy comes back as others do, if it may. */
            end_port(ledger, series);
            series->kind = DYNAMIC;
        }
        up += series->up && series->kind == DYNAMIC;
    }

    /* The busiest first, in case not all of them can become series. */
    if (ledger->candidates_number)
        qsort(ledger->candidates, ledger->candidates_number, sizeof(*ledger->candidates), by_bytes);
    for (__u32 i = 0; i < ledger->candidates_number; i++)
        settle_candidate(ledger, &ledger->candidates[i], now, &up);
    ledger->candidates_number = 0;

    for (__u32 i = 0; i < ledger->ports_number; i++) {
        struct series *series = &ledger->ports[i];

        if (!is_zero(&series->fresh))
            credit(series, &series->fresh);
        series->fresh = (struct pb_counters){0};
    }
}

static void say_one(struct series *series, __u32 slot, ledger_report_fn *say, void *context) {
    char name[SERIES_NAME_SIZE];

    if (!series->up)
        return;
    series_name(name, slot, series->key);
    say(context, name, &series->total);
    series->spoken = true;
    series->owes = !is_zero(&series->late);
    add(&series->total, &series->late);
    series->late = (struct pb_counters){0};
}

void ledger_report(struct ledger *ledger, ledger_report_fn *say, void *context) {
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        say_one(&ledger->fixed[slot], slot, say, context);
    for (__u32 i = 0; i < ledger->ports_number; i++)
        say_one(&ledger->ports[i], PB_FIXED_SLOTS, say, context);
}

void ledger_suspend(struct ledger *ledger) {
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        end(&ledger->fixed[slot]);
    for (__u32 i = 0; i < ledger->ports_number; i++)
        end(&ledger->ports[i]);
}

/* ---- for another process ---- */

struct saved {
    __u32 ports_number;
    __u32 made[SELECTED + 1];
    struct series fixed[PB_FIXED_SLOTS];
    struct series ports[];
};

size_t ledger_saved_size(const struct ledger_policy *policy, __u32 selected) {
    /* Each kind has its limit, see have_series. */
    return sizeof(struct saved) +
           (2 * (size_t)policy->max_series + selected) * sizeof(struct series);
}

void ledger_save(const struct ledger *ledger, void *to) {
    struct saved *saved = to;

    saved->ports_number = ledger->ports_number;
    memcpy(saved->made, ledger->made, sizeof(saved->made));
    memcpy(saved->fixed, ledger->fixed, sizeof(saved->fixed));
    if (ledger->ports_number)
        memcpy(saved->ports, ledger->ports, ledger->ports_number * sizeof(saved->ports[0]));
}

/* The new collectd does not know the series; the old one may have ended before it was told. */
static void resume(struct series *series) {
    series->spoken = false;
    series->owes = series->up;
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
    memcpy(ledger->made, saved->made, sizeof(ledger->made));
    memcpy(ledger->fixed, saved->fixed, sizeof(ledger->fixed));
    memcpy(ports, saved->ports, saved->ports_number * sizeof(*ports));
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        resume(&ledger->fixed[slot]);
    for (__u32 i = 0; i < ledger->ports_number; i++) {
        resume(&ports[i]);
        ledger->port_of[ports[i].key] = i + 1;
    }
    return 0;
}
