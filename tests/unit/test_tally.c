/* SPDX-License-Identifier: MIT */
/*
 * Slots that several interfaces share, step by step: what each interface counted is accounted to
 * the port that had the slot, while slots change their owners and interfaces come and go.
 *
 * Links: plugin/slots.c, plugin/slots_restore.c, plugin/tally.c. Needs -pthread (simulation.h has a
 * mutex).
 */
#include <unistd.h>

#include "slots_fixture.h"
#include "tap.h"

#define TCP(port) PB_KEY(PB_TCP, port)

/* ---- one slot, several interfaces ---- */

static void test_two_interfaces(void) {
    struct object object;
    struct record first, second;
    __u32 slot;

    object_new(&object, 3, 4);
    slot = packet_on(&object, 0, TCP(80), 101);
    is_u64(packet_on(&object, 1, TCP(80), 103), slot, "a port has one slot on all interfaces");
    packet_on(&object, 1, PB_KEY_NONIP, 107);
    whole_read(&object);
    first = record_on(&object, 0, slot);
    second = record_on(&object, 1, slot);
    ok(first.key == TCP(80) && first.delta.rx_bytes == 101 && first.delta.rx_packets == 1 &&
           second.key == TCP(80) && second.delta.rx_bytes == 103 && object.records == 3,
       "each interface is accounted what it counted, and nothing else");
    is_u64(record_on(&object, 1, PB_SLOT_NONIP).delta.rx_bytes, 107, "fixed slots, too");
    ok(first.slot_bytes == 101 && second.slot_bytes == 103,
       "slot_bytes is what the interface counted");

    packet_on(&object, 1, TCP(80), 109);
    packet_on(&object, 2, TCP(80), 113);
    whole_read(&object);
    ok(record_on(&object, 1, slot).slot_bytes == 212 &&
           record_on(&object, 2, slot).slot_bytes == 113,
       "slot_bytes accumulates by interface");
    is_u64(record_on(&object, 0, slot).key, PB_KEYS,
           "an interface that counted nothing is accounted nothing");
    object_free(&object);
}

static void test_new_owner(void) {
    struct object object;
    __u32 slot;

    object_new(&object, 2, 1);
    slot = packet_on(&object, 0, TCP(80), 1000);
    packet_on(&object, 1, TCP(80), 2000);
    for (int reads = 0; reads < 3; reads++)
        whole_read(&object);
    is_u64(place_of(&object, slot), ON_RING, "a slot that is idle on all interfaces is recycled");
    is_u64(packet_on(&object, 0, TCP(81), 101), slot, "and allocated to another port");
    whole_read(&object);
    ok(record_on(&object, 0, slot).key == TCP(81) && record_on(&object, 0, slot).slot_bytes == 101,
       "on the interface that counts first, slot_bytes starts at 0");
    packet_on(&object, 1, TCP(81), 103);
    packet_on(&object, 0, TCP(81), 107);
    whole_read(&object);
    ok(record_on(&object, 1, slot).key == TCP(81) &&
           record_on(&object, 1, slot).slot_bytes == 103 &&
           record_on(&object, 0, slot).slot_bytes == 208,
       "on another one as well, when it counts later");
    object_free(&object);
}

static void test_busy_on_one(void) {
    struct object object;
    __u32 slot;

    object_new(&object, 2, 4);
    slot = packet_on(&object, 0, TCP(80), 101);
    whole_read(&object);
    for (int reads = 0; reads < 3; reads++) {
        packet_on(&object, 1, TCP(80), 103);
        whole_read(&object);
    }
    is_u64(place_of(&object, slot), IN_TABLE, "a slot that is busy on one interface is not idle");
    /* Its last read is between two reads of all interfaces. */
    packet_on(&object, 1, TCP(80), 107);
    interface_goes(&object, 1);
    is_u64(record_on(&object, 1, slot).delta.rx_bytes, 107, "an interface goes");
    whole_read(&object);
    is_u64(unlink_slots(&object), 0, "what it counted since the previous read counts as well");
    account_slots(&object);
    recycle_slots(&object);
    pick_victims(&object);
    is_u64(unlink_slots(&object), 1, "then the slot is idle");
    object_free(&object);
}

