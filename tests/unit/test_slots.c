/* SPDX-License-Identifier: MIT */
/*
 * User space's side of the slots, step by step: each scenario puts classifier and
 * reader into one exact order of events. test_slots_stress.c has the disorder.
 *
 * Links: plugin/slots.c. Needs -pthread (simulation.h has a mutex).
 */
#include <errno.h>
#include <stdint.h>

#include "simulation.h"
#include "slots.h"
#include "tap.h"

#define FIRST    PB_FIXED_SLOTS /* the first dynamic slot */
#define NOT_KEPT UINT32_MAX

struct booking {
    __u32 slot, key;
    __u64 held;
    struct pb_counters delta;
};

#define BOOKINGS 64

/* One object: the classifier's side and ours. */
struct object {
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *sums;
    __u64 now;
    __u32 kept; /* the key that slots_pick_victims shall keep */
    struct booking booking[BOOKINGS];
    unsigned bookings; /* of the last read */
};

static void object_new_granting(struct object *object, __u32 dynamic, __u32 granted) {
    *object = (struct object){.kept = NOT_KEPT};
    simulation_new(&object->simulation, 2, slots_total(dynamic, granted));
    object->sums = calloc(object->simulation.slots, sizeof(*object->sums));
    if (!object->sums || slots_new(&object->slots, object->simulation.shared, dynamic, granted))
        abort();
}

static void object_new(struct object *object, __u32 dynamic) {
    object_new_granting(object, dynamic, 0);
}

static void object_free(struct object *object) {
    slots_free(object->slots);
    simulation_free(&object->simulation);
    free(object->sums);
}

/* ---- the classifier's steps ---- */

/* A packet's slot is looked up; not counted yet: a CPU holds the slot. */
static __u32 look_up(struct object *object, __u32 key) {
    return simulation_lookup(&object->simulation, key);
}

static void count(struct object *object, __u32 slot, __u64 bytes) {
    simulation_count(&object->simulation, 0, slot, false, bytes, 1);
}

static __u32 packet(struct object *object, __u32 key, __u64 bytes) {
    __u32 slot = look_up(object, key);

    count(object, slot, bytes);
    return slot;
}

/* ---- the reader's steps ---- */

static void on_book(void *context, __u32 slot, __u32 key, __u64 held,
                    const struct pb_counters *delta) {
    struct object *object = context;

    if (object->bookings < BOOKINGS)
        object->booking[object->bookings] =
            (struct booking){.slot = slot, .key = key, .held = held, .delta = *delta};
    object->bookings++;
}

static bool keep(void *context, __u32 key) {
    return key == ((struct object *)context)->kept;
}

static __u32 withdraw(struct object *object) {
    return slots_unlink(object->slots, ++object->now);
}

static void passed(struct object *object) {
    slots_quiesce(object->slots, object->now);
}

static void book(struct object *object) {
    object->bookings = 0;
    simulation_read(&object->simulation, object->sums);
    slots_account(object->slots, object->sums, on_book, object);
}

static void release(struct object *object) {
    slots_recycle(object->slots);
}

static void choose(struct object *object) {
    slots_pick_victims(object->slots, keep, object);
}

/* A whole read, with a grace period. */
static void whole_read(struct object *object) {
    if (withdraw(object))
        passed(object);
    book(object);
    release(object);
    choose(object);
}

/* The booking of this slot at the last read, or one of nothing. */
static struct booking booking_of(const struct object *object, __u32 slot) {
    for (unsigned i = 0; i < object->bookings && i < BOOKINGS; i++)
        if (object->booking[i].slot == slot)
            return object->booking[i];
    return (struct booking){.key = PB_KEYS};
}

/* ---- where a slot is ---- */

enum place { NOWHERE, ON_RING, IN_TABLE, IN_TWO_PLACES };

