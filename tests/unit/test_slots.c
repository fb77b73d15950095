/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots, step by step: each scenario puts the steps of the classifier and
 * of a read into one exact order. test_slots_stress.c runs them in any order.
 *
 * Links: plugin/slots.c, plugin/tally.c. Needs -pthread (simulation.h has a mutex).
 */
#include <errno.h>

#include "slots_fixture.h"
#include "tap.h"

/* ---- a new object ---- */

static void test_new(void) {
    struct slots *slots = (struct slots *)&slots;
    struct object object;
    struct pb_shared *shared;
    unsigned wrong = 0;
    const __u32 *list;
    __u32 number;

    object_new_of(&object, 1, 56, 7);
    shared = object.simulation.shared;
    ok(slots_new(&slots, shared, layout_of(PB_DYNAMIC_MAX + 1, 0)) == -EINVAL &&
           slots == (struct slots *)&slots,
       "too many dynamic slots: -EINVAL, the output unchanged");
    ok(slots_new(&slots, shared, layout_of(16, PB_PORT_KEYS + 1)) == -EINVAL &&
           slots == (struct slots *)&slots,
       "more reserved slots than ports: -EINVAL, the output unchanged");
    slots_free(NULL);
    ok(true, "slots_free accepts NULL");

    is_u64(slots_total(layout_of(56, 7)), PB_FIXED_SLOTS + 56 + 7,
           "the total includes slots of all kinds");
    number = slots_list(object.slots, false, &list);
    ok(number == PB_FIXED_SLOTS - 1 && list[0] == 1 && list[number - 1] == PB_FIXED_SLOTS - 1,
       "at first a read covers the fixed slots");
    number = slots_list(object.slots, true, &list);
    ok(number == PB_FIXED_SLOTS - 1 + 56 && list[0] == 1 && list[number - 1] == FIRST + 55,
       "an interface's last read also the dynamic ones");
    for (__u32 protocol = 0; protocol < PB_PROTOCOLS; protocol++)
        wrong += shared->table[PB_KEY_IP(protocol)] != PB_SLOT_IP(protocol);
    is_u64(wrong, 0, "each IP protocol starts with a fixed slot");
    is_u64(shared->table[PB_KEY_NONIP], PB_SLOT_NONIP, "non-IP starts with a fixed slot");
    is_u64(shared->table[PB_KEY_DECRYPTED], PB_SLOT_DECRYPTED, "decrypted packets, too");
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += shared->table[key] != 0;
    is_u64(wrong, 0, "no port starts with a slot");
    for (__u32 slot = FIRST; slot < FIRST + 56; slot++)
        wrong += place_of(&object, slot) != ON_RING;
    is_u64(wrong, 0, "each dynamic slot starts on the ring");
    is_u64(ring_length(&object), 56, "the ring's length is the number of dynamic slots");

    account_slots(&object);
    is_u64(object.records, 0, "without traffic nothing is accounted");
    object_free(&object);
}

/* ---- counting ---- */

static void test_fixed(void) {
    struct object object;
    struct record record;

    object_new_of(&object, 1, 16, 0);
    packet(&object, PB_KEY_IP(47), 101);
    packet(&object, PB_KEY_IP(47), 103);
    packet(&object, PB_KEY_NONIP, 107);
    /* On another CPU, GSO: 3 packets on the wire. */
    simulation_count(&object.simulation, 0, 1, PB_SLOT_IP(47), true, 109, 3);
    account_slots(&object);
    record = record_of(&object, PB_SLOT_IP(47));
    ok(object.records == 2 && record.delta.rx_bytes == 204 && record.delta.rx_packets == 2 &&
           record.delta.tx_bytes == 109 && record.delta.tx_packets == 3,
       "a fixed slot is the sum over all CPUs, by direction, bytes and packets");
    is_u64(record_of(&object, PB_SLOT_NONIP).delta.rx_bytes, 107, "non-IP is accounted");
    is_u64(ring_length(&object), 16, "a fixed slot takes nothing from the ring");

    account_slots(&object);
    is_u64(object.records, 0, "what was accounted once is not accounted again");
    object_free(&object);
}

