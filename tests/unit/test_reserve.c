/* SPDX-License-Identifier: MIT */
/*
 * Which ports have slots that never are on the ring: listening ones, of which there may be more
 * than slots, and groups. And sets of folded ports.
 *
 * Links: plugin/slots.c, plugin/slots_reserve.c, plugin/slots_restore.c, plugin/tally.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "slots_fixture.h"
#include "tap.h"

#define TCP(port) PB_KEY(PB_TCP, port)
#define UDP(port) PB_KEY(PB_UDP, port)

#define DYNAMIC        32
#define RESERVED       16
#define FIRST_RESERVED (FIRST + DYNAMIC)

#define SPARE 2 /* RESERVED / 8: kept for ports that begin to listen */

/* ---- a host with listening sockets ---- */

struct host {
    struct object object;
    __u32 first, number; /* idle ports that listen: TCP */
    __u32 services[4];   /* more of them; 0: none */
    bool series[4];      /* which of these are kept */
    unsigned unlinked, changed;
    __u32 *before; /* the table at the last read */
};

static void host_new(struct host *host, __u32 dynamic, __u32 reserved) {
    *host = (struct host){.before = calloc(PB_PORT_KEYS, sizeof(__u32))};
    if (!host->before)
        abort();
    object_new_of(&host->object, 1, dynamic, reserved);
}

static void host_free(struct host *host) {
    object_free(&host->object);
    free(host->before);
}

/* What a read finds listening. */
static void listen_all(struct host *host) {
    for (__u32 n = 0; n < host->number; n++)
        slots_listen(host->object.slots, TCP(host->first + n));
    for (unsigned i = 0; i < 4; i++)
        if (host->services[i])
            slots_listen(host->object.slots, host->services[i]);
}

/* One read. unlinked: how many slots waited for a grace period; changed: how many entries did. */
static void read_host(struct host *host) {
    struct object *object = &host->object;
    const __u32 *table = object->simulation.shared->table;

    listen_all(host);
    host->unlinked = unlink_slots(object);
    if (host->unlinked)
        quiesce_slots(object);
    account_slots(object);
    for (unsigned i = 0; i < 4; i++)
        if (host->series[i])
            slots_keep(object->slots, host->services[i], SLOTS_BUSY_MAX);
    recycle_slots(object);
    end_surplus(object);
    slots_pick_victims(object->slots);
    host->changed = 0;
    for (__u32 key = 0; key < PB_PORT_KEYS; key++) {
        host->changed += table[key] != host->before[key];
        host->before[key] = table[key];
    }
}

static bool has_reserved(const struct host *host, __u32 key) {
    __u32 slot = slot_of(&host->object, key);

    return slot >= FIRST_RESERVED && slot < FIRST_RESERVED + RESERVED;
}

static unsigned idle_with_slot(const struct host *host) {
    unsigned number = 0;

    for (__u32 n = 0; n < host->number; n++)
        number += has_reserved(host, TCP(host->first + n));
    return number;
}

/* ---- enough slots ---- */

static void test_enough(void) {
    struct host host;
    unsigned touched = 0;

    host_new(&host, DYNAMIC, RESERVED);
    fold_range(host.object.slots, 32768, 60999);
    host.first = 32760;
    host.number = RESERVED;
    read_host(&host);
    is_u64(idle_with_slot(&host), RESERVED, "as many listening ports as slots: each has one");
    is_u64(slot_of(&host.object, UDP(32770)), PB_SLOT_EPHEMERAL(PB_UDP),
           "in the ephemeral range, too; their neighbours are folded");
    for (int reads = 0; reads < 5; reads++) {
        read_host(&host);
        touched += host.unlinked + host.changed;
    }
    is_u64(touched, 0, "they keep it without any traffic, and reads change nothing");
    host.number = 12;
    read_host(&host);
    is_u64(slot_of(&host.object, TCP(32772)), PB_SLOT_EPHEMERAL(PB_TCP),
           "a port that listens no more and is no series loses it, and is folded");
    host.services[0] = UDP(53);
    read_host(&host);
    read_host(&host);
    ok(has_reserved(&host, UDP(53)), "another has it two reads later");
    host.series[0] = true;
    host.services[1] = UDP(54);
    read_host(&host);
    host.services[1] = 0;
    listen_all(&host);
    host_free(&host);
}