static enum place place_of(const struct object *object, __u32 slot) {
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

static __u64 on_ring(const struct object *object) {
    return object->simulation.shared->tail - object->simulation.shared->head;
}

/* ---- a fresh object ---- */

static void test_new(void) {
    struct slots *slots = (struct slots *)&slots;
    struct object object;
    struct pb_shared *shared;
    unsigned wrong = 0;

    object_new_granting(&object, 56, 7);
    shared = object.simulation.shared;
    ok(slots_new(&slots, shared, PB_DYNAMIC_MAX + 1, 0) == -EINVAL &&
           slots == (struct slots *)&slots,
       "more dynamic slots than there can be: refused, the output untouched");
    ok(slots_new(&slots, shared, 16, PB_PORT_KEYS + 1) == -EINVAL &&
           slots == (struct slots *)&slots,
       "more slots to grant than there are ports: refused, the output untouched");
    slots_free(NULL);
    ok(true, "freeing no slots is fine");

    is_u64(slots_total(56, 7), PB_FIXED_SLOTS + 56 + 7, "all kinds of slots are in the total");
    is_u64(slots_used(object.slots), PB_FIXED_SLOTS + 56,
           "those that can count are fixed and dynamic ones");
    for (__u32 protocol = 0; protocol < PB_PROTOCOLS; protocol++)
        wrong += shared->table[PB_KEY_IP(protocol)] != PB_SLOT_IP(protocol);
    is_u64(wrong, 0, "each IP protocol begins with a slot of its own");
    is_u64(shared->table[PB_KEY_NONIP], PB_SLOT_NONIP, "so does what is not IP");
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += shared->table[key] != 0;
    is_u64(wrong, 0, "no port begins with a slot");
    for (__u32 slot = FIRST; slot < FIRST + 56; slot++)
        wrong += place_of(&object, slot) != ON_RING;
    is_u64(wrong, 0, "each dynamic slot begins on the ring");
    is_u64(on_ring(&object), 56, "and the ring says how many they are");

    book(&object);
    is_u64(object.bookings, 0, "nothing counted: nothing booked");
    object_free(&object);
}

/* ---- counting ---- */

static void test_fixed(void) {
    struct object object;
    struct booking booking;

    object_new(&object, 16);
    packet(&object, PB_KEY_IP(47), 101);
    packet(&object, PB_KEY_IP(47), 103);
    packet(&object, PB_KEY_NONIP, 107);
    simulation_count(&object.simulation, 1, PB_SLOT_IP(47), true, 109, 3); /* another CPU, GSO */
    book(&object);
    booking = booking_of(&object, PB_SLOT_IP(47));
    ok(object.bookings == 2 && booking.delta.rx_bytes == 204 && booking.delta.rx_packets == 2 &&
           booking.delta.tx_bytes == 109 && booking.delta.tx_packets == 3,
       "a fixed slot is booked as such, over all CPUs, both directions, bytes and packets");
    is_u64(booking_of(&object, PB_SLOT_NONIP).delta.rx_bytes, 107, "so is what is not IP");
    is_u64(on_ring(&object), 16, "a fixed slot takes nothing from the ring");

    book(&object);
    is_u64(object.bookings, 0, "what was booked once is not booked again");
    object_free(&object);
}

static void test_first_packet(void) {
    const __u32 key = PB_KEY(PB_UDP, 53);
    struct object object;
    struct booking booking;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    is_u64(slot, FIRST, "a new port's first packet takes the first slot of the ring");
    is_u64(on_ring(&object), 15, "which has one less then");
    is_u64(packet(&object, key, 103), slot, "the second packet finds the slot");
    is_u64(on_ring(&object), 15, "and takes none");
    book(&object);
    booking = booking_of(&object, slot);
    ok(object.bookings == 1 && booking.key == key && booking.delta.rx_bytes == 204 &&
           booking.delta.rx_packets == 2,
       "both are booked to the port");
    is_u64(booking.held, 204, "held is what the port carried in this slot, this read included");
    release(&object);
    choose(&object);
    packet(&object, key, 107);
    whole_read(&object);
    is_u64(booking_of(&object, slot).held, 311, "held goes on over reads");
    object_free(&object);
}

static void test_torn_packet(void) {
    const __u32 key = PB_KEY(PB_TCP, 22);
    struct object object;
    struct booking booking;
    __u32 slot;

    object_new(&object, 16);
    slot = look_up(&object, key);
    simulation_count(&object.simulation, 0, slot, true, 101, 0);
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == key && booking.delta.tx_bytes == 101 && booking.delta.tx_packets == 0,
       "bytes seen before their packet are booked");
    simulation_count(&object.simulation, 0, slot, true, 0, 1);
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == key && booking.delta.tx_bytes == 0 && booking.delta.tx_packets == 1,
       "the packet that follows its bytes is booked");
    simulation_count(&object.simulation, 0, slot, false, 0, 1);
    book(&object);
    is_u64(booking_of(&object, slot).delta.rx_packets, 1, "so it is when received");
    object_free(&object);
}

static void test_counter_wraps(void) {
    struct object object;

    object_new(&object, 16);
    packet(&object, PB_KEY_NONIP, UINT64_MAX - 9);
    book(&object);
    packet(&object, PB_KEY_NONIP, 100);
    book(&object);
    is_u64(booking_of(&object, PB_SLOT_NONIP).delta.rx_bytes, 100,
           "a counter that passes 2^64 brings what it counted");
    object_free(&object);
}