static void test_first_packet(void) {
    const __u32 key = PB_KEY(PB_UDP, 53);
    struct object object;
    struct record record;
    __u32 slot;

    object_new_of(&object, 1, 16, 0);
    slot = packet(&object, key, 101);
    is_u64(slot, FIRST, "a new port's first packet allocates the first slot on the ring");
    is_u64(ring_length(&object), 15, "the ring is one slot shorter");
    is_u64(packet(&object, key, 103), slot, "the second packet finds the same slot");
    is_u64(ring_length(&object), 15, "and allocates none");
    account_slots(&object);
    record = record_of(&object, slot);
    ok(object.records == 1 && record.key == key && record.delta.rx_bytes == 204 &&
           record.delta.rx_packets == 2,
       "both packets are accounted to the port");
    is_u64(record.slot_bytes, 204,
           "slot_bytes is what the port counted in this slot, this read included");
    recycle_slots(&object);
    pick_victims(&object);
    packet(&object, key, 107);
    whole_read(&object);
    is_u64(record_of(&object, slot).slot_bytes, 311, "slot_bytes accumulates over reads");
    object_free(&object);
}

static void test_torn_packet(void) {
    const __u32 key = PB_KEY(PB_TCP, 22);
    struct object object;
    struct record record;
    __u32 slot;

    object_new_of(&object, 1, 16, 0);
    slot = lookup(&object, key);
    simulation_count(&object.simulation, 0, 0, slot, true, 101, 0);
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == key && record.delta.tx_bytes == 101 && record.delta.tx_packets == 0,
       "bytes are accounted when their packet is not seen yet");
    simulation_count(&object.simulation, 0, 0, slot, true, 0, 1);
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == key && record.delta.tx_bytes == 0 && record.delta.tx_packets == 1,
       "the packet is accounted in the next read, without bytes");
    simulation_count(&object.simulation, 0, 0, slot, false, 0, 1);
    account_slots(&object);
    is_u64(record_of(&object, slot).delta.rx_packets, 1,
           "a received packet without bytes is accounted, too");
    object_free(&object);
}

static void test_counter_wraps(void) {
    struct object object;

    object_new_of(&object, 1, 16, 0);
    packet(&object, PB_KEY_NONIP, UINT64_MAX - 9);
    account_slots(&object);
    packet(&object, PB_KEY_NONIP, 100);
    account_slots(&object);
    is_u64(record_of(&object, PB_SLOT_NONIP).delta.rx_bytes, 100,
           "a counter that wraps at 2^64 yields the right difference");
    object_free(&object);
}

static void test_exhaustion(void) {
    struct object object;
    unsigned wrong = 0;

    object_new_of(&object, 1, 16, 0);
    for (__u32 port = 1; port <= 16; port++)
        wrong += packet(&object, PB_KEY(PB_TCP, port), port) != FIRST + port - 1;
    is_u64(wrong, 0, "as many ports as there are slots get one each, in the ring's order");
    is_u64(ring_length(&object), 0, "then the ring is empty");
    is_u64(packet(&object, PB_KEY(PB_TCP, 17), 101), PB_SLOT_OTHER(PB_TCP),
           "a TCP port without a slot is counted in TCP's other");
    is_u64(packet(&object, PB_KEY(PB_UDP, 17), 103), PB_SLOT_OTHER(PB_UDP), "a UDP port in UDP's");
    is_u64(packet(&object, PB_KEY(PB_SCTP, 17), 107), PB_SLOT_OTHER(PB_SCTP),
           "an SCTP port in SCTP's");
    packet(&object, PB_KEY(PB_TCP, 9), 109);
    account_slots(&object);
    is_u64(object.records, 19, "each of them is accounted");
    is_u64(record_of(&object, FIRST + 8).delta.rx_bytes, 118,
           "a port with a slot keeps counting in it");
    is_u64(record_of(&object, PB_SLOT_OTHER(PB_UDP)).delta.rx_bytes, 103, "other is accounted");
    object_free(&object);
}

/* ---- recycling a slot ---- */

static void test_idle_slot(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    is_u64(unlink_slots(&object), 0, "a slot that counted since the previous read is not unlinked");
    account_slots(&object);
    recycle_slots(&object);
    pick_victims(&object);
    is_u64(place_of(&object, slot), IN_TABLE, "a victim stays in the table until the next read");
    is_u64(unlink_slots(&object), 1, "the next read unlinks it and reports that it waits");
    is_u64(place_of(&object, slot), NOWHERE,
           "an unlinked slot is neither in the table nor on the ring");
    quiesce_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE,
           "the grace period alone does not put it back on the ring");
    account_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE, "nor does the read of the counters");
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING, "recycling after that read does");
    is_u64(ring_length(&object), 16, "the ring is complete again");
    recycle_slots(&object);
    is_u64(ring_length(&object), 16, "a slot is recycled once");
    is_u64(unlink_slots(&object), 0, "nothing waits any more");
    object_free(&object);
}