/* ---- interfaces come and go ---- */

/* A slot is a victim, and both interfaces have CPUs that looked it up. */
static __u32 unlinked_slot(struct object *object) {
    __u32 slot;

    object_new(object, 2, 1);
    slot = packet_on(object, 0, TCP(80), 101);
    packet_on(object, 1, TCP(80), 103);
    whole_read(object); /* the ring is empty: it is a victim */
    unlink_slots(object);
    if (place_of(object, slot) != NOWHERE)
        abort();
    return slot;
}

static void test_goes_while_unlinked(void) {
    struct object object;
    struct record record;
    __u32 slot = unlinked_slot(&object);

    count_on(&object, 1, slot, 107);
    interface_goes(&object, 1);
    record = record_on(&object, 1, slot);
    ok(record.key == TCP(80) && record.delta.rx_bytes == 107 && record.slot_bytes == 210,
       "an interface's last read accounts what it counted in an unlinked slot to its port");
    is_u64(place_of(&object, slot), NOWHERE, "it recycles nothing");
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING, "the next read of the others does");
    object_free(&object);
}

static void test_goes_after_recycling(void) {
    struct object object;
    struct record record;
    __u32 slot = unlinked_slot(&object);

    count_on(&object, 1, slot, 107);
    quiesce_slots(&object);
    account_slots(&object);
    record = record_on(&object, 1, slot);
    ok(record.key == TCP(80) && record.delta.rx_bytes == 107,
       "before a slot is recycled, every interface's count is accounted to the old port");
    recycle_slots(&object);
    packet_on(&object, 1, TCP(443), 109);
    interface_goes(&object, 1);
    record = record_on(&object, 1, slot);
    ok(record.key == TCP(443) && record.delta.rx_bytes == 109 && record.slot_bytes == 109,
       "a last read finds the new port, before any other read");
    pick_victims(&object);
    packet_on(&object, 0, TCP(443), 113);
    whole_read(&object);
    ok(record_on(&object, 0, slot).key == TCP(443) && object.records == 1,
       "which the other interface has there, too");
    object_free(&object);
}

static void test_comes_while_unlinked(void) {
    struct object object;
    struct record record;
    __u32 slot = unlinked_slot(&object);

    interface_comes(&object, 2);
    count_on(&object, 2, slot, 107); /* nobody forbids it: the table is everybody's */
    quiesce_slots(&object);
    account_slots(&object);
    record = record_on(&object, 2, slot);
    ok(record.key == TCP(80) && record.slot_bytes == 107,
       "an interface comes while a slot is unlinked: it counts for the same port");
    recycle_slots(&object);
    packet_on(&object, 2, TCP(443), 109);
    packet_on(&object, 0, TCP(443), 113);
    whole_read(&object);
    record = record_on(&object, 2, slot);
    ok(record.key == TCP(443) && record.delta.rx_bytes == 109 && record.slot_bytes == 109,
       "and for the next one after it");
    is_u64(record_on(&object, 0, slot).slot_bytes, 113, "as the other interface does");
    object_free(&object);
}

static void test_comes_again(void) {
    struct object object;
    __u32 slot;

    object_new(&object, 2, 4);
    slot = packet_on(&object, 1, TCP(80), 1000);
    whole_read(&object);
    interface_goes(&object, 1);
    interface_comes(&object, 1);
    packet_on(&object, 1, TCP(80), 101);
    whole_read(&object);
    ok(record_on(&object, 1, slot).delta.rx_bytes == 101 &&
           record_on(&object, 1, slot).slot_bytes == 101,
       "an interface that comes again has new counters and begins at 0");
    object_free(&object);
}

/* ---- which slots are read ---- */

static bool is_listed(struct object *object, bool last, __u32 slot) {
    const __u32 *list;
    __u32 number = slots_list(object->slots, last, &list);

    for (__u32 i = 0; i < number; i++)
        if (list[i] == slot)
            return true;
    return false;
}

/* The classifier has published a slot, and its CPU has not come to emptying the cell. */
static __u32 publish(struct object *object, __u32 key) {
    struct pb_shared *shared = object->simulation.shared;
    __u32 slot = shared->ring[shared->head & (PB_RING - 1)];

    shared->key_of[slot] = key;
    shared->table[key] = slot;
    return slot;
}

