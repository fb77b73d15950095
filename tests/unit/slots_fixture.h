/* SPDX-License-Identifier: MIT */
/*
 * For tests that put the steps of the classifier and of a read into one exact order: the simulated
 * classifier, the slots under test, and the tallies of some interfaces. To be included in one file
 * of a program.
 */
#ifndef PB_SLOTS_FIXTURE_H
#define PB_SLOTS_FIXTURE_H

#include <stdint.h>

#include "simulation.h"
#include "slots.h"
#include "slots_short.h"

#define FIRST      PB_FIXED_SLOTS /* the first dynamic slot */
#define NO_PORT    UINT32_MAX
#define INTERFACES SIMULATION_ROWS
#define CPUS       2

struct record {
    unsigned interface;
    __u32 slot, key;
    __u64 slot_bytes;
    struct pb_counters delta;
};

#define RECORDS_MAX 64

struct object {
    struct simulation simulation;
    struct slots *slots;
    struct tally *tally[INTERFACES]; /* NULL: there is no such interface */
    struct pb_counters *sums;
    __u64 now;
    __u32 kept;     /* the port that pick_victims spares */
    __u32 occupied; /* and so many ports of object_occupy */
    struct record record[RECORDS_MAX];
    unsigned records; /* by the last read; those beyond RECORDS_MAX are not kept */
    unsigned reading; /* the interface that is being accounted */
    unsigned ended;   /* series, by the last read */
    __u32 ended_key[RECORDS_MAX];
};

/* ---- the classifier's steps ---- */

/* A packet's slot is looked up, but not counted in yet. */
static inline __u32 lookup(struct object *object, __u32 key) {
    return simulation_lookup(&object->simulation, key);
}

static inline void count_on(struct object *object, unsigned interface, __u32 slot, __u64 bytes) {
    simulation_count(&object->simulation, interface, 0, slot, false, bytes, 1);
}

static inline __u32 packet_on(struct object *object, unsigned interface, __u32 key, __u64 bytes) {
    __u32 slot = lookup(object, key);

    count_on(object, interface, slot, bytes);
    return slot;
}

/* On the first interface. */
static inline void count(struct object *object, __u32 slot, __u64 bytes) {
    count_on(object, 0, slot, bytes);
}

static inline __u32 packet(struct object *object, __u32 key, __u64 bytes) {
    return packet_on(object, 0, key, bytes);
}

/* ---- an object ---- */

static inline void interface_comes(struct object *object, unsigned interface) {
    simulation_clear_row(&object->simulation, interface);
    if (tally_new(&object->tally[interface], object->slots))
        abort();
}

static inline void object_new_of(struct object *object, unsigned interfaces, __u32 dynamic,
                                 __u32 reserved) {
    *object = (struct object){.kept = NO_PORT};
    simulation_new(&object->simulation, INTERFACES, CPUS,
                   slots_total(layout_of(dynamic, reserved)));
    object->sums = calloc(object->simulation.slots, sizeof(*object->sums));
    if (!object->sums ||
        slots_new(&object->slots, object->simulation.shared, layout_of(dynamic, reserved)))
        abort();
    for (unsigned interface = 0; interface < interfaces; interface++)
        interface_comes(object, interface);
}

/* Ports that count nothing and are kept, allocated before all others. */
static inline __u32 occupied_key(__u32 n) {
    return PB_KEY(PB_SCTP, 60000 + n);
}

static inline void object_occupy(struct object *object, __u32 ports) {
    for (; object->occupied < ports; object->occupied++)
        lookup(object, occupied_key(object->occupied));
}

/*
 * `available` slots are on the ring, and more others are occupied: that is less than half of all,
 * so idle slots are recycled.
 */
static inline void object_new(struct object *object, unsigned interfaces, __u32 available) {
    object_new_of(object, interfaces, 2 * available + 2, 0);
    object_occupy(object, available + 2);
}

static inline void object_free(struct object *object) {
    for (unsigned interface = 0; interface < INTERFACES; interface++)
        tally_free(object->tally[interface]);
    slots_free(object->slots);
    simulation_free(&object->simulation);
    free(object->sums);
}

/* ---- the steps of a read ---- */

static inline __u32 unlink_slots(struct object *object) {
    return slots_unlink(object->slots, ++object->now);
}