static void test_not_before_grace(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    unsigned early = 0, unreported = 0;
    __u64 unlinked_at;
    __u32 slot;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    unlink_slots(&object);
    unlinked_at = object.now;
    for (int reads = 0; reads < 5; reads++) { /* the kernel refuses a grace period */
        slots_quiesce(object.slots, unlinked_at - 1);
        account_slots(&object);
        recycle_slots(&object);
        pick_victims(&object);
        early += place_of(&object, slot) != NOWHERE;
        unreported += unlink_slots(&object) != 1;
    }
    is_u64(early, 0,
           "without a grace period an unlinked slot is not recycled, however many reads pass");
    is_u64(unreported, 0, "and each read reports that it waits");

    count(&object, slot, 103); /* by the CPU that looked it up before */
    account_slots(&object);
    is_u64(record_of(&object, slot).key, key,
           "what it counts meanwhile is accounted to its old port");
    slots_quiesce(object.slots, unlinked_at);
    account_slots(&object);
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING,
           "a grace period that began when the slot was unlinked is sufficient");
    object_free(&object);
}

static void test_read_before_grace(void) {
    struct object object;
    __u32 slot;

    object_new(&object, 1, 16);
    slot = packet(&object, PB_KEY(PB_TCP, 80), 101);
    whole_read(&object);
    whole_read(&object);
    unlink_slots(&object);
    account_slots(&object); /* too early: a CPU may still count */
    recycle_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE,
           "a read of the counters before the grace period is not sufficient");
    count(&object, slot, 103);
    quiesce_slots(&object);
    account_slots(&object);
    is_u64(record_of(&object, slot).delta.rx_bytes, 103, "the read after it accounts the rest");
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING, "then the slot is recycled");
    object_free(&object);
}

static void test_late_count(void) {
    const __u32 first = PB_KEY(PB_TCP, 80), second = PB_KEY(PB_TCP, 443);
    struct object object;
    struct record record;
    __u32 slot, looked_up, again;

    object_new(&object, 1, 2);
    slot = packet(&object, first, 101);
    whole_read(&object);
    whole_read(&object);
    packet(&object, PB_KEY(PB_TCP, 22), 1); /* the ring is empty now */
    looked_up = lookup(&object, first);     /* a CPU has looked it up and is slow to count */
    unlink_slots(&object);
    again = lookup(&object, first);
    is_u64(again, PB_SLOT_OTHER(PB_TCP),
           "an unlinked slot is not found, and it is not on the ring");
    count(&object, looked_up, 103);
    quiesce_slots(&object);
    account_slots(&object);
    record = record_of(&object, slot);
    ok(looked_up == slot && record.key == first && record.delta.rx_bytes == 103 &&
           record.slot_bytes == 204,
       "what a CPU still counts in an unlinked slot is accounted to the port that had it");
    recycle_slots(&object);

    is_u64(packet(&object, second, 107), slot, "the next port is allocated the recycled slot");
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == second && record.delta.rx_bytes == 107,
       "and what it counts there is accounted to it");
    is_u64(record.slot_bytes, 107, "slot_bytes starts at 0 with the new port");
    object_free(&object);
}

/* The same port in two slots within one read: one unlinked, one new. */
static void test_two_slots_one_port(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 first, second;

    object_new(&object, 1, 2);
    first = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    lookup(&object, key);
    unlink_slots(&object);
    count(&object, first, 103);
    second = packet(&object, key, 107);
    quiesce_slots(&object);
    account_slots(&object);
    ok(second != first && record_of(&object, first).key == key &&
           record_of(&object, first).delta.rx_bytes == 103,
       "a port returns while its slot is unlinked: the rest of the old slot is accounted to it");
    ok(record_of(&object, second).key == key && record_of(&object, second).delta.rx_bytes == 107,
       "and so is what the new slot counted");
    is_u64(record_of(&object, second).slot_bytes, 107, "slot_bytes is that of the new slot only");
    object_free(&object);
}

static void test_victim_gets_busy(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    packet(&object, key, 103); /* after it was picked */
    unlink_slots(&object);
    quiesce_slots(&object);
    account_slots(&object);
    ok(record_of(&object, slot).key == key && record_of(&object, slot).delta.rx_bytes == 103,
       "what a victim counts before it is unlinked is accounted to its port");
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING, "and it is recycled");
    object_free(&object);
}

/* ---- folded ports ---- */