static void test_series_outlives_its_socket(void) {
    struct host host;

    host_new(&host, DYNAMIC, RESERVED);
    host.services[0] = TCP(443);
    read_host(&host);
    for (int reads = 0; reads < 3; reads++) { /* the socket has closed, the series hasn't ended */
        account_slots(&host.object);
        slots_keep(host.object.slots, TCP(443), SLOTS_BUSY_MAX);
        recycle_slots(&host.object);
        slots_pick_victims(host.object.slots);
    }
    ok(has_reserved(&host, TCP(443)), "a port that is still a series keeps its slot");
    host.services[0] = 0;
    read_host(&host);
    is_u64(slot_of(&host.object, TCP(443)), 0, "until the series has ended");
    host_free(&host);
}

/* ---- more listening ports than slots ---- */

/* 1,000 idle ports. */
static void begin_hostile(struct host *host, __u32 dynamic) {
    host_new(host, dynamic, RESERVED);
    host->first = 2000;
    host->number = 1000;
    for (int reads = 0; reads < 6; reads++)
        read_host(host);
}

static void test_idle_costs_nothing(void) {
    struct host host;
    unsigned touched = 0;

    begin_hostile(&host, DYNAMIC);
    for (int reads = 0; reads < 20; reads++) {
        read_host(&host);
        touched += host.unlinked + host.changed;
    }
    is_u64(touched, 0, "1,000 idle ports: no grace period, no change of the table at any read");
    is_u64(idle_with_slot(&host), RESERVED - SPARE,
           "the slots that nobody else wants are theirs, but for a few");
    is_u64(ring_length(&host.object), DYNAMIC, "and none of the ring");
    host_free(&host);
}

static void test_carrying_is_preferred(void) {
    const __u32 services[] = {TCP(443), TCP(5432), TCP(6379), UDP(53)};
    struct host host;
    unsigned reserved = 0, dynamic = 0;

    begin_hostile(&host, DYNAMIC);
    for (unsigned i = 0; i < 4; i++)
        host.services[i] = services[i];
    host.object.simulation.shared->table[TCP(443)] = 0;
    for (unsigned i = 0; i < 4; i++) /* between two reads: nobody knows yet that they listen */
        dynamic += packet(&host.object, services[i], 100) >= FIRST;
    is_u64(dynamic, 4, "services that start among 1,000 idle ports: a slot of the ring at once");
    for (unsigned i = 0; i < 4; i++)
        host.series[i] = true; /* as of their first packet */
    for (int reads = 0; reads < 5; reads++)
        read_host(&host);
    for (unsigned i = 0; i < 4; i++)
        reserved += has_reserved(&host, services[i]);
    is_u64(reserved, 4, "and soon one that no scan can take, instead of idle ports'");
    is_u64(idle_with_slot(&host), RESERVED - SPARE - 4, "of which only so many lose theirs");
    is_u64(ring_length(&host.object), DYNAMIC, "the ring's slots are free again");
    read_host(&host);
    is_u64(host.unlinked + host.changed, 0, "then it is quiet");
    for (int reads = 0; reads < 50; reads++) { /* others begin to listen all the time */
        host.first += 3;
        read_host(&host);
    }
    reserved = 0;
    for (unsigned i = 0; i < 4; i++)
        reserved += has_reserved(&host, services[i]);
    is_u64(reserved, 4, "series keep their slots, whatever begins to listen");
    host_free(&host);
}

/* Many series at once: slots pass to them by a few in a read. */
static void test_turnover(void) {
    struct host host;
    unsigned most = 0, reserved = 0;

    begin_hostile(&host, DYNAMIC);
    for (int reads = 0; reads < 30; reads++) {
        listen_all(&host);
        for (__u32 port = 5000; port < 5012; port++) {
            slots_listen(host.object.slots, TCP(port));
            packet(&host.object, TCP(port), 100);
        }
        host.unlinked = unlink_slots(&host.object);
        quiesce_slots(&host.object);
        account_slots(&host.object);
        for (__u32 port = 5000; port < 5012; port++)
            slots_keep(host.object.slots, TCP(port), SLOTS_BUSY_MAX);
        recycle_slots(&host.object);
        slots_pick_victims(host.object.slots);
        most = host.unlinked > most ? host.unlinked : most;
    }
    for (__u32 port = 5000; port < 5012; port++)
        reserved += has_reserved(&host, TCP(port));
    is_u64(reserved, 12, "twelve series among idle ports have slots of the reserve in the end");
    ok(most <= 4, "which pass to them by two in a read (%u slots at most, theirs of the ring too)",
       most);
    host_free(&host);
}