static void finish_publishing(struct object *object) {
    struct pb_shared *shared = object->simulation.shared;

    shared->ring[shared->head & (PB_RING - 1)] = 0;
    shared->head++;
}

static void test_list(void) {
    struct object object;
    struct record record;
    const __u32 *list;
    __u32 slot, number, wrong = 0;

    object_new(&object, 2, 4);
    slot = packet_on(&object, 0, TCP(80), 101);
    number = slots_list(object.slots, false, &list);
    for (__u32 i = 1; i < number; i++)
        wrong += list[i] <= list[i - 1];
    is_u64(wrong, 0, "the list of slots ascends");
    is_u64(number, PB_FIXED_SLOTS - 1 + 7, "it has the fixed slots and those that ports have");
    ok(is_listed(&object, false, slot), "a slot that a port has is listed");
    whole_read(&object);
    whole_read(&object);
    unlink_slots(&object);
    ok(is_listed(&object, false, slot), "an unlinked one is");
    quiesce_slots(&object);
    ok(is_listed(&object, false, slot), "a quiescent one is");
    account_slots(&object);
    recycle_slots(&object);
    ok(!is_listed(&object, false, slot), "one on the ring is not");
    ok(is_listed(&object, true, slot), "but in an interface's last read it is");

    slot = publish(&object, TCP(443));
    count_on(&object, 0, slot, 103);
    count_on(&object, 1, slot, 107);
    account_slots(&object);
    is_u64(object.records, 0, "a slot that is allocated meanwhile is left to the next read");
    interface_goes(&object, 1);
    record = record_on(&object, 1, slot);
    ok(record.key == TCP(443) && record.delta.rx_bytes == 107,
       "an interface's last read has it: there is no next one");
    fold_range(object.slots, 443, 443);
    account_slots(&object);
    record = record_on(&object, 0, slot);
    ok(record.key == TCP(443) && record.delta.rx_bytes == 103,
       "if it is unlinked before its cell is empty, it is read");
    is_u64(unlink_slots(&object), 1, "and waits for its grace period");
    finish_publishing(&object);
    object_free(&object);
}

static void test_allocated_after_list(void) {
    struct object object;
    struct record record;
    const __u32 *list;
    __u32 number, slot;

    object_new_of(&object, 1, 4, 2);
    number = slots_list(object.slots, false, &list);
    slot = packet(&object, TCP(80), 101);
    slots_reserve(object.slots, TCP(443));
    packet(&object, TCP(443), 103);
    object.records = 0;
    read_counters(&object, 0, list, number);
    account_counters(&object, 0);
    is_u64(object.records, 0, "slots that a port got after the list was made are not looked at");
    recycle_slots(&object);
    object.kept = TCP(443);
    pick_victims(&object);
    is_u64(unlink_slots(&object), 0, "nor unlinked");
    account_slots(&object);
    record = record_of(&object, slot);
    ok(object.records == 2 && record.key == TCP(80) && record.delta.rx_bytes == 101 &&
           record_of(&object, FIRST + 4).key == TCP(443) &&
           record_of(&object, FIRST + 4).delta.rx_bytes == 103,
       "the next read accounts them");
    object_free(&object);
}

static void test_freed_slot_is_not_listed(void) {
    struct object object;

    object_new_of(&object, 1, 4, 2);
    slots_reserve(object.slots, TCP(443));
    ok(is_listed(&object, false, FIRST + 4) && !is_listed(&object, true, FIRST + 5),
       "a reserved slot is listed, one that never was is not");
    whole_read(&object); /* not kept */
    ok(is_listed(&object, false, FIRST + 4), "an unlinked reserved slot is");
    whole_read(&object);
    ok(!is_listed(&object, true, FIRST + 4), "one that is free again is not");
    object_free(&object);
}

/* ---- which slots are recycled ---- */