static void test_fold(void) {
    struct object object;
    struct pb_shared *shared;
    unsigned wrong = 0;

    object_new_of(&object, 1, 16, 0);
    shared = object.simulation.shared;
    fold_range(object.slots, 40000, 40010);
    for (__u32 transport = 0; transport < PB_TRANSPORTS; transport++)
        for (__u32 port = 0; port < PB_PORTS; port++)
            wrong += shared->table[PB_KEY(transport, port)] !=
                     (port >= 40000 && port <= 40010 ? PB_SLOT_EPHEMERAL(transport) : 0);
    is_u64(wrong, 0, "folded ports of every transport, and no others, share its ephemeral");
    is_u64(packet(&object, PB_KEY(PB_UDP, 40000), 97), PB_SLOT_EPHEMERAL(PB_UDP),
           "a packet of a folded port is counted in ephemeral");
    is_u64(ring_length(&object), 16, "and allocates no slot");
    is_u64(shared->table[PB_KEY_IP(1)], PB_SLOT_IP(1), "IP protocols are never folded");

    fold_range(object.slots, 40005, 40020);
    ok(shared->table[PB_KEY(PB_TCP, 40004)] == 0 &&
           shared->table[PB_KEY(PB_TCP, 40005)] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_KEY(PB_TCP, 40020)] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_KEY(PB_TCP, 40021)] == 0,
       "a new range replaces the previous one");
    ok(packet(&object, PB_KEY(PB_UDP, 40000), 97) >= FIRST,
       "a port that left the range is allocated slots again");
    fold_range(object.slots, 1, 0);
    is_u64(shared->table[PB_KEY(PB_TCP, 40010)], 0, "an empty range folds nothing");
    ok(shared->table[PB_KEY(PB_UDP, 40000)] >= FIRST, "a port with a slot keeps it");
    fold_range(object.slots, 0, 65535);
    ok(shared->table[0] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_PORT_KEYS - 1] == PB_SLOT_EPHEMERAL(PB_SCTP) &&
           shared->table[PB_PORT_KEYS] == PB_SLOT_IP(0),
       "all ports can be folded");
    object_free(&object);
}

static void test_fold_displaces(void) {
    const __u32 key = PB_KEY(PB_TCP, 40000);
    struct object object;
    struct record record;
    __u32 slot, looked_up;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    account_slots(&object);
    looked_up = lookup(&object, key);
    fold_range(object.slots, 40000, 40000);
    is_u64(place_of(&object, slot), NOWHERE, "folding unlinks a port's slot");
    is_u64(packet(&object, key, 103), PB_SLOT_EPHEMERAL(PB_TCP),
           "its packets are counted in ephemeral");
    count(&object, looked_up, 107);
    is_u64(unlink_slots(&object), 1, "the slot waits for a grace period like any other");
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == key && record.delta.rx_bytes == 107 && record.slot_bytes == 208,
       "what a CPU still counts in it is accounted to its port");
    recycle_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE, "without a grace period it is not recycled");
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    is_u64(place_of(&object, slot), ON_RING, "after one it is");
    object_free(&object);
}

/* A slot that is unlinked after the grace period began must not be recycled after it. */
static void test_fold_during_grace(void) {
    const __u32 key = PB_KEY(PB_TCP, 80), second = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 slot, other;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    other = packet(&object, second, 103);
    whole_read(&object);
    packet(&object, second, 103);
    whole_read(&object);
    is_u64(unlink_slots(&object), 1, "one slot waits");
    lookup(&object, second);
    fold_range(object.slots, 443, 443);
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    ok(place_of(&object, slot) == ON_RING && place_of(&object, other) == NOWHERE,
       "a slot unlinked during a grace period is not recycled after it");
    count(&object, other, 107);
    is_u64(unlink_slots(&object), 1, "it waits for the next one");
    quiesce_slots(&object);
    account_slots(&object);
    is_u64(record_of(&object, other).key, second, "what it counts late is accounted to its port");
    recycle_slots(&object);
    is_u64(place_of(&object, other), ON_RING, "then it is recycled");
    object_free(&object);
}

/* Unlinked twice: the second time needs a grace period of its own. */
static void test_fold_twice(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1, 1);
    slot = packet(&object, key, 101);
    fold_range(object.slots, 80, 80);
    unlink_slots(&object);
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    fold_range(object.slots, 1, 0);
    is_u64(packet(&object, key, 103), slot,
           "a slot that was unlinked and recycled is allocated again");
    fold_range(object.slots, 80, 80);
    quiesce_slots(&object); /* of the first time */
    account_slots(&object);
    recycle_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE, "unlinked again, it waits for another grace period");
    object_free(&object);
}