static void test_exhaustion(void) {
    struct object object;
    unsigned wrong = 0;

    object_new(&object, 16);
    for (__u32 port = 1; port <= 16; port++)
        wrong += packet(&object, PB_KEY(PB_TCP, port), port) != FIRST + port - 1;
    is_u64(wrong, 0, "as many ports as there are slots get one each, in the ring's order");
    is_u64(on_ring(&object), 0, "then the ring is empty");
    is_u64(packet(&object, PB_KEY(PB_TCP, 17), 101), PB_SLOT_OTHER(PB_TCP),
           "one port more is counted in other");
    is_u64(packet(&object, PB_KEY(PB_UDP, 17), 103), PB_SLOT_OTHER(PB_UDP),
           "in that of its transport: UDP");
    is_u64(packet(&object, PB_KEY(PB_SCTP, 17), 107), PB_SLOT_OTHER(PB_SCTP),
           "in that of its transport: SCTP");
    packet(&object, PB_KEY(PB_TCP, 9), 109);
    book(&object);
    is_u64(object.bookings, 19, "each is booked");
    is_u64(booking_of(&object, FIRST + 8).delta.rx_bytes, 118, "a port with a slot keeps counting");
    is_u64(booking_of(&object, PB_SLOT_OTHER(PB_UDP)).delta.rx_bytes, 103, "and other is booked");
    object_free(&object);
}

/* ---- a slot's way back to the ring ---- */

static void test_idle_slot(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    is_u64(withdraw(&object), 0, "a slot that carried something in the interval is not withdrawn");
    book(&object);
    release(&object);
    choose(&object);
    is_u64(place_of(&object, slot), IN_TABLE,
           "a slot chosen stays in the table until the next read");
    is_u64(withdraw(&object), 1, "which withdraws it, and says that it waits");
    is_u64(place_of(&object, slot), NOWHERE,
           "a withdrawn slot is neither in table nor on the ring");
    passed(&object);
    is_u64(place_of(&object, slot), NOWHERE, "the grace period alone does not bring it back");
    release(&object);
    is_u64(place_of(&object, slot), NOWHERE, "nor without a read of the counters after it");
    book(&object);
    is_u64(place_of(&object, slot), NOWHERE, "nor that read");
    release(&object);
    is_u64(place_of(&object, slot), ON_RING, "its release does");
    is_u64(on_ring(&object), 16, "and the ring is whole again");
    release(&object);
    is_u64(on_ring(&object), 16, "a slot is released once");
    is_u64(withdraw(&object), 0, "and nothing waits any more");
    object_free(&object);
}

static void test_not_before_grace(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    unsigned early = 0, silent = 0;
    __u64 withdrawn_at;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    withdraw(&object);
    withdrawn_at = object.now;
    for (int reads = 0; reads < 5; reads++) { /* the kernel refuses a grace period */
        slots_quiesce(object.slots, withdrawn_at - 1);
        book(&object);
        release(&object);
        choose(&object);
        early += place_of(&object, slot) != NOWHERE;
        silent += withdraw(&object) != 1;
    }
    is_u64(early, 0, "without a grace period a withdrawn slot stays away, however many reads pass");
    is_u64(silent, 0, "and each read says that it waits");

    count(&object, slot, 103); /* the CPU that held it all the time */
    book(&object);
    is_u64(booking_of(&object, slot).key, key, "what it counts meanwhile is its old port's");
    slots_quiesce(object.slots, withdrawn_at);
    book(&object);
    release(&object);
    is_u64(place_of(&object, slot), ON_RING,
           "a grace period that began just when it was withdrawn is one");
    object_free(&object);
}

static void test_read_before_grace(void) {
    struct object object;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, PB_KEY(PB_TCP, 80), 101);
    whole_read(&object);
    whole_read(&object);
    withdraw(&object);
    book(&object); /* too early: a CPU may still count */
    passed(&object);
    release(&object);
    is_u64(place_of(&object, slot), NOWHERE,
           "a read of the counters before the grace period does not count");
    count(&object, slot, 103);
    book(&object);
    is_u64(booking_of(&object, slot).delta.rx_bytes, 103, "the one after it books the rest");
    release(&object);
    is_u64(place_of(&object, slot), ON_RING, "and then the slot comes back");
    object_free(&object);
}