static inline void quiesce_slots(struct object *object) {
    slots_quiesce(object->slots, object->now);
}

static inline void on_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                              const struct pb_counters *delta) {
    struct object *object = context;

    if (object->records < RECORDS_MAX)
        object->record[object->records] = (struct record){.interface = object->reading,
                                                          .slot = slot,
                                                          .key = key,
                                                          .slot_bytes = slot_bytes,
                                                          .delta = *delta};
    object->records++;
}

static inline void list_slots(struct object *object, bool last) {
    const __u32 *list;

    slots_list(object->slots, last, &list);
}

static inline void read_counters(struct object *object, unsigned interface, const __u32 *list,
                                 __u32 number) {
    /* Whoever looks at a slot that was not read sees this. */
    memset(object->sums, 0xaa, object->simulation.slots * sizeof(*object->sums));
    simulation_read(&object->simulation, interface, list, number, object->sums);
}

static inline void account_counters(struct object *object, unsigned interface) {
    object->reading = interface;
    slots_account(object->slots, object->tally[interface], object->sums, on_account, object);
}

/* The last read of an interface that goes. */
static inline void interface_goes(struct object *object, unsigned interface) {
    const __u32 *list;
    __u32 number = slots_list(object->slots, true, &list);

    object->records = 0;
    read_counters(object, interface, list, number);
    account_counters(object, interface);
    tally_free(object->tally[interface]);
    object->tally[interface] = NULL;
}

/* All interfaces. */
static inline void account_slots(struct object *object) {
    const __u32 *list;
    __u32 number = slots_list(object->slots, false, &list);

    object->records = 0;
    for (unsigned interface = 0; interface < INTERFACES; interface++) {
        if (!object->tally[interface])
            continue;
        read_counters(object, interface, list, number);
        account_counters(object, interface);
    }
}

static inline void recycle_slots(struct object *object) {
    slots_recycle(object->slots);
}

static inline void on_end(void *context, __u32 key) {
    struct object *object = context;

    if (object->ended < RECORDS_MAX)
        object->ended_key[object->ended] = key;
    object->ended++;
}

static inline void end_surplus(struct object *object) {
    object->ended = 0;
    slots_end_surplus(object->slots, on_end, object);
}

static inline void pick_victims(struct object *object) {
    if (object->kept != NO_PORT)
        slots_keep(object->slots, object->kept, SLOTS_BUSY_MAX);
    for (__u32 n = 0; n < object->occupied; n++)
        slots_keep(object->slots, occupied_key(n), SLOTS_BUSY_MAX);
    slots_pick_victims(object->slots);
}

/* A whole read, with a grace period. */
static inline void whole_read(struct object *object) {
    if (unlink_slots(object))
        quiesce_slots(object);
    account_slots(object);
    recycle_slots(object);
    pick_victims(object);
}

/* What the last read accounted for this slot of an interface; key PB_KEYS: nothing. */
static inline struct record record_on(const struct object *object, unsigned interface, __u32 slot) {
    for (unsigned i = 0; i < object->records && i < RECORDS_MAX; i++)
        if (object->record[i].interface == interface && object->record[i].slot == slot)
            return object->record[i];
    return (struct record){.key = PB_KEYS};
}

static inline struct record record_of(const struct object *object, __u32 slot) {
    return record_on(object, 0, slot);
}

/* ---- where a slot is ---- */

enum place { NOWHERE, ON_RING, IN_TABLE, IN_TWO_PLACES };

static inline enum place place_of(const struct object *object, __u32 slot) {
    const struct pb_shared *shared = object->simulation.shared;
    unsigned ring = 0, table = 0;

    for (__u32 i = 0; i < PB_RING; i++)
        ring += shared->ring[i] == slot;
    for (__u32 key = 0; key < PB_KEYS; key++)
        table += shared->table[key] == slot;
    if (ring + table > 1)
        return IN_TWO_PLACES;
    return ring ? ON_RING : table ? IN_TABLE : NOWHERE;
}

static inline __u64 ring_length(const struct object *object) {
    return object->simulation.shared->tail - object->simulation.shared->head;
}

static inline __u32 slot_of(const struct object *object, __u32 key) {
    return object->simulation.shared->table[key];
}

#endif