static void test_fold_of_a_victim(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    fold_range(object.slots, 80, 80);
    is_u64(unlink_slots(&object), 1, "a victim that folding unlinks is counted as waiting once");
    is_u64(object.simulation.shared->table[key], PB_SLOT_EPHEMERAL(PB_TCP),
           "the port stays folded");
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    ok(place_of(&object, slot) == ON_RING && ring_length(&object) == 16,
       "the slot is recycled once");
    object_free(&object);
}

/* ---- reserved slots ---- */

/* How many slots a read covers. */
static __u32 listed(struct object *object) {
    const __u32 *list;

    return slots_list(object->slots, false, &list);
}

static void test_reserve(void) {
    const __u32 key = PB_KEY(PB_TCP, 443), second = PB_KEY(PB_UDP, 53);
    struct object object;
    struct record record;
    __u32 slot;

    object_new_of(&object, 1, 4, 2);
    object.kept = key;
    ok(slots_reserve(object.slots, key), "a port can have a reserved slot");
    slot = slot_of(&object, key);
    is_u64(slot, FIRST + 4, "it comes after the dynamic slots");
    is_u64(listed(&object), PB_FIXED_SLOTS, "a read now covers it");
    ok(slots_reserve(object.slots, key) && slot_of(&object, key) == slot,
       "reserved again, it is the same slot");
    is_u64(listed(&object), PB_FIXED_SLOTS, "and a read covers no other");
    is_u64(packet(&object, key, 101), slot, "the port is counted in it");
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == key && record.delta.rx_bytes == 101 && record.slot_bytes == 101,
       "and accounted");
    recycle_slots(&object);
    pick_victims(&object);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object);
    is_u64(slot_of(&object, key), slot, "the slot of a port to keep is kept, idle or not");
    ok(slots_reserve(object.slots, second) && slot_of(&object, second) == FIRST + 5,
       "the next port gets the next reserved slot");
    ok(!slots_reserve(object.slots, PB_KEY(PB_TCP, 22)), "without a free slot slots_reserve fails");
    is_u64(slot_of(&object, PB_KEY(PB_TCP, 22)), 0, "and changes nothing");
    ok(slots_reserve(object.slots, key), "for a port with a reserved slot it succeeds");
    is_u64(listed(&object), PB_FIXED_SLOTS + 1, "a read now covers both");
    object_free(&object);
}

static void test_scan_takes_no_reserved_slot(void) {
    struct object object;
    unsigned taken = 0;

    object_new_of(&object, 1, 4, 4);
    object.kept = PB_KEY(PB_TCP, 443);
    slots_reserve(object.slots, PB_KEY(PB_TCP, 443));
    for (__u32 port = 1000; port < 3000; port++) {
        taken += packet(&object, PB_KEY(PB_TCP, port), 60) >= FIRST + 4;
        if (port % 10 == 0)
            whole_read(&object);
    }
    is_u64(taken, 0, "a scan is allocated no slot for slots_reserve");
    is_u64(packet(&object, PB_KEY(PB_TCP, 443), 60), FIRST + 4,
           "and a reserved slot keeps its port");
    ok(slots_reserve(object.slots, PB_KEY(PB_TCP, 22)), "a slot can be reserved during a scan");
    object_free(&object);
}

static void test_no_dynamic_slots(void) {
    struct object object;

    object_new_of(&object, 1, 0, 1);
    object.kept = PB_KEY(PB_TCP, 443);
    slots_reserve(object.slots, PB_KEY(PB_TCP, 443));
    is_u64(packet(&object, PB_KEY(PB_TCP, 443), 101), FIRST,
           "without dynamic slots a port can have a reserved slot");
    is_u64(packet(&object, PB_KEY(PB_TCP, 80), 103), PB_SLOT_OTHER(PB_TCP),
           "all other ports are counted in other");
    whole_read(&object);
    is_u64(record_of(&object, FIRST).key, PB_KEY(PB_TCP, 443), "the reserved slot is accounted");
    is_u64(object.records, 2, "and other, but nothing else");
    object_free(&object);
}