static void test_late_count(void) {
    const __u32 old = PB_KEY(PB_TCP, 80), new = PB_KEY(PB_TCP, 443);
    struct object object;
    struct booking booking;
    __u32 slot, held, again;

    object_new(&object, 2);
    slot = packet(&object, old, 101);
    whole_read(&object);
    whole_read(&object);
    packet(&object, PB_KEY(PB_TCP, 22), 1); /* the ring is empty now */
    held = look_up(&object, old);           /* a CPU has the slot, and takes its time */
    withdraw(&object);
    again = look_up(&object, old);
    is_u64(again, PB_SLOT_OTHER(PB_TCP), "a withdrawn slot is not found, nor on the ring");
    count(&object, held, 103);
    passed(&object);
    book(&object);
    booking = booking_of(&object, slot);
    ok(held == slot && booking.key == old && booking.delta.rx_bytes == 103 && booking.held == 204,
       "what a CPU still counts in a withdrawn slot is booked to the port that had it");
    release(&object);

    is_u64(packet(&object, new, 107), slot, "the next port takes it");
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == new &&booking.delta.rx_bytes == 107, "and is booked what follows");
    is_u64(booking.held, 107, "held begins anew with the new port");
    object_free(&object);
}

/* The same port in two slots within one read: the old one late, the new one fresh. */
static void test_two_slots_one_port(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 old, new;

    object_new(&object, 2);
    old = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    look_up(&object, key);
    withdraw(&object);
    count(&object, old, 103);
    new = packet(&object, key, 107);
    passed(&object);
    book(&object);
    ok(new != old &&booking_of(&object, old).key == key &&booking_of(&object, old).delta.rx_bytes ==
           103,
       "a port that comes back while its slot is withdrawn: the old slot's rest is its own");
    ok(booking_of(&object, new).key == key && booking_of(&object, new).delta.rx_bytes == 107,
       "and so is what the new slot counted");
    is_u64(booking_of(&object, new).held, 107, "held counts the present slot only");
    object_free(&object);
}

static void test_chosen_slot_gets_busy(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    packet(&object, key, 103); /* after it was chosen */
    withdraw(&object);
    passed(&object);
    book(&object);
    ok(booking_of(&object, slot).key == key && booking_of(&object, slot).delta.rx_bytes == 103,
       "what a chosen slot counts before it is withdrawn is booked to its port");
    release(&object);
    is_u64(place_of(&object, slot), ON_RING, "and it goes back to the ring");
    object_free(&object);
}

/* ---- ports folded together ---- */

static void test_fold(void) {
    struct object object;
    struct pb_shared *shared;
    unsigned wrong = 0;

    object_new(&object, 16);
    shared = object.simulation.shared;
    slots_fold(object.slots, 40000, 40010);
    for (__u32 transport = 0; transport < PB_TRANSPORTS; transport++)
        for (__u32 port = 0; port < PB_PORTS; port++)
            wrong += shared->table[PB_KEY(transport, port)] !=
                     (port >= 40000 && port <= 40010 ? PB_SLOT_EPHEMERAL(transport) : 0);
    is_u64(wrong, 0, "the ports folded, of every transport and no others, share its ephemeral");
    is_u64(packet(&object, PB_KEY(PB_UDP, 40000), 97), PB_SLOT_EPHEMERAL(PB_UDP),
           "a packet of one is counted there");
    is_u64(on_ring(&object), 16, "and takes no slot");
    is_u64(shared->table[PB_KEY_IP(1)], PB_SLOT_IP(1), "protocols are none of its business");

    slots_fold(object.slots, 40005, 40020);
    ok(shared->table[PB_KEY(PB_TCP, 40004)] == 0 &&
           shared->table[PB_KEY(PB_TCP, 40005)] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_KEY(PB_TCP, 40020)] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_KEY(PB_TCP, 40021)] == 0,
       "another range takes the place of the first");
    ok(packet(&object, PB_KEY(PB_UDP, 40000), 97) >= FIRST, "what left it takes slots again");
    slots_fold(object.slots, 1, 0);
    is_u64(shared->table[PB_KEY(PB_TCP, 40010)], 0, "no range: nothing is folded");
    ok(shared->table[PB_KEY(PB_UDP, 40000)] >= FIRST, "and what has a slot keeps it");
    slots_fold(object.slots, 0, 65535);
    ok(shared->table[0] == PB_SLOT_EPHEMERAL(PB_TCP) &&
           shared->table[PB_PORT_KEYS - 1] == PB_SLOT_EPHEMERAL(PB_SCTP) &&
           shared->table[PB_PORT_KEYS] == PB_SLOT_IP(0),
       "all ports can be folded");
    object_free(&object);
}