/* A service that sends 3,000 bytes in every fifth read. */
static void test_bursts(void) {
    struct object object;
    __u64 most = 0;

    object_new_of(&object, 1, 16, 0);
    for (int reads = 0; reads < 50; reads++) {
        if (reads % 5 == 0)
            packet(&object, TCP(80), 3000);
        whole_read(&object);
        if (object.records && object.record[0].slot_bytes > most)
            most = object.record[0].slot_bytes;
    }
    is_u64(most, 30000, "while half of the slots are free, bursts add up");
    object_occupy(&object, 8);
    most = 0;
    for (int reads = 0; reads < 50; reads++) {
        if (reads % 5 == 0)
            packet(&object, TCP(81), 3000);
        whole_read(&object);
        if (object.records && object.record[0].slot_bytes > most)
            most = object.record[0].slot_bytes;
    }
    is_u64(most, 3000, "when fewer are free, idle slots are recycled");
    object_free(&object);
}

/* Ports 1 to 16 have all slots. Their series are kept, busy as the port number says. */
static void keep_16(struct object *object) {
    for (__u32 port = 1; port <= 16; port++)
        slots_keep(object->slots, TCP(port), port);
}

static void begin_16(struct object *object) {
    object_new_of(object, 1, 16, 0);
    for (__u32 port = 1; port <= 16; port++)
        packet(object, TCP(port), 100);
    account_slots(object);
    recycle_slots(object);
}

/* A bit for each port that had to end. */
static unsigned ended_ports(const struct object *object) {
    unsigned ports = 0;

    for (unsigned i = 0; i < object->ended; i++)
        ports |= 1u << object->ended_key[i] % PB_PORTS;
    return ports;
}

static void test_surplus(void) {
    struct object object;

    begin_16(&object);
    keep_16(&object);
    end_surplus(&object);
    ok(object.ended == 4 && ended_ports(&object) == 0x1e,
       "of 16 slots at most 12 are kept: the series of the least busy ones end");
    slots_pick_victims(object.slots);
    is_u64(unlink_slots(&object), 4, "and their slots are unlinked, although they are busy");
    ok(slot_of(&object, TCP(4)) == 0 && slot_of(&object, TCP(5)) != 0, "these and no others");
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    for (__u32 port = 5; port <= 16; port++)
        slots_keep(object.slots, TCP(port), port);
    end_surplus(&object);
    is_u64(object.ended, 0, "12 may be kept");
    object_free(&object);

    begin_16(&object);
    keep_16(&object);
    keep_16(&object);
    for (int interfaces = 0; interfaces < 5; interfaces++)
        slots_keep(object.slots, TCP(1), 7); /* 37 in all; port 13 has 26 */
    slots_keep(object.slots, TCP(2), SLOTS_BUSY_MAX);
    slots_keep(object.slots, TCP(2), 7);
    slots_keep(object.slots, TCP(3), SLOTS_BUSY_MAX - 7);
    slots_keep(object.slots, TCP(3), 7);
    end_surplus(&object);
    ok(object.ended == 4 && ended_ports(&object) == 0xf0,
       "how busy a series is on several interfaces is added up, and does not overflow");
    object_free(&object);

    begin_16(&object);
    packet(&object, TCP(1), 100);
    account_slots(&object);
    for (__u32 port = 1; port <= 14; port++)
        slots_keep(object.slots, TCP(port), port <= 13 ? SLOTS_BUSY_MAX : port);
    slots_keep(object.slots, TCP(999), 1); /* has no slot */
    end_surplus(&object);
    ok(object.ended == 2 && object.ended_key[0] == TCP(14),
       "listening ports are ended after all others");
    is_u64(object.ended_key[1], TCP(2), "and of them those that counted least");
    slots_pick_victims(object.slots);
    end_surplus(&object);
    is_u64(object.ended, 0, "what was kept is forgotten with the end of a read");
    object_free(&object);

    object_new_of(&object, 1, 16, 0);
    account_slots(&object);
    for (__u32 port = 1; port <= 16; port++)
        lookup(&object, TCP(port));
    keep_16(&object);
    end_surplus(&object);
    ok(object.ended == 4 && ended_ports(&object) == 0x1e,
       "slots that were allocated since the counters were read are part of it");
    slots_pick_victims(object.slots);
    is_u64(unlink_slots(&object), 4, "and are unlinked");
    object_free(&object);

    object_new_of(&object, 1, 16, 16);
    for (__u32 port = 1; port <= 16; port++) {
        slots_reserve(object.slots, TCP(port));
        slots_keep(object.slots, TCP(port), 1);
    }
    end_surplus(&object);
    is_u64(object.ended, 0, "reserved slots are not part of it");
    object_free(&object);
}