static void test_reserve_displaces(void) {
    const __u32 key = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 dynamic, looked_up, reserved;

    object_new_of(&object, 1, 4, 1);
    object.kept = key;
    dynamic = packet(&object, key, 101);
    looked_up = lookup(&object, key);
    slots_reserve(object.slots, key);
    reserved = packet(&object, key, 103);
    ok(dynamic < FIRST + 4 && reserved == FIRST + 4, "the reserved slot replaces a dynamic one");
    is_u64(place_of(&object, dynamic), NOWHERE, "the dynamic slot is unlinked");
    count(&object, looked_up, 107);
    is_u64(unlink_slots(&object), 1, "and waits for its grace period");
    quiesce_slots(&object);
    account_slots(&object);
    ok(record_of(&object, dynamic).key == key && record_of(&object, dynamic).delta.rx_bytes == 208,
       "what the dynamic slot counted is accounted to the port");
    ok(record_of(&object, reserved).key == key &&
           record_of(&object, reserved).delta.rx_bytes == 103,
       "and so is what the reserved slot counted");
    is_u64(record_of(&object, reserved).slot_bytes, 103,
           "slot_bytes is that of the reserved slot only");
    recycle_slots(&object);
    is_u64(place_of(&object, dynamic), ON_RING, "the dynamic slot is recycled");
    object_free(&object);
}

static void test_reserved_slot_is_recycled(void) {
    const __u32 key = PB_KEY(PB_TCP, 443), next = PB_KEY(PB_UDP, 53);
    struct object object;
    struct record record;
    __u32 slot, looked_up;

    object_new_of(&object, 1, 4, 1);
    object.kept = key;
    slots_reserve(object.slots, key);
    slot = packet(&object, key, 101);
    whole_read(&object);
    packet(&object, key, 103);
    looked_up = lookup(&object, key);
    object.kept = NO_PORT;
    whole_read(&object);
    is_u64(slot_of(&object, key), 0,
           "the reserved slot of a port not to keep is unlinked, busy or not");
    ok(!slots_reserve(object.slots, next), "it is not available at once");
    count(&object, looked_up, 107);
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == key && record.delta.rx_bytes == 107 && record.slot_bytes == 311,
       "what a CPU still counts in it is accounted to its port");
    recycle_slots(&object);
    ok(!slots_reserve(object.slots, next), "it is not available without a grace period");
    is_u64(unlink_slots(&object), 1, "for which it waits");
    quiesce_slots(&object);
    ok(!slots_reserve(object.slots, next),
       "it is not available before its counters were read after the grace period");
    account_slots(&object);
    recycle_slots(&object);
    is_u64(place_of(&object, slot), NOWHERE, "it never appears on the ring");
    ok(slots_reserve(object.slots, next) && slot_of(&object, next) == slot,
       "recycled, it is available to another port");
    packet(&object, next, 109);
    account_slots(&object);
    record = record_of(&object, slot);
    ok(record.key == next && record.slot_bytes == 109,
       "which is credited with what it counts, slot_bytes from 0");
    ok(packet(&object, key, 113) < FIRST + 4, "the old port is counted like any other");
    object_free(&object);
}

static void test_reserve_in_fold(void) {
    const __u32 key = PB_KEY(PB_TCP, 40000);
    struct object object;
    __u32 slot;

    object_new_of(&object, 1, 4, 2);
    object.kept = key;
    fold_range(object.slots, 32768, 60999);
    slots_reserve(object.slots, key);
    slot = packet(&object, key, 101);
    is_u64(slot, FIRST + 4, "a folded port can have a reserved slot");
    fold_range(object.slots, 1, 0);
    fold_range(object.slots, 30000, 65535);
    is_u64(slot_of(&object, key), slot, "another range does not take it away");
    is_u64(slot_of(&object, PB_KEY(PB_UDP, 40000)), PB_SLOT_EPHEMERAL(PB_UDP),
           "while its neighbours are folded");
    object.kept = NO_PORT;
    pick_victims(&object);
    is_u64(slot_of(&object, key), PB_SLOT_EPHEMERAL(PB_TCP),
           "when the slot is unlinked, the port is folded");

    slots_reserve(object.slots, key);
    fold_range(object.slots, 1, 0);
    pick_victims(&object);
    is_u64(slot_of(&object, key), 0, "or counted like any other, if the range has changed");
    object_free(&object);
}

/* ---- key_of ---- */

static void fold_meanwhile(struct simulation *simulation, __u32 key) {
    simulation->before_publishing = NULL;
    fold_range(((struct object *)simulation->context)->slots, key % PB_PORTS, key % PB_PORTS);
}