static void test_fold_displaces(void) {
    const __u32 key = PB_KEY(PB_TCP, 40000);
    struct object object;
    struct booking booking;
    __u32 slot, held;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    book(&object);
    held = look_up(&object, key);
    slots_fold(object.slots, 40000, 40000);
    is_u64(place_of(&object, slot), NOWHERE, "folding displaces a port's slot: it is withdrawn");
    is_u64(packet(&object, key, 103), PB_SLOT_EPHEMERAL(PB_TCP), "its packets go to ephemeral");
    count(&object, held, 107);
    is_u64(withdraw(&object), 1, "a displaced slot waits for its grace period as any other");
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == key && booking.delta.rx_bytes == 107 && booking.held == 208,
       "what a CPU still counts in it is its port's");
    release(&object);
    is_u64(place_of(&object, slot), NOWHERE, "without a grace period it stays away");
    passed(&object);
    book(&object);
    release(&object);
    is_u64(place_of(&object, slot), ON_RING, "with one it comes back");
    object_free(&object);
}

/* The order that would be fatal: the slot is withdrawn after the grace period began. */
static void test_fold_during_grace(void) {
    const __u32 key = PB_KEY(PB_TCP, 80), second = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 slot, other;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    other = packet(&object, second, 103);
    whole_read(&object);
    packet(&object, second, 103);
    whole_read(&object);
    is_u64(withdraw(&object), 1, "one slot waits");
    look_up(&object, second);
    slots_fold(object.slots, 443, 443);
    passed(&object);
    book(&object);
    release(&object);
    ok(place_of(&object, slot) == ON_RING && place_of(&object, other) == NOWHERE,
       "a slot displaced during a grace period does not profit from it");
    count(&object, other, 107);
    is_u64(withdraw(&object), 1, "it waits for the next one");
    passed(&object);
    book(&object);
    is_u64(booking_of(&object, other).key, second, "its late packet is its port's");
    release(&object);
    is_u64(place_of(&object, other), ON_RING, "and then it comes back");
    object_free(&object);
}

/* Displaced twice in its life: the second time waits for a grace period of its own. */
static void test_fold_twice(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1);
    slot = packet(&object, key, 101);
    slots_fold(object.slots, 80, 80);
    withdraw(&object);
    passed(&object);
    book(&object);
    release(&object);
    slots_fold(object.slots, 1, 0);
    is_u64(packet(&object, key, 103), slot, "a slot that was displaced and came back is taken");
    slots_fold(object.slots, 80, 80);
    passed(&object); /* of the first time */
    book(&object);
    release(&object);
    is_u64(place_of(&object, slot), NOWHERE, "displaced again, it waits for a new grace period");
    object_free(&object);
}

static void test_fold_chosen(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 16);
    slot = packet(&object, key, 101);
    whole_read(&object);
    whole_read(&object);
    slots_fold(object.slots, 80, 80);
    is_u64(withdraw(&object), 1, "a slot both chosen and displaced is withdrawn once");
    is_u64(object.simulation.shared->table[key], PB_SLOT_EPHEMERAL(PB_TCP), "and folding stays");
    passed(&object);
    book(&object);
    release(&object);
    ok(place_of(&object, slot) == ON_RING && on_ring(&object) == 16, "and released once");
    object_free(&object);
}

/* ---- slots given by policy ---- */

static __u32 slot_of(const struct object *object, __u32 key) {
    return object->simulation.shared->table[key];
}

static void test_grant(void) {
    const __u32 key = PB_KEY(PB_TCP, 443), second = PB_KEY(PB_UDP, 53);
    struct object object;
    struct booking booking;
    __u32 slot;

    object_new_granting(&object, 4, 2);
    object.kept = key;
    ok(slots_reserve(object.slots, key), "a slot is granted");
    slot = slot_of(&object, key);
    is_u64(slot, FIRST + 4, "behind those that the classifier gives out");
    is_u64(slots_used(object.slots), FIRST + 5, "a read has to read it now");
    ok(slots_reserve(object.slots, key) && slot_of(&object, key) == slot,
       "granted again, it is the same one");
    is_u64(slots_used(object.slots), FIRST + 5, "and no other");
    is_u64(packet(&object, key, 101), slot, "the port counts in it");
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == key && booking.delta.rx_bytes == 101 && booking.held == 101, "and is booked");
    release(&object);
    choose(&object);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object);
    is_u64(slot_of(&object, key), slot, "as long as it is kept it keeps its slot, idle or not");
    ok(slots_reserve(object.slots, second) && slot_of(&object, second) == FIRST + 5,
       "the next port is granted the next one");
    ok(!slots_reserve(object.slots, PB_KEY(PB_TCP, 22)), "more than there are: refused");
    is_u64(slot_of(&object, PB_KEY(PB_TCP, 22)), 0, "and nothing is changed");
    ok(slots_reserve(object.slots, key), "a port that has one is not refused");
    is_u64(slots_used(object.slots), slots_total(4, 2), "all slots may count now");
    object_free(&object);
}