/* ---- a process that is killed in the middle of a read ---- */

#define SAVED_DYNAMIC  4
#define SAVED_RESERVED 2

/* What outlives it. */
struct saved {
    void *slots, *tally[2];
};

static void saved_new(struct saved *saved, struct object *object) {
    object_new_of(object, 2, SAVED_DYNAMIC, SAVED_RESERVED);
    object_occupy(object, SAVED_DYNAMIC - 1);
    saved->slots = malloc(slots_saved_size(layout_of(SAVED_DYNAMIC, SAVED_RESERVED)));
    for (unsigned i = 0; i < 2; i++)
        saved->tally[i] = malloc(tally_saved_size(layout_of(SAVED_DYNAMIC, SAVED_RESERVED)));
}

static void saved_free(struct saved *saved, struct object *object) {
    object_free(object);
    free(saved->slots);
    free(saved->tally[0]);
    free(saved->tally[1]);
}

static void save_tally(struct saved *saved, const struct object *object, unsigned interface) {
    tally_save(object->tally[interface], saved->tally[interface]);
}

/* A read, up to where the slots are recycled; the first `saves` of its three states are saved. */
static void read_and_save(struct saved *saved, struct object *object, unsigned saves) {
    unlink_slots(object);
    quiesce_slots(object);
    account_slots(object);
    for (unsigned interface = 0; interface < 2 && interface < saves; interface++)
        save_tally(saved, object, interface);
    if (saves == 3)
        slots_save(object->slots, saved->slots);
}

static void finish_read(struct object *object) {
    recycle_slots(object);
    pick_victims(object);
}

static void killed(struct saved *saved, struct object *object) {
    for (unsigned i = 0; i < 2; i++)
        tally_free(object->tally[i]);
    slots_free(object->slots);
    if (slots_restore(&object->slots, object->simulation.shared,
                      layout_of(SAVED_DYNAMIC, SAVED_RESERVED), saved->slots) ||
        tally_restore(&object->tally[0], object->slots, saved->tally[0]) ||
        tally_restore(&object->tally[1], object->slots, saved->tally[1]))
        abort();
}

/* Port 80 is idle on both interfaces, is a victim, and both were saved. */
static __u32 saved_victim(struct saved *saved, struct object *object) {
    __u32 slot;

    saved_new(saved, object);
    slot = packet_on(object, 0, TCP(80), 1000);
    packet_on(object, 1, TCP(80), 2000);
    read_and_save(saved, object, 3);
    finish_read(object); /* the ring is empty: it is a victim */
    return slot;
}

/* Whether the last read accounted this. bytes 0: nothing. */
static bool accounted(const struct object *object, unsigned interface, __u32 slot, __u32 key,
                      __u64 bytes, __u64 slot_bytes) {
    struct record record = record_on(object, interface, slot);

    if (bytes == 0)
        return record.key == PB_KEYS;
    return record.key == key && record.delta.rx_bytes == bytes && record.slot_bytes == slot_bytes;
}

static void test_killed_while_unlinked(void) {
    for (unsigned saves = 0; saves <= 3; saves++) {
        struct object object;
        struct saved saved;
        __u32 slot = saved_victim(&saved, &object);

        unlink_slots(&object);
        count_on(&object, 0, slot, 101); /* by CPUs that looked it up before */
        count_on(&object, 1, slot, 103);
        quiesce_slots(&object);
        account_slots(&object);
        for (unsigned interface = 0; interface < 2 && interface < saves; interface++)
            save_tally(&saved, &object, interface);
        if (saves == 3)
            slots_save(object.slots, saved.slots);
        killed(&saved, &object);
        account_slots(&object);
        ok(accounted(&object, 0, slot, TCP(80), saves >= 1 ? 0 : 101, 1101) &&
               accounted(&object, 1, slot, TCP(80), saves >= 2 ? 0 : 103, 2103),
           "a slot is unlinked, killed after %u of three saves: what was not saved is accounted "
           "to its port",
           saves);
        recycle_slots(&object);
        is_u64(place_of(&object, slot), NOWHERE, "the slot waits for a grace period again");
        unlink_slots(&object);
        quiesce_slots(&object);
        account_slots(&object);
        recycle_slots(&object);
        is_u64(place_of(&object, slot), ON_RING, "then it is recycled");
        packet_on(&object, 0, TCP(81), 107);
        packet_on(&object, 1, TCP(81), 109);
        account_slots(&object);
        ok(accounted(&object, 0, slot, TCP(81), 107, 107) &&
               accounted(&object, 1, slot, TCP(81), 109, 109),
           "and the next port begins at 0 on both interfaces");
        saved_free(&saved, &object);
    }
}