static void test_stale_key_of(void) {
    const __u32 lost = PB_KEY(PB_TCP, 40000), winner = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new_of(&object, 1, 1, 0);
    object.simulation.context = &object;
    object.simulation.before_publishing = fold_meanwhile;
    is_u64(packet(&object, lost, 101), PB_SLOT_EPHEMERAL(PB_TCP),
           "a port folded while it is allocated a slot is counted in ephemeral");
    ok(object.simulation.shared->key_of[FIRST] == lost && place_of(&object, FIRST) == ON_RING,
       "the slot stays on the ring, with a stale key_of");
    account_slots(&object);
    is_u64(record_of(&object, FIRST).key, PB_KEYS,
           "a port is not credited because of a stale key_of");
    recycle_slots(&object);
    pick_victims(&object);
    is_u64(unlink_slots(&object), 0, "and makes no slot a victim");

    slot = packet(&object, winner, 103);
    account_slots(&object);
    ok(slot == FIRST && record_of(&object, slot).key == winner,
       "the next port is allocated the slot and credited");
    object_free(&object);
}

/* A slot that changes its owner between two reads, and counts nothing in between. */
static void test_new_owner_without_a_count(void) {
    const __u32 first = PB_KEY(PB_TCP, 80), second = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 slot, looked_up;

    object_new(&object, 1, 2);
    slot = packet(&object, first, 101);
    whole_read(&object);
    whole_read(&object);
    object.kept = PB_KEY(PB_TCP, 22);
    packet(&object, object.kept, 1); /* the ring is empty now */
    unlink_slots(&object);
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    looked_up = lookup(&object, second); /* between reading the counters and picking victims */
    pick_victims(&object);
    is_u64(unlink_slots(&object), 0,
           "a slot allocated since the counters were read is not a victim");
    account_slots(&object);
    recycle_slots(&object);
    pick_victims(&object);
    is_u64(unlink_slots(&object), 1, "if it then counts nothing until the next read, it is");
    count(&object, looked_up, 103);
    quiesce_slots(&object);
    account_slots(&object);
    ok(looked_up == slot && record_of(&object, slot).key == second,
       "what it counts after that is accounted to its new port");
    is_u64(record_of(&object, slot).slot_bytes, 103, "slot_bytes does not include the old port's");
    object_free(&object);
}

/* The same port again, in the same slot: key_of has not changed. */
static void test_same_owner_again(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1, 1);
    slot = packet(&object, key, 101);
    whole_read(&object);
    unlink_slots(&object);
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    is_u64(lookup(&object, key), slot, "a port may be allocated the slot that it had before");
    pick_victims(&object);
    is_u64(unlink_slots(&object), 0, "allocated since the counters were read: it is not a victim");
    count(&object, slot, 103);
    account_slots(&object);
    is_u64(record_of(&object, slot).slot_bytes, 103,
           "slot_bytes is what it counted since it was allocated again");
    object_free(&object);

    object_new(&object, 1, 1);
    packet(&object, key, 101);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object); /* the slot is on the ring for most of them */
    packet(&object, key, 103);
    is_u64(unlink_slots(&object), 0,
           "a slot that was on the ring is not a victim after its first packet");
    object_free(&object);
}

/* ---- which slots are victims ---- */

static void test_kept(void) {
    const __u32 key = PB_KEY(PB_TCP, 80), idle = PB_KEY(PB_TCP, 81);
    struct object object;
    unsigned unlinked = 0;

    object_new(&object, 1, 16);
    object.kept = key;
    packet(&object, key, 101);
    packet(&object, idle, 103);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object);
    ok(object.simulation.shared->table[key] != 0 && object.simulation.shared->table[idle] == 0,
       "an idle slot of a port to keep is spared, another is not");
    object.kept = NO_PORT;
    for (int reads = 0; reads < 2; reads++) {
        pick_victims(&object);
        unlinked += unlink_slots(&object);
    }
    ok(unlinked != 0, "when the port is not to be kept any more, it is unlinked");
    object_free(&object);
}

/* Fills 8 slots with ports 1 to 8, which count 100, 200, ... 800 bytes. */
static void fill(struct object *object) {
    object_new_of(object, 1, 8, 0);
    for (__u32 port = 1; port <= 8; port++)
        packet(object, PB_KEY(PB_TCP, port), port * 100);
}

/* A bit for each of ports 1 to 8 that has no slot any more. */
static unsigned unlinked_ports(const struct object *object) {
    unsigned ports = 0;

    for (__u32 port = 1; port <= 8; port++)
        ports |= (object->simulation.shared->table[PB_KEY(PB_TCP, port)] == 0) << port;
    return ports;
}