/* A few that have just begun to listen get a slot before they carry anything. */
static void test_newcomer(void) {
    struct host host;

    begin_hostile(&host, DYNAMIC);
    host.services[0] = TCP(443);
    host.services[1] = UDP(53);
    listen_all(&host);
    ok(has_reserved(&host, TCP(443)) && has_reserved(&host, UDP(53)),
       "one that begins to listen has its slot in the read that finds it, and so has another");
    host.services[2] = TCP(22);
    read_host(&host);
    ok(!has_reserved(&host, TCP(22)), "for a third there is none");
    read_host(&host);
    ok(has_reserved(&host, TCP(22)), "before the end of the next read");
    for (int reads = 0; reads < 5; reads++)
        read_host(&host);
    is_u64(host.unlinked + host.changed, 0, "then it is quiet");

    host.number = RESERVED - 3; /* the others close */
    for (int reads = 0; reads < 5; reads++)
        read_host(&host);
    ok(idle_with_slot(&host) == host.number && has_reserved(&host, TCP(22)),
       "when there are as many listening ports as slots again, each has one");
    host_free(&host);
}

static void junk(struct host *host) {
    for (__u32 n = 0; n < host->number; n++)
        packet(&host->object, TCP(host->first + n), 100);
}

/* Somebody sends a little to each idle port. */
static void test_newcomer_after_junk(void) {
    struct host host;

    begin_hostile(&host, DYNAMIC);
    junk(&host);
    for (int reads = 0; reads < 10; reads++)
        read_host(&host);
    host.services[0] = TCP(443);
    host.services[1] = UDP(53);
    read_host(&host);
    ok(has_reserved(&host, TCP(443)) && has_reserved(&host, UDP(53)),
       "junk has met 1,000 idle ports: those that begin to listen then have slots at once");
    for (int reads = 0; reads < 20; reads++)
        read_host(&host);
    ok(has_reserved(&host, TCP(443)) && has_reserved(&host, UDP(53)),
       "and keep them, although they are the only ones that have counted nothing");
    host_free(&host);

    begin_hostile(&host, DYNAMIC);
    for (int reads = 0; reads < 30; reads++) {
        if (reads == 10)
            host.services[0] = TCP(443);
        if (reads == 12) {
            host.services[1] = UDP(53);
            host.services[2] = TCP(22);
            host.services[3] = TCP(25);
        }
        if (reads > 14)
            for (unsigned i = 0; i < 4; i++)
                packet(&host.object, host.services[i], 1000);
        junk(&host);
        read_host(&host);
        if (reads == 10)
            ok(has_reserved(&host, TCP(443)), "junk to each port in each read: one at once");
        if (reads == 14)
            ok(has_reserved(&host, UDP(53)) && has_reserved(&host, TCP(22)) &&
                   has_reserved(&host, TCP(25)),
               "and three soon");
    }
    ok(has_reserved(&host, TCP(443)) && has_reserved(&host, UDP(53)) &&
           has_reserved(&host, TCP(22)) && has_reserved(&host, TCP(25)),
       "which keep them, as they count more than the junk");
    host_free(&host);

    host_new(&host, 0, RESERVED);
    host.first = 2000;
    host.number = 1000;
    for (int reads = 0; reads < 2000; reads++) {
        if (reads % 100 == 0)
            junk(&host);
        read_host(&host);
    }
    host.services[0] = TCP(443);
    for (int reads = 0; reads < 3; reads++)
        read_host(&host);
    ok(slot_of(&host.object, TCP(443)) >= FIRST, "without a ring: one that begins to listen, too");
    host_free(&host);
}

/* 30,000 ports begin to listen at once, on a host whose reserve is full. */
static void test_burst(void) {
    struct host host;
    unsigned most = 0, quiet = 0;

    begin_hostile(&host, DYNAMIC);
    host.number = 30000;
    for (int reads = 0; reads < 20; reads++) {
        read_host(&host);
        most = host.changed > most ? host.changed : most;
        quiet = host.unlinked + host.changed ? 0 : quiet + 1;
    }
    ok(most <= RESERVED, "30,000 more at once: a read changes few entries (%u)", most);
    ok(quiet >= 10, "and soon none (the last %u of 20 reads)", quiet);
    host_free(&host);
}