/* next: the port that gets the slot after it was recycled; it may be the one that had it. */
static void test_killed_after_recycling(__u32 next, const char *what) {
    for (unsigned saves = 0; saves <= 3; saves++) {
        struct object object;
        struct saved saved;
        __u32 slot = saved_victim(&saved, &object);

        read_and_save(&saved, &object, 3);
        recycle_slots(&object);
        packet_on(&object, 0, next, 101);
        packet_on(&object, 1, next, 103);
        pick_victims(&object);
        read_and_save(&saved, &object, saves);
        killed(&saved, &object);
        packet_on(&object, 0, next, 107);
        packet_on(&object, 1, next, 109);
        account_slots(&object);
        ok(accounted(&object, 0, slot, next, saves >= 1 ? 107 : 208, 208) &&
               accounted(&object, 1, slot, next, saves >= 2 ? 109 : 212, 212),
           "%s has the slot, killed after %u of three saves: all is accounted to it, slot_bytes "
           "from 0",
           what, saves);
        saved_free(&saved, &object);
    }
}

/* As above, and the slot is unlinked again before its new owner is in a saved state. */
static void test_killed_after_unlinking_again(__u32 next, const char *what) {
    for (unsigned saves = 0; saves <= 2; saves++) {
        struct object object;
        struct saved saved;
        __u32 slot = saved_victim(&saved, &object), another;

        read_and_save(&saved, &object, 3);
        recycle_slots(&object);
        packet_on(&object, 0, next, 101);
        packet_on(&object, 1, next, 103);
        pick_victims(&object);
        slots_reserve(object.slots, next);
        read_and_save(&saved, &object, saves);
        killed(&saved, &object);
        account_slots(&object);
        ok(record_on(&object, 0, slot).key == (saves >= 1 ? PB_KEYS : next) &&
               record_on(&object, 1, slot).key == (saves >= 2 ? PB_KEYS : next),
           "%s had the slot, which is unlinked again, killed after %u of three saves: what was "
           "not saved is accounted to it",
           what, saves);
        /* The generation is one that no tally was saved with. */
        object.kept = next;
        for (int reads = 0; reads < 2; reads++)
            whole_read(&object);
        another = packet_on(&object, 0, TCP(99), 107);
        packet_on(&object, 1, TCP(99), 109);
        account_slots(&object);
        ok(another == slot && accounted(&object, 0, slot, TCP(99), 107, 107) &&
               accounted(&object, 1, slot, TCP(99), 109, 109),
           "the port after it begins at 0 on both interfaces");
        saved_free(&saved, &object);
    }
}

static void test_killed_reserved(void) {
    for (unsigned saves = 0; saves <= 3; saves++) {
        struct object object;
        struct saved saved;
        __u32 slot = FIRST + SAVED_DYNAMIC;

        saved_new(&saved, &object);
        read_and_save(&saved, &object, 3);
        finish_read(&object);
        slots_reserve(object.slots, TCP(443));
        packet_on(&object, 0, TCP(443), 101);
        packet_on(&object, 1, TCP(443), 103);
        read_and_save(&saved, &object, saves);
        if (saves == 3)
            finish_read(&object); /* not kept: it is unlinked */
        killed(&saved, &object);
        count_on(&object, 0, slot, 107);
        count_on(&object, 1, slot, 109);
        account_slots(&object);
        ok(accounted(&object, 0, slot, TCP(443), saves >= 1 ? 107 : 208, 208) &&
               accounted(&object, 1, slot, TCP(443), saves >= 2 ? 109 : 212, 212),
           "a reserved slot, killed after %u of three saves: all is accounted to its port", saves);
        is_u64(slot_of(&object, TCP(443)), saves == 3 ? 0 : slot, "it is where it was");
        saved_free(&saved, &object);
    }
}