static void test_pressure(void) {
    struct object object;
    __u32 slot;

    fill(&object);
    whole_read(&object);
    is_u64(unlink_slots(&object), 4,
           "with an empty ring and no idle slot, those up to the mean are unlinked");
    is_u64(unlinked_ports(&object), 0x1e, "those are the ones that counted least");
    quiesce_slots(&object);
    account_slots(&object);
    recycle_slots(&object);
    ok(packet(&object, PB_KEY(PB_TCP, 99), 1) >= FIRST, "then a new port is allocated a slot");
    object_free(&object);

    fill(&object);
    object.kept = PB_KEY(PB_TCP, 1);
    whole_read(&object);
    unlink_slots(&object);
    is_u64(unlinked_ports(&object), 0x3c, "a port to keep is spared, and not part of the mean");
    object_free(&object);

    fill(&object);
    account_slots(&object);
    for (__u32 port = 1; port <= 8; port++)
        slots_keep(object.slots, PB_KEY(PB_TCP, port), 1);
    pick_victims(&object);
    for (__u32 port = 2; port <= 8; port++)
        packet(&object, PB_KEY(PB_TCP, port), 1);
    whole_read(&object);
    unlink_slots(&object);
    is_u64(unlinked_ports(&object), 0x3e,
           "an idle port is unlinked in any case, and not part of the mean");
    object_free(&object);

    object_new_of(&object, 1, 8, 0);
    for (__u32 port = 1; port <= 7; port++)
        packet(&object, PB_KEY(PB_TCP, port), port);
    whole_read(&object);
    is_u64(unlink_slots(&object), 0, "with one slot on the ring busy slots are spared");
    object_free(&object);

    object_new_of(&object, 1, 8, 0);
    for (__u32 port = 1; port <= 8; port++)
        packet(&object, PB_KEY(PB_TCP, port), 100);
    whole_read(&object);
    is_u64(unlink_slots(&object), 8, "equally busy slots are unlinked, too");
    object_free(&object);

    object_new_of(&object, 1, 2, 0);
    slot = packet(&object, PB_KEY(PB_TCP, 1), 100);
    account_slots(&object);
    lookup(&object, PB_KEY(PB_TCP, 2)); /* allocated, nothing counted yet */
    pick_victims(&object);
    unlink_slots(&object);
    ok(place_of(&object, slot) == NOWHERE && slot_of(&object, PB_KEY(PB_TCP, 2)) != 0,
       "a slot allocated since the counters were read is spared");
    object_free(&object);
}

/* ---- the maximum number of slots ---- */

static void test_full_size(void) {
    struct object object;
    unsigned misses = 0;
    __u64 taken;

    object_new_of(&object, 1, PB_DYNAMIC_MAX, 0);
    is_u64(ring_length(&object), PB_DYNAMIC_MAX, "the maximum of dynamic slots is on the ring");
    for (int round = 0; round < 3; round++) {
        for (__u32 port = 0; port < PB_DYNAMIC_MAX; port++)
            misses += packet(&object, PB_KEY(round % PB_TRANSPORTS, port), 1) < FIRST;
        taken = ring_length(&object);
        whole_read(&object);
        is_u64(object.records + taken, PB_DYNAMIC_MAX,
               "round %d: every slot is allocated and accounted once", round + 1);
        whole_read(&object); /* idle: victims */
        whole_read(&object); /* unlinked and recycled */
        is_u64(ring_length(&object), PB_DYNAMIC_MAX,
               "round %d: all are recycled, across the end of the ring", round + 1);
    }
    is_u64(misses, 0, "every port was allocated a slot");
    is_u64(object.simulation.shared->tail, 4ull * PB_DYNAMIC_MAX, "positions are never masked");
    object_free(&object);
}

int main(void) {
    test_new();
    test_fixed();
    test_first_packet();
    test_torn_packet();
    test_counter_wraps();
    test_exhaustion();
    test_idle_slot();
    test_not_before_grace();
    test_read_before_grace();
    test_late_count();
    test_two_slots_one_port();
    test_victim_gets_busy();
    test_fold();
    test_fold_displaces();
    test_fold_during_grace();
    test_fold_twice();
    test_fold_of_a_victim();
    test_reserve();
    test_scan_takes_no_reserved_slot();
    test_no_dynamic_slots();
    test_reserve_displaces();
    test_reserved_slot_is_recycled();
    test_reserve_in_fold();
    test_stale_key_of();
    test_new_owner_without_a_count();
    test_same_owner_again();
    test_kept();
    test_pressure();
    test_full_size();
    return tap_end();
}