/* In the ephemeral range a listening port without a slot must not be folded. */
static void test_waiting_is_not_folded(void) {
    const __u32 key = TCP(40000), folded = TCP(40001);
    struct host host;
    __u32 slot;

    begin_hostile(&host, DYNAMIC);
    fold_range(host.object.slots, 32768, 60999);
    host.services[0] = TCP(39000);
    host.services[1] = TCP(39001);
    host.services[2] = TCP(39002); /* as many as may claim slots of idle ports at once */
    host.services[3] = key;
    listen_all(&host);
    slot = packet(&host.object, key, 101);
    ok(slot >= FIRST && slot < FIRST_RESERVED,
       "a listening port without a slot takes one of the ring");
    is_u64(packet(&host.object, folded, 101), PB_SLOT_EPHEMERAL(PB_TCP), "others are folded");
    read_host(&host);
    is_u64(record_of(&host.object, slot).delta.rx_bytes, 101, "it is accounted");
    fold_range(host.object.slots, 32000, 60999);
    is_u64(slot_of(&host.object, key), slot, "another range does not concern it");

    host.services[3] = 0; /* it listens no more, but is a series */
    listen_all(&host);
    account_slots(&host.object);
    slots_keep(host.object.slots, key, SLOTS_BUSY_MAX);
    slots_pick_victims(host.object.slots);
    is_u64(slot_of(&host.object, key), slot, "nor does it when the socket has closed");
    read_host(&host);
    is_u64(slot_of(&host.object, key), PB_SLOT_EPHEMERAL(PB_TCP),
           "when the series has ended it is folded");
    is_u64(place_of(&host.object, slot), NOWHERE, "and its slot waits for its grace period");
    for (int reads = 0; reads < 3; reads++)
        read_host(&host);
    is_u64(ring_length(&host.object), DYNAMIC, "after which it is on the ring");
    host_free(&host);
}

/* Nothing shows what ports without a slot carry: each gets its turn. */
static void test_without_ring(void) {
    struct host host;
    unsigned had[1000] = {0}, never = 0, briefly = 0, reads, quiet;

    host_new(&host, 0, RESERVED);
    host.first = 2000;
    host.number = 1000;
    is_u64(packet(&host.object, TCP(2100), 100), PB_SLOT_OTHER(PB_TCP), "without a ring: other");
    for (reads = quiet = 0; reads < 2000 && quiet < 8; reads++) {
        read_host(&host);
        quiet = reads && !host.unlinked && !host.changed ? quiet + 1 : 0;
        for (__u32 n = 0; n < host.number; n++)
            had[n] += slot_of(&host.object, TCP(host.first + n)) >= FIRST;
    }
    for (unsigned n = 0; n < host.number; n++) {
        never += !had[n];
        briefly += had[n] < 4;
    }
    is_u64(never, 0, "each of 1,000 listening ports had one of the slots for a time");
    ok(briefly < RESERVED, "for four reads and more, but for the first ones (%u)", briefly);
    ok(reads < 2000, "and that ends (after %u reads)", reads);
    host.services[0] = TCP(443);
    for (reads = 0; reads < 3; reads++)
        read_host(&host);
    ok(slot_of(&host.object, TCP(443)) >= FIRST, "one that begins to listen has its slot soon");
    packet(&host.object, TCP(443), 100);
    host.series[0] = true;
    for (reads = 0; reads < 50; reads++) {
        host.first += 7;
        read_host(&host);
    }
    ok(slot_of(&host.object, TCP(443)) >= FIRST, "and as a series keeps it, whatever comes");
    host_free(&host);
}

/* Selected ports have theirs in any case: they come first and are kept. */
static void test_selected(void) {
    struct host host;

    host_new(&host, DYNAMIC, RESERVED);
    slots_reserve(host.object.slots, TCP(22));
    host.services[0] = TCP(22); /* listens, too, and is kept as keep_selected() does */
    host.series[0] = true;
    host.first = 2000;
    host.number = 1000;
    for (int reads = 0; reads < 10; reads++) {
        host.first += 50;
        read_host(&host);
    }
    ok(has_reserved(&host, TCP(22)), "a selected port keeps its slot among idle ones");
    host_free(&host);
}