static void test_killed_forgets_what_is_kept(void) {
    struct object object;
    struct saved saved;
    __u32 slot;

    saved_new(&saved, &object);
    slots_reserve(object.slots, TCP(443));
    slot = packet_on(&object, 0, TCP(80), 101);
    account_slots(&object);
    slots_keep(object.slots, TCP(80), SLOTS_BUSY_MAX);
    slots_keep(object.slots, TCP(443), SLOTS_BUSY_MAX);
    save_tally(&saved, &object, 0);
    save_tally(&saved, &object, 1);
    slots_save(object.slots, saved.slots);
    killed(&saved, &object);
    pick_victims(&object);
    unlink_slots(&object);
    ok(place_of(&object, slot) == NOWHERE && slot_of(&object, TCP(443)) == 0,
       "what was kept before a kill is not kept after it");
    saved_free(&saved, &object);
}

static void test_restored_is_the_same(void) {
    struct object object;
    struct saved saved, again;
    size_t size = tally_saved_size(layout_of(SAVED_DYNAMIC, SAVED_RESERVED));

    saved_victim(&saved, &object);
    packet_on(&object, 1, PB_KEY_NONIP, 7);
    read_and_save(&saved, &object, 3);
    killed(&saved, &object);
    again.tally[0] = calloc(1, size);
    memcpy(again.tally[0], saved.tally[1], size);
    save_tally(&saved, &object, 1);
    ok(!memcmp(again.tally[0], saved.tally[1], size),
       "a tally that is restored is saved as it was");
    free(again.tally[0]);
    saved_free(&saved, &object);
}

/* ---- memory ---- */

static long resident_pages(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long size, resident = 0;

    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        abort();
    fclose(file);
    return resident;
}

#define MANY 200

static void test_memory(void) {
    static struct pb_shared shared;
    struct tally *tally[MANY];
    struct pb_counters *sums;
    struct slots *slots;
    const __u32 *list;
    long before, after, page = sysconf(_SC_PAGESIZE);
    __u32 number;

    if (slots_new(&slots, &shared, layout_of(4096, 4096)))
        abort();
    sums = calloc(slots_total(layout_of(4096, 4096)), sizeof(*sums));
    number = slots_list(slots, true, &list);
    for (__u32 i = 0; i < number; i++)
        sums[list[i]].rx_bytes = 0;
    before = resident_pages();
    for (unsigned i = 0; i < MANY; i++) {
        if (tally_new(&tally[i], slots))
            abort();
        sums[PB_SLOT_OTHER(PB_TCP)].rx_bytes = sums[FIRST + 4000].rx_bytes = 100 + i;
        slots_account(slots, tally[i], sums, on_account, &(struct object){0});
    }
    after = resident_pages();
    ok((after - before) * page < MANY * 6 * page,
       "a tally takes memory for the slots in which the interface counted only");
    diag("%ld bytes each", (after - before) * page / MANY);
    for (unsigned i = 0; i < MANY; i++)
        tally_free(tally[i]);
    slots_free(slots);
    free(sums);
}

int main(void) {
    test_two_interfaces();
    test_new_owner();
    test_busy_on_one();
    test_goes_while_unlinked();
    test_goes_after_recycling();
    test_comes_while_unlinked();
    test_comes_again();
    test_list();
    test_allocated_after_list();
    test_freed_slot_is_not_listed();
    test_bursts();
    test_surplus();
    test_killed_while_unlinked();
    test_killed_after_recycling(TCP(81), "another port");
    test_killed_after_recycling(TCP(80), "the same port");
    test_killed_after_unlinking_again(TCP(81), "another port");
    test_killed_after_unlinking_again(TCP(80), "the same port");
    test_killed_reserved();
    test_killed_forgets_what_is_kept();
    test_restored_is_the_same();
    test_memory();
    tally_free(NULL);
    ok(true, "tally_free accepts NULL");
    return tap_end();
}