static void test_scan_takes_no_granted_slot(void) {
    struct object object;
    unsigned taken = 0;

    object_new_granting(&object, 4, 4);
    object.kept = PB_KEY(PB_TCP, 443);
    slots_reserve(object.slots, PB_KEY(PB_TCP, 443));
    for (__u32 port = 1000; port < 3000; port++) {
        taken += packet(&object, PB_KEY(PB_TCP, port), 60) >= FIRST + 4;
        if (port % 10 == 0)
            whole_read(&object);
    }
    is_u64(taken, 0, "a scan takes no slot that is for granting");
    is_u64(packet(&object, PB_KEY(PB_TCP, 443), 60), FIRST + 4, "and none that is granted");
    ok(slots_reserve(object.slots, PB_KEY(PB_TCP, 22)),
       "in the midst of one, a slot can be granted");
    object_free(&object);
}

static void test_no_dynamic_slots(void) {
    struct object object;

    object_new_granting(&object, 0, 1);
    object.kept = PB_KEY(PB_TCP, 443);
    slots_reserve(object.slots, PB_KEY(PB_TCP, 443));
    is_u64(packet(&object, PB_KEY(PB_TCP, 443), 101), FIRST,
           "without dynamic slots a port can be granted one");
    is_u64(packet(&object, PB_KEY(PB_TCP, 80), 103), PB_SLOT_OTHER(PB_TCP), "all others are other");
    whole_read(&object);
    is_u64(booking_of(&object, FIRST).key, PB_KEY(PB_TCP, 443), "both are booked");
    is_u64(object.bookings, 2, "and nothing else");
    object_free(&object);
}

static void test_grant_displaces(void) {
    const __u32 key = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 old, held, new;

    object_new_granting(&object, 4, 1);
    object.kept = key;
    old = packet(&object, key, 101);
    held = look_up(&object, key);
    slots_reserve(object.slots, key);
    new = packet(&object, key, 103);
    ok(old < FIRST + 4 && new == FIRST + 4, "a port with a dynamic slot gets the granted one");
    is_u64(place_of(&object, old), NOWHERE, "its dynamic slot is withdrawn");
    count(&object, held, 107);
    is_u64(withdraw(&object), 1, "which waits for its grace period");
    passed(&object);
    book(&object);
    ok(booking_of(&object, old).key == key && booking_of(&object, old).delta.rx_bytes == 208,
       "what it counted is the port's");
    ok(booking_of(&object, new).key == key && booking_of(&object, new).delta.rx_bytes == 103,
       "as is what the granted one counted");
    is_u64(booking_of(&object, new).held, 103, "held is of the granted one");
    release(&object);
    is_u64(place_of(&object, old), ON_RING, "and goes back to the ring");
    object_free(&object);
}

static void test_granted_slot_returns(void) {
    const __u32 key = PB_KEY(PB_TCP, 443), next = PB_KEY(PB_UDP, 53);
    struct object object;
    struct booking booking;
    __u32 slot, held;

    object_new_granting(&object, 4, 1);
    object.kept = key;
    slots_reserve(object.slots, key);
    slot = packet(&object, key, 101);
    whole_read(&object);
    packet(&object, key, 103);
    held = look_up(&object, key);
    object.kept = NOT_KEPT;
    whole_read(&object);
    is_u64(slot_of(&object, key), 0, "not kept any more, it is taken back, busy or not");
    ok(!slots_reserve(object.slots, next), "but not granted again yet");
    count(&object, held, 107);
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == key && booking.delta.rx_bytes == 107 && booking.held == 311,
       "what a CPU still counts in it is its port's");
    release(&object);
    ok(!slots_reserve(object.slots, next), "nor without a grace period");
    is_u64(withdraw(&object), 1, "for which it waits");
    passed(&object);
    ok(!slots_reserve(object.slots, next), "nor before the counters were read after that");
    book(&object);
    release(&object);
    is_u64(place_of(&object, slot), NOWHERE, "it never comes to the ring");
    ok(slots_reserve(object.slots, next) && slot_of(&object, next) == slot,
       "but is granted to another port");
    packet(&object, next, 109);
    book(&object);
    booking = booking_of(&object, slot);
    ok(booking.key == next && booking.held == 109, "which is booked what it carries, from 0");
    ok(packet(&object, key, 113) < FIRST + 4, "the old one is as any port");
    object_free(&object);
}