/* ---- listening series in dynamic slots ---- */

static void test_series_do_not_fill_the_ring(void) {
    struct object object;
    unsigned unlinked;

    object_new_of(&object, 1, 16, 0);
    for (__u32 port = 1; port <= 16; port++)
        packet(&object, TCP(port), 100 * port);
    account_slots(&object);
    for (__u32 port = 1; port <= 16; port++)
        slots_keep(object.slots, TCP(port), SLOTS_BUSY_MAX);
    recycle_slots(&object);
    end_surplus(&object);
    slots_pick_victims(object.slots);
    unlinked = unlink_slots(&object);
    is_u64(unlinked, 4, "series of listening ports leave a quarter of the ring's slots to others");
    ok(slot_of(&object, TCP(4)) == 0 && slot_of(&object, TCP(5)) != 0,
       "those of the least busy ones");
    object_free(&object);
}

/* ---- groups ---- */

static void test_groups(void) {
    struct object object = {.kept = NO_PORT};
    const struct slots_layout layout = {.dynamic = 4, .reserved = 2, .groups = 2};
    const __u32 end = FIRST + 6;
    const __u32 *list;
    unsigned wrong = 0;

    simulation_new(&object.simulation, INTERFACES, CPUS, slots_total(layout));
    object.sums = calloc(object.simulation.slots, sizeof(*object.sums));
    if (!object.sums || slots_new(&object.slots, object.simulation.shared, layout))
        abort();
    interface_comes(&object, 0);
    is_u64(slots_total(layout), end + 2, "the total includes the groups' slots");
    for (__u32 port = 10000; port <= 20000; port++)
        slots_group(object.slots, UDP(port), 0);
    slots_group(object.slots, TCP(5060), 1);
    slots_group(object.slots, UDP(5060), 1);
    fold_range(object.slots, 15000, 60999);
    for (__u32 port = 10000; port <= 20000; port++)
        wrong += slot_of(&object, UDP(port)) != end;
    is_u64(wrong, 0, "10,001 ports have one slot; they are not folded");
    is_u64(slot_of(&object, TCP(15000)), PB_SLOT_EPHEMERAL(PB_TCP), "another transport's are");
    is_u64(slots_list(object.slots, false, &list), PB_FIXED_SLOTS - 1 + 2,
           "a read covers the groups' slots from the start");
    for (__u32 port = 10000; port <= 10600; port++)
        packet(&object, UDP(port), 10);
    packet(&object, TCP(5060), 7);
    slots_listen(object.slots, UDP(10000));
    slots_reserve(object.slots, UDP(10001));
    ok(slot_of(&object, UDP(10000)) == end && slot_of(&object, UDP(10001)) == end,
       "no port of a group gets a slot of its own, listening or not");
    whole_read(&object);
    ok(record_of(&object, end).key == GROUP_KEY(0) &&
           record_of(&object, end).delta.rx_bytes == 6010 &&
           record_of(&object, end + 1).key == GROUP_KEY(1) &&
           record_of(&object, end + 1).delta.rx_bytes == 7,
       "each is accounted under its group's key");
    is_u64(object.records, 2, "and nothing else");
    for (int reads = 0; reads < 5; reads++)
        whole_read(&object);
    ok(slot_of(&object, UDP(12345)) == end && ring_length(&object) == 4,
       "idle groups are not recycled, and never on the ring");
    fold_range(object.slots, 1, 0);
    fold_range(object.slots, 0, 65535);
    is_u64(slot_of(&object, UDP(12345)), end, "folding does not concern them");
    object_free(&object);
}