static void test_grant_in_fold(void) {
    const __u32 key = PB_KEY(PB_TCP, 40000);
    struct object object;
    __u32 slot;

    object_new_granting(&object, 4, 2);
    object.kept = key;
    slots_fold(object.slots, 32768, 60999);
    slots_reserve(object.slots, key);
    slot = packet(&object, key, 101);
    is_u64(slot, FIRST + 4, "a port in the range can be granted a slot");
    slots_fold(object.slots, 1, 0);
    slots_fold(object.slots, 30000, 65535);
    is_u64(slot_of(&object, key), slot, "which another range does not take away");
    is_u64(slot_of(&object, PB_KEY(PB_UDP, 40000)), PB_SLOT_EPHEMERAL(PB_UDP),
           "while its neighbours are folded");
    object.kept = NOT_KEPT;
    choose(&object);
    is_u64(slot_of(&object, key), PB_SLOT_EPHEMERAL(PB_TCP), "taken back, the port is folded too");

    slots_reserve(object.slots, key);
    slots_fold(object.slots, 1, 0);
    choose(&object);
    is_u64(slot_of(&object, key), 0, "or counts as any port when the range has gone");
    object_free(&object);
}

/* ---- key_of ---- */

static void assign_meanwhile(struct simulation *simulation, __u32 key) {
    simulation->before_publishing = NULL;
    slots_fold(((struct object *)simulation->context)->slots, key % PB_PORTS, key % PB_PORTS);
}

static void test_stale_key_of(void) {
    const __u32 lost = PB_KEY(PB_TCP, 40000), winner = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1);
    object.simulation.context = &object;
    object.simulation.before_publishing = assign_meanwhile;
    is_u64(packet(&object, lost, 101), PB_SLOT_EPHEMERAL(PB_TCP),
           "a port folded while it takes a slot is counted where it was folded");
    ok(object.simulation.shared->key_of[FIRST] == lost && place_of(&object, FIRST) == ON_RING,
       "and the slot stays on the ring, with a stale key_of");
    book(&object);
    is_u64(booking_of(&object, FIRST).key, PB_KEYS, "a stale key_of books nothing");
    release(&object);
    choose(&object);
    is_u64(withdraw(&object), 0, "nor is a slot chosen by it");

    slot = packet(&object, winner, 103);
    book(&object);
    ok(slot == FIRST && booking_of(&object, slot).key == winner,
       "the next port takes the slot and is booked");
    object_free(&object);
}

/* A slot that changed hands between two reads without carrying anything in between. */
static void test_new_owner_without_a_count(void) {
    const __u32 old = PB_KEY(PB_TCP, 80), new = PB_KEY(PB_TCP, 443);
    struct object object;
    __u32 slot, held;

    object_new(&object, 2);
    slot = packet(&object, old, 101);
    whole_read(&object);
    whole_read(&object);
    object.kept = PB_KEY(PB_TCP, 22);
    packet(&object, object.kept, 1); /* the ring is empty now */
    withdraw(&object);
    passed(&object);
    book(&object);
    release(&object);
    held = look_up(&object, new); /* between the counters and the choice */
    choose(&object);
    is_u64(withdraw(&object), 0, "a slot taken since the counters were read is not idle");
    book(&object);
    release(&object);
    choose(&object);
    is_u64(withdraw(&object), 1, "one that then carries nothing for an interval is");
    count(&object, held, 103);
    passed(&object);
    book(&object);
    ok(held == slot && booking_of(&object, slot).key == new,
       "what it counts after all is its new port's");
    is_u64(booking_of(&object, slot).held, 103, "held knows nothing of the old one's");
    object_free(&object);
}

/* The same port again, in the slot that it had: only key_of could tell, and does not. */
static void test_same_owner_again(void) {
    const __u32 key = PB_KEY(PB_TCP, 80);
    struct object object;
    __u32 slot;

    object_new(&object, 1);
    slot = packet(&object, key, 101);
    whole_read(&object);
    withdraw(&object);
    passed(&object);
    book(&object);
    release(&object);
    is_u64(look_up(&object, key), slot, "a port may take the slot that it had");
    choose(&object);
    is_u64(withdraw(&object), 0, "between the counters and the choice: it is not idle");
    count(&object, slot, 103);
    book(&object);
    is_u64(booking_of(&object, slot).held, 103, "held is what it carried since it took it again");
    object_free(&object);

    object_new(&object, 1);
    packet(&object, key, 101);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object); /* the slot is on the ring for most of them */
    packet(&object, key, 103);
    is_u64(withdraw(&object), 0, "a slot that waited on the ring is not chosen from there");
    object_free(&object);
}

/* ---- which slots are chosen ---- */

static void test_kept(void) {
    const __u32 key = PB_KEY(PB_TCP, 80), unkept = PB_KEY(PB_TCP, 81);
    struct object object;
    unsigned withdrawn = 0;

    object_new(&object, 16);
    object.kept = key;
    packet(&object, key, 101);
    packet(&object, unkept, 103);
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object);
    ok(object.simulation.shared->table[key] != 0 && object.simulation.shared->table[unkept] == 0,
       "an idle slot whose port shall be kept is not withdrawn, others are");
    object.kept = NOT_KEPT;
    for (int reads = 0; reads < 2; reads++) {
        choose(&object);
        withdrawn += withdraw(&object);
    }
    ok(withdrawn != 0, "no longer kept, it is withdrawn");
    object_free(&object);
}

/* Fills 8 slots with ports 1 to 8 that carry 100, 200, ... 800 bytes. */
static void fill(struct object *object) {
    object_new(object, 8);
    for (__u32 port = 1; port <= 8; port++)
        packet(object, PB_KEY(PB_TCP, port), port * 100);
}

/* A bit for each of ports 1 to 8 that has lost its slot. */
static unsigned withdrawn_ports(const struct object *object) {
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
    is_u64(withdraw(&object), 4, "the ring is empty, none is idle: those up to the mean go");
    is_u64(withdrawn_ports(&object), 0x1e, "they are those that carried least");
    passed(&object);
    book(&object);
    release(&object);
    ok(packet(&object, PB_KEY(PB_TCP, 99), 1) >= FIRST, "so a new port finds a slot");
    object_free(&object);

    fill(&object);
    object.kept = PB_KEY(PB_TCP, 1);
    whole_read(&object);
    withdraw(&object);
    is_u64(withdrawn_ports(&object), 0x3c,
           "a port to be kept is not among them, nor part of the mean");
    object_free(&object);

    fill(&object);
    book(&object);
    for (__u32 port = 2; port <= 8; port++)
        packet(&object, PB_KEY(PB_TCP, port), 1);
    whole_read(&object);
    withdraw(&object);
    is_u64(withdrawn_ports(&object), 0x3e,
           "an idle port goes in any case, and is not part of the mean");
    object_free(&object);

    object_new(&object, 8);
    for (__u32 port = 1; port <= 7; port++)
        packet(&object, PB_KEY(PB_TCP, port), port);
    whole_read(&object);
    is_u64(withdraw(&object), 0, "one slot left on the ring is enough: the busy ones stay");
    object_free(&object);

    object_new(&object, 8);
    for (__u32 port = 1; port <= 8; port++)
        packet(&object, PB_KEY(PB_TCP, port), 100);
    whole_read(&object);
    is_u64(withdraw(&object), 8, "equally busy ports make room too");
    object_free(&object);

    object_new(&object, 2);
    slot = packet(&object, PB_KEY(PB_TCP, 1), 100);
    book(&object);
    look_up(&object, PB_KEY(PB_TCP, 2)); /* taken, nothing counted yet */
    choose(&object);
    withdraw(&object);
    ok(place_of(&object, slot) == NOWHERE && slot_of(&object, PB_KEY(PB_TCP, 2)) != 0,
       "a port that took its slot since the counters were read does not lose it at once");
    object_free(&object);
}

/* ---- as many slots as there can be ---- */

static void test_full_size(void) {
    struct object object;
    unsigned misses = 0;
    __u64 taken;

    object_new(&object, PB_DYNAMIC_MAX);
    is_u64(on_ring(&object), PB_RING, "with the most slots the ring is full");
    for (int round = 0; round < 3; round++) {
        for (__u32 port = 0; port < PB_DYNAMIC_MAX; port++)
            misses += packet(&object, PB_KEY(round % PB_TRANSPORTS, port), 1) < FIRST;
        taken = on_ring(&object);
        whole_read(&object);
        is_u64(object.bookings + taken, PB_DYNAMIC_MAX,
               "round %d: every slot is taken and booked once", round + 1);
        whole_read(&object); /* idle: chosen */
        whole_read(&object); /* withdrawn, released */
        is_u64(on_ring(&object), PB_RING, "round %d: all come back, past the ring's end",
               round + 1);
    }
    is_u64(misses, 0, "no port was turned away");
    is_u64(object.simulation.shared->tail, 4ull * PB_RING, "positions are never masked");
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
    test_chosen_slot_gets_busy();
    test_fold();
    test_fold_displaces();
    test_fold_during_grace();
    test_fold_twice();
    test_fold_chosen();
    test_grant();
    test_scan_takes_no_granted_slot();
    test_no_dynamic_slots();
    test_grant_displaces();
    test_granted_slot_returns();
    test_grant_in_fold();
    test_stale_key_of();
    test_new_owner_without_a_count();
    test_same_owner_again();
    test_kept();
    test_pressure();
    test_full_size();
    return tap_end();
}