static void test_groups_restored(void) {
    const struct slots_layout layout = {.dynamic = 4, .reserved = 2, .groups = 2};
    const __u32 end = FIRST + 6;
    struct object object = {.kept = NO_PORT};
    char *slots = malloc(slots_saved_size(layout)), *tally = malloc(tally_saved_size(layout));

    simulation_new(&object.simulation, INTERFACES, CPUS, slots_total(layout));
    object.sums = calloc(object.simulation.slots, sizeof(*object.sums));
    if (!slots || !tally || !object.sums ||
        slots_new(&object.slots, object.simulation.shared, layout))
        abort();
    interface_comes(&object, 0);
    slots_group(object.slots, UDP(10000), 1);
    slots_listen(object.slots, TCP(22));
    packet(&object, UDP(10000), 100);
    account_slots(&object);
    tally_save(object.tally[0], tally);
    slots_save(object.slots, slots);
    packet(&object, UDP(10000), 11); /* while the process is away */
    tally_free(object.tally[0]);
    slots_free(object.slots);
    if (slots_restore(&object.slots, object.simulation.shared, layout, slots) ||
        tally_restore(&object.tally[0], object.slots, tally))
        abort();
    slots_group(object.slots, UDP(10000), 1);
    fold_range(object.slots, 0, 65535);
    is_u64(unlink_slots(&object), 0,
           "restored: no slot of a group or a listening port is unlinked");
    is_u64(slot_of(&object, TCP(22)), FIRST + 4, "the listening port has its slot");
    account_slots(&object);
    ok(record_of(&object, end + 1).key == GROUP_KEY(1) &&
           record_of(&object, end + 1).delta.rx_bytes == 11 &&
           record_of(&object, end + 1).slot_bytes == 111,
       "the group continues where it was");
    slots_listen(object.slots, TCP(23));
    slots_listen(object.slots, TCP(24));
    ok(slot_of(&object, TCP(23)) == FIRST + 5 && slot_of(&object, TCP(24)) < FIRST,
       "as many slots are free as before");
    object_free(&object);
    free(slots);
    free(tally);
}

/* ---- sets of folded ports ---- */

static void test_fold_set(void) {
    struct object object;
    struct port_set set = {0};
    __u32 *before = malloc(PB_PORT_KEYS * sizeof(*before)), slot, changed = 0, wrong = 0;

    if (!before)
        abort();
    object_new_of(&object, 1, 16, 0);
    slot = packet(&object, TCP(8080), 100);
    port_set_add_range(&set, 1024, 29999);
    port_set_add_range(&set, 32768, 65535);
    slots_fold(object.slots, &set);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += slot_of(&object, key) !=
                 (port_set_has(&set, key % PB_PORTS) ? PB_SLOT_EPHEMERAL(key / PB_PORTS) : 0);
    is_u64(wrong, 0, "two ranges are folded, and nothing between them");
    is_u64(place_of(&object, slot), NOWHERE, "a slot in one of them is unlinked");
    is_u64(packet(&object, TCP(30080), 100) >= FIRST, 1, "a reserved port gets a slot");
    memcpy(before, object.simulation.shared->table, PB_PORT_KEYS * sizeof(*before));
    port_set_add(&set, 500);
    slots_fold(object.slots, &set);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        changed += before[key] != slot_of(&object, key);
    is_u64(changed, PB_TRANSPORTS, "one more port: only its entries change");
    object_free(&object);
    free(before);
}

/* All that the configuration permits begin to listen at once: 0.3 ms, and 0.3 s by a search. */
static void test_all_at_once(void) {
    struct object object;
    clock_t began;
    double took;

    object_new_of(&object, 1, PB_DYNAMIC_MAX, PB_DYNAMIC_MAX);
    began = clock();
    for (__u32 port = 1; port <= PB_DYNAMIC_MAX; port++)
        slots_listen(object.slots, TCP(port));
    took = (double)(clock() - began) / CLOCKS_PER_SEC;
    ok(took < 0.05, "%u slots are given in %.1f ms", PB_DYNAMIC_MAX, took * 1000);
    is_u64(object.simulation.shared->table[TCP(PB_DYNAMIC_MAX)],
           PB_FIXED_SLOTS + 2 * PB_DYNAMIC_MAX - 1, "to the last port the last one");
    object_free(&object);
}

int main(void) {
    test_enough();
    test_series_outlives_its_socket();
    test_idle_costs_nothing();
    test_carrying_is_preferred();
    test_turnover();
    test_newcomer();
    test_newcomer_after_junk();
    test_burst();
    test_waiting_is_not_folded();
    test_without_ring();
    test_selected();
    test_series_do_not_fill_the_ring();
    test_groups();
    test_groups_restored();
    test_fold_set();
    test_all_at_once();
    return tap_end();
}
