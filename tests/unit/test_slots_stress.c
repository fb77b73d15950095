/* SPDX-License-Identifier: MIT */
/*
 * Every packet is accounted exactly once, to its interface and port, whatever the order in which
 * classifier and reader do their steps: first in one thread, where a seed picks the next step, then
 * in several. Interfaces come and go; in one of the tests the reader is killed between any two of
 * its steps, and another one continues with what was saved.
 *
 * By hand: "test_slots_stress no-grace" leaves the grace period out, which must fail.
 * "test_slots_stress packets=N" sets the number of packets per thread.
 *
 * Links: plugin/slots.c, plugin/slots_restore.c, plugin/tally.c. Needs -pthread.
 */
#include <sched.h>
#include <stdint.h>

#include "random.h"
#include "simulation.h"
#include "slots.h"
#include "slots_short.h"
#include "tap.h"

#define FIRST PB_FIXED_SLOTS

static bool no_grace;
static __u32 packets_per_thread = 1000000;

/* ---- what was sent and what was accounted, by port or fixed slot ---- */

struct sums {
    struct pb_counters *own;   /* by port number in the test */
    struct pb_counters *fixed; /* PB_FIXED_SLOTS */
};

static struct sums sums_new(__u32 ports) {
    struct sums sums = {calloc(ports, sizeof(struct pb_counters)),
                        calloc(PB_FIXED_SLOTS, sizeof(struct pb_counters))};

    if (!sums.own || !sums.fixed)
        abort();
    return sums;
}

static void sums_free(struct sums *sums) {
    free(sums->own);
    free(sums->fixed);
}

static void add(struct pb_counters *to, const struct pb_counters *more) {
    to->rx_bytes += more->rx_bytes;
    to->rx_packets += more->rx_packets;
    to->tx_bytes += more->tx_bytes;
    to->tx_packets += more->tx_packets;
}

static __u64 packets_of(const struct pb_counters *counters) {
    return counters->rx_packets + counters->tx_packets;
}

static __u64 bytes_of(const struct pb_counters *counters) {
    return counters->rx_bytes + counters->tx_bytes;
}

static void sums_total(const struct sums *sums, __u32 ports, struct pb_counters *total) {
    *total = (struct pb_counters){0};
    for (__u32 port = 0; port < ports; port++)
        add(total, &sums->own[port]);
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        add(total, &sums->fixed[slot]);
}

/* The ports of the test are spread over transports and port numbers. */
static __u32 key_of_port(__u32 port) {
    return PB_KEY(port % PB_TRANSPORTS, port * 13 % PB_PORTS);
}

/* What is wrong. Sums of absolute differences: errors of two objects do not cancel out. */
struct differences {
    __u64 packets, bytes; /* sent */
    __u64 packets_wrong, bytes_wrong;
    __u64 ports, fixed;
    __u64 misattributed; /* packets credited to a port beyond those sent to it */
};

static __u64 distance(__u64 a, __u64 b) {
    return a > b ? a - b : b - a;
}

static void compare(struct differences *all, const struct sums *sent, const struct sums *accounted,
                    __u32 ports) {
    struct pb_counters all_sent, all_accounted;

    sums_total(sent, ports, &all_sent);
    sums_total(accounted, ports, &all_accounted);
    all->packets += packets_of(&all_sent);
    all->bytes += bytes_of(&all_sent);
    all->packets_wrong += distance(packets_of(&all_accounted), packets_of(&all_sent));
    all->bytes_wrong += distance(bytes_of(&all_accounted), bytes_of(&all_sent));
    for (__u32 port = 0; port < ports; port++) {
        __u64 mine = packets_of(&sent->own[port]), got = packets_of(&accounted->own[port]);

        all->ports += memcmp(&sent->own[port], &accounted->own[port], sizeof(sent->own[port])) != 0;
        all->misattributed += got > mine ? got - mine : 0;
    }
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        all->fixed +=
            memcmp(&sent->fixed[slot], &accounted->fixed[slot], sizeof(sent->fixed[slot])) != 0;
}

static void report(const struct differences *all, const char *what) {
    is_u64(all->packets_wrong, 0, "%s: every packet is accounted once", what);
    is_u64(all->bytes_wrong, 0, "%s: every byte is accounted once", what);
    is_u64(all->ports, 0, "%s: every port is credited with what its slots counted, by direction",
           what);
    is_u64(all->misattributed, 0, "%s: no port is credited with the packets of another", what);
    is_u64(all->fixed, 0, "%s: what every fixed slot counted is accounted", what);
    diag("%llu packets", all->packets);
}

/* ---- invariants, checked while no step is in progress ---- */

/* What count_places found. */
struct places {
    bool valid;                            /* no slot in two places, and none in a wrong one */
    __u32 dynamic_absent, reserved_absent; /* neither on the ring nor in the table */
};

static struct places count_places(const struct simulation *simulation, __u32 dynamic) {
    const struct pb_shared *shared = simulation->shared;
    unsigned char *seen = calloc(simulation->slots, 1);
    __u32 dynamic_end = FIRST + dynamic;
    struct places places = {.valid = shared->head <= shared->tail &&
                                     shared->tail - shared->head <= dynamic};

    if (!seen)
        abort();
    for (__u32 i = 0; i < PB_RING; i++) {
        /* The cell's position, counted from head. */
        __u32 behind_head = (i - (__u32)shared->head) & (PB_RING - 1);
        bool inside = behind_head < shared->tail - shared->head;
        __u32 slot = shared->ring[i];

        if (inside != (slot != 0) || (slot != 0 && (slot < FIRST || slot >= dynamic_end)))
            places.valid = false;
        else if (slot)
            seen[slot]++;
    }
    for (__u32 key = 0; key < PB_KEYS; key++) {
        __u32 slot = shared->table[key];

        if (slot >= simulation->slots)
            places.valid = false;
        else if (slot >= FIRST)
            seen[slot]++;
    }
    for (__u32 slot = FIRST; slot < simulation->slots; slot++) {
        places.valid &= seen[slot] <= 1;
        *(slot < dynamic_end ? &places.dynamic_absent : &places.reserved_absent) += seen[slot] == 0;
    }
    free(seen);
    return places;
}

/* ---- one thread: a seed picks the next step ---- */

#define SERIAL_INTERFACES 3
#define SERIAL_PORTS      40
#define SERIAL_DYNAMIC    8
#define SERIAL_RESERVED   3
#define SERIAL_SLOTS      (PB_FIXED_SLOTS + SERIAL_DYNAMIC + SERIAL_RESERVED)
#define SERIAL_CPUS       4

/* A packet in progress: its slot is looked up, then its bytes are counted, then the packet. */
struct on_cpu {
    enum { IDLE, LOOKED_UP, HALF_COUNTED } stage;
    unsigned interface;
    __u32 port, slot;
    bool egress;
    __u64 bytes;
    __u64 finished; /* packets so far */
};

/* What was accounted to an interface: saved with its tally, and lost with it by a kill. */
struct book {
    struct pb_counters own[SERIAL_PORTS], fixed[PB_FIXED_SLOTS];
    __u32 allocations_seen[SERIAL_SLOTS]; /* the allocation that owner_bytes is about */
    __u64 owner_bytes[SERIAL_SLOTS];
};

struct serial_interface {
    struct serial *serial;
    bool attached;
    struct tally *tally; /* NULL: there is no such interface */
    struct book book, saved_book;
    void *saved;
    struct sums sent;
};

struct serial {
    struct random random;
    struct simulation simulation;
    struct slots *slots;
    void *saved;
    bool killed_often, killed, in_commit, quiet;
    struct pb_counters *counters;
    struct on_cpu cpu[SERIAL_CPUS];
    struct serial_interface interface[SERIAL_INTERFACES];
    __u64 now;
    __u32 kills, comings, ended;
    __u32 wrong_slot_bytes, wrong_place, unexpected;
};

static __u32 port_of_key(__u32 key) {
    for (__u32 port = 0; port < SERIAL_PORTS; port++)
        if (key_of_port(port) == key)
            return port;
    return SERIAL_PORTS;
}

static void serial_on_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                              const struct pb_counters *delta) {
    struct serial_interface *interface = context;
    struct serial *serial = interface->serial;
    struct book *book = &interface->book;
    __u32 port = slot < FIRST ? 0 : port_of_key(key);

    if (port == SERIAL_PORTS || packets_of(delta) + bytes_of(delta) == 0) {
        serial->unexpected++;
        return;
    }
    if (slot < FIRST) {
        add(&book->fixed[slot], delta);
        return;
    }
    add(&book->own[port], delta);
    /* All that an owner counted is accounted before the slot has another one. */
    if (book->allocations_seen[slot] != serial->simulation.allocations[slot])
        book->owner_bytes[slot] = 0;
    book->allocations_seen[slot] = serial->simulation.allocations[slot];
    book->owner_bytes[slot] += bytes_of(delta);
    /* After a kill it may begin at 0 again, if the slot's days are numbered. */
    if (slot_bytes != book->owner_bytes[slot])
        serial->wrong_slot_bytes += slot_bytes > book->owner_bytes[slot] || !serial->kills ||
                                    serial->simulation.shared->table[key] == slot;
}

/*
 * Policy may change at any time: a slot is reserved, a port listens, or another range of ports is
 * folded.
 */
static void serial_policy(struct serial *serial, __u32 key) {
    const __u32 *entry = &serial->simulation.shared->table[key];
    __u32 before = *entry, first;

    if (serial->in_commit)
        return;
    if (random_once_in(&serial->random, 32)) { /* slow */
        first = random_below(&serial->random, SERIAL_PORTS * 13);
        fold_range(serial->slots, first, first + random_below(&serial->random, 200));
    } else {
        if (random_once_in(&serial->random, 2))
            slots_reserve(serial->slots, key);
        else
            slots_listen(serial->slots, key);
        if (*entry != before && *entry >= PB_FIXED_SLOTS + SERIAL_DYNAMIC)
            serial->simulation.allocations[*entry]++; /* a new owner */
    }
}

static void serial_before_publishing(struct simulation *simulation, __u32 key) {
    struct serial *serial = simulation->context;

    if (random_once_in(&serial->random, 4))
        serial_policy(serial, key);
}

static void serial_cpu_step(struct serial *serial, unsigned number) {
    struct on_cpu *cpu = &serial->cpu[number];
    struct pb_counters counted = {0};
    struct sums *sent;

    switch (cpu->stage) {
    case IDLE: {
        /* Ports come in waves, so that slots become idle. */
        __u32 wave = (__u32)(serial->now / 4) % SERIAL_PORTS;

        do /* the first one is always there */
            cpu->interface = random_below(&serial->random, SERIAL_INTERFACES);
        while (!serial->interface[cpu->interface].attached);
        cpu->port = (wave + random_below(&serial->random, 10)) % SERIAL_PORTS;
        cpu->egress = random_once_in(&serial->random, 2);
        cpu->bytes = 60 + random_below(&serial->random, 1441);
        cpu->slot = simulation_lookup(&serial->simulation, key_of_port(cpu->port));
        cpu->stage = LOOKED_UP;
        break;
    }
    case LOOKED_UP:
        simulation_count(&serial->simulation, cpu->interface, number, cpu->slot, cpu->egress,
                         cpu->bytes, 0);
        cpu->stage = HALF_COUNTED;
        break;
    case HALF_COUNTED:
        simulation_count(&serial->simulation, cpu->interface, number, cpu->slot, cpu->egress, 0, 1);
        *(cpu->egress ? &counted.tx_bytes : &counted.rx_bytes) = cpu->bytes;
        *(cpu->egress ? &counted.tx_packets : &counted.rx_packets) = 1;
        sent = &serial->interface[cpu->interface].sent;
        add(cpu->slot < FIRST ? &sent->fixed[cpu->slot] : &sent->own[cpu->port], &counted);
        cpu->stage = IDLE;
        cpu->finished++;
        break;
    }
}

static void serial_steps(struct serial *serial, __u32 most) {
    if (serial->quiet)
        return;
    for (__u32 steps = random_below(&serial->random, most + 1); steps; steps--)
        serial_cpu_step(serial, random_below(&serial->random, SERIAL_CPUS));
}

/* Until each CPU has finished the packet that it is processing now. */
static void serial_grace(struct serial *serial) {
    for (unsigned number = 0; number < SERIAL_CPUS; number++) {
        __u64 finished = serial->cpu[number].finished;

        while (serial->cpu[number].stage != IDLE && serial->cpu[number].finished == finished)
            serial_cpu_step(serial, random_below(&serial->random, SERIAL_CPUS));
    }
}

/* Reads the counters slot by slot and field by field, with packets in between. */
static void serial_read_counters(struct serial *serial, unsigned interface, const __u32 *list,
                                 __u32 number) {
    for (__u32 i = 0; i < number; i++) {
        struct pb_counters *sum = &serial->counters[list[i]];

        *sum = (struct pb_counters){0};
        for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++) {
            const struct pb_counters *counter =
                &serial->simulation.counters[interface][cpu][list[i]];

            sum->rx_packets += counter->rx_packets;
            sum->tx_packets += counter->tx_packets;
            if (list[i] >= FIRST)
                serial_steps(serial, 2);
            sum->rx_bytes += counter->rx_bytes;
            sum->tx_bytes += counter->tx_bytes;
        }
    }
}

static void serial_save_interface(struct serial_interface *interface) {
    tally_save(interface->tally, interface->saved);
    interface->saved_book = interface->book;
}

static void serial_comes(struct serial *serial, unsigned number) {
    struct serial_interface *interface = &serial->interface[number];

    simulation_clear_row(&serial->simulation, number);
    memset(interface->book.owner_bytes, 0, sizeof(interface->book.owner_bytes));
    if (tally_new(&interface->tally, serial->slots))
        abort();
    serial_save_interface(interface);
    interface->attached = true;
    serial->comings++;
}

static void serial_goes(struct serial *serial, unsigned number) {
    struct serial_interface *interface = &serial->interface[number];
    const __u32 *list;
    __u32 listed;

    interface->attached = false;
    serial_grace(serial);
    serial_steps(serial, 3);
    listed = slots_list(serial->slots, true, &list);
    serial_read_counters(serial, number, list, listed);
    slots_account(serial->slots, interface->tally, serial->counters, serial_on_account, interface);
    interface->saved_book = interface->book;
    tally_free(interface->tally);
    interface->tally = NULL;
}

/*
 * Maybe kills the reader here: what it did not save is forgotten, and the next one continues. True:
 * the rest of the read is not to be done any more.
 */
static bool serial_is_killed(struct serial *serial) {
    struct slots *slots;

    if (serial->killed || !serial->killed_often || !random_once_in(&serial->random, 40))
        return serial->killed;
    for (unsigned i = 0; i < SERIAL_INTERFACES; i++)
        tally_free(serial->interface[i].tally);
    slots_free(serial->slots);
    if (!slots_saved_is_valid(serial->simulation.shared, layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED),
                              serial->saved) ||
        slots_restore(&slots, serial->simulation.shared, layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED),
                      serial->saved))
        abort();
    serial->slots = slots;
    for (unsigned i = 0; i < SERIAL_INTERFACES; i++) {
        struct serial_interface *interface = &serial->interface[i];

        interface->book = interface->saved_book;
        if (interface->tally &&
            (!tally_saved_is_valid(layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED), interface->saved) ||
             tally_restore(&interface->tally, slots, interface->saved)))
            abort();
    }
    serial->kills++;
    return serial->killed = true;
}

/* For a read without a grace period: a time, and what each CPU had finished then. */
struct waiting {
    __u64 time;
    __u64 finished[SERIAL_CPUS];
};

static void serial_quiesce(struct serial *serial, __u32 waits, bool membarrier,
                           struct waiting *waiting) {
    bool done = true;

    if (no_grace) {
        slots_quiesce(serial->slots, serial->now);
        return;
    }
    if (membarrier) {
        serial_steps(serial, 3);
        if (waits) {
            serial_grace(serial);
            slots_quiesce(serial->slots, serial->now);
        }
        return;
    }
    for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
        done &= serial->cpu[cpu].finished > waiting->finished[cpu];
    if (done) {
        slots_quiesce(serial->slots, waiting->time);
        waiting->time = serial->now;
        for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
            waiting->finished[cpu] = serial->cpu[cpu].finished;
    }
}

static void serial_account(struct serial *serial, bool keep) {
    const __u32 *list;
    __u32 listed = slots_list(serial->slots, false, &list);

    for (unsigned i = 0; i < SERIAL_INTERFACES && !serial_is_killed(serial); i++) {
        struct serial_interface *interface = &serial->interface[i];

        if (!interface->tally)
            continue;
        serial_read_counters(serial, i, list, listed);
        serial_steps(serial, 3);
        slots_account(serial->slots, interface->tally, serial->counters, serial_on_account,
                      interface);
        if (serial_is_killed(serial))
            return;
        serial_save_interface(interface);
        for (__u32 port = 0; keep && port < SERIAL_PORTS; port += 3)
            slots_keep(serial->slots, key_of_port(port), port % 2 ? SLOTS_BUSY_MAX : port);
    }
}

static void serial_on_end(void *context, __u32 key) {
    struct serial *serial = context;

    (void)key;
    serial->ended++;
}

/* Picking gives reserved slots to listening ports, too. */
static void serial_pick(struct serial *serial) {
    const __u32 *table = serial->simulation.shared->table;
    __u32 before[SERIAL_PORTS];

    for (__u32 port = 0; port < SERIAL_PORTS; port++)
        before[port] = table[key_of_port(port)];
    slots_pick_victims(serial->slots);
    for (__u32 port = 0; port < SERIAL_PORTS; port++) {
        __u32 slot = table[key_of_port(port)];

        if (slot != before[port] && slot >= PB_FIXED_SLOTS + SERIAL_DYNAMIC)
            serial->simulation.allocations[slot]++; /* a new owner */
    }
}

static void serial_read(struct serial *serial, bool membarrier, struct waiting *waiting,
                        bool keep) {
    __u32 waits = slots_unlink(serial->slots, ++serial->now);
    struct places places = count_places(&serial->simulation, SERIAL_DYNAMIC);

    /* A reserved slot that is absent may be unlinked, or was never reserved. */
    serial->wrong_place += !places.valid || waits < places.dynamic_absent ||
                           waits > places.dynamic_absent + places.reserved_absent;
    serial->killed = false;
    if (serial_is_killed(serial))
        return;
    serial_quiesce(serial, waits, membarrier, waiting);
    if (serial_is_killed(serial))
        return;
    serial_account(serial, keep);
    serial_steps(serial, 3);
    if (serial_is_killed(serial))
        return;
    slots_save(serial->slots, serial->saved);
    serial->in_commit = true;
    serial_steps(serial, 3);
    if (!serial_is_killed(serial)) {
        slots_recycle(serial->slots);
        serial_steps(serial, 3);
    }
    if (!serial_is_killed(serial)) {
        slots_end_surplus(serial->slots, serial_on_end, serial);
        serial_pick(serial);
        serial_steps(serial, 3);
    }
    serial->in_commit = false;
    serial_is_killed(serial);
    serial->wrong_place += !count_places(&serial->simulation, SERIAL_DYNAMIC).valid;
}

/* Packets in progress are counted, then no port is kept any more, and all interfaces go. */
static void serial_drain(struct serial *serial, bool membarrier, struct waiting *waiting) {
    struct places places;
    __u64 on_ring;

    for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++) {
        while (serial->cpu[cpu].stage != IDLE)
            serial_cpu_step(serial, cpu);
        serial->cpu[cpu].finished++; /* for a grace period by time */
    }
    serial->quiet = true;
    serial->killed_often = false;
    for (int reads = 0; reads < 6; reads++) {
        serial_read(serial, membarrier, waiting, false);
        for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
            serial->cpu[cpu].finished++;
    }
    places = count_places(&serial->simulation, SERIAL_DYNAMIC);
    on_ring = serial->simulation.shared->tail - serial->simulation.shared->head;
    serial->wrong_place += !places.valid || places.dynamic_absent != 0 ||
                           places.reserved_absent != SERIAL_RESERVED ||
                           on_ring * 2 < SERIAL_DYNAMIC;
    for (__u32 port = 0; port < SERIAL_RESERVED; port++)
        serial->wrong_place += !slots_reserve(serial->slots, key_of_port(port));
    for (unsigned i = 0; i < SERIAL_INTERFACES; i++)
        if (serial->interface[i].tally)
            serial_goes(serial, i);
}

static void serial_new(struct serial *serial, __u64 seed, bool kills) {
    *serial = (struct serial){.random.state = seed, .killed_often = kills};
    simulation_new(&serial->simulation, SERIAL_INTERFACES, SERIAL_CPUS, SERIAL_SLOTS);
    serial->simulation.before_publishing = serial_before_publishing;
    serial->simulation.context = serial;
    serial->counters = calloc(serial->simulation.slots, sizeof(*serial->counters));
    serial->saved = malloc(slots_saved_size(layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED)));
    if (!serial->counters || !serial->saved ||
        slots_new(&serial->slots, serial->simulation.shared,
                  layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED)))
        abort();
    slots_save(serial->slots, serial->saved);
    for (unsigned i = 0; i < SERIAL_INTERFACES; i++) {
        struct serial_interface *interface = &serial->interface[i];

        interface->serial = serial;
        interface->sent = sums_new(SERIAL_PORTS);
        interface->saved = malloc(tally_saved_size(layout_of(SERIAL_DYNAMIC, SERIAL_RESERVED)));
        if (!interface->saved)
            abort();
    }
    serial_comes(serial, 0);
}

static void serial_free(struct serial *serial) {
    for (unsigned i = 0; i < SERIAL_INTERFACES; i++) {
        sums_free(&serial->interface[i].sent);
        free(serial->interface[i].saved);
    }
    slots_free(serial->slots);
    simulation_free(&serial->simulation);
    free(serial->counters);
    free(serial->saved);
}

static void test_one_thread(bool membarrier, bool kills, const char *what) {
    static struct serial serial; /* large */
    struct differences differences = {0};
    __u32 wrong_slot_bytes = 0, wrong_place = 0, unexpected = 0;
    __u64 recycled = 0, killed = 0, comings = 0, ended = 0;

    for (__u64 seed = 1; seed <= 20; seed++) {
        struct waiting waiting = {0};

        serial_new(&serial, seed, kills);
        for (int reads = 0; reads < 200; reads++) {
            unsigned interface = 1 + random_below(&serial.random, SERIAL_INTERFACES - 1);

            serial_steps(&serial, 60);
            if (random_once_in(&serial.random, 3))
                serial_policy(&serial, key_of_port(random_below(&serial.random, SERIAL_PORTS)));
            if (random_once_in(&serial.random, 8))
                (serial.interface[interface].tally ? serial_goes : serial_comes)(&serial,
                                                                                 interface);
            serial_read(&serial, membarrier, &waiting, true);
        }
        serial_drain(&serial, membarrier, &waiting);
        recycled += serial.simulation.shared->tail - SERIAL_DYNAMIC;
        wrong_slot_bytes += serial.wrong_slot_bytes;
        wrong_place += serial.wrong_place;
        unexpected += serial.unexpected;
        killed += serial.kills;
        comings += serial.comings;
        ended += serial.ended;
        for (unsigned i = 0; i < SERIAL_INTERFACES; i++) {
            struct serial_interface *its = &serial.interface[i];

            compare(&differences, &its->sent,
                    &(struct sums){.own = its->book.own, .fixed = its->book.fixed}, SERIAL_PORTS);
        }
        serial_free(&serial);
    }
    report(&differences, what);
    is_u64(wrong_slot_bytes, 0,
           "%s: slot_bytes is always what the interface counted since the port got the slot", what);
    is_u64(wrong_place, 0, "%s: each slot is on the ring, in one table entry or unlinked", what);
    is_u64(unexpected, 0, "%s: no port without packets is credited, and no delta is empty", what);
    ok(recycled > 1000 && comings > 200 && (killed > 500) == kills && ended > 100,
       "%s: enough happened for the test to be meaningful", what);
    diag("%llu slots recycled, %llu interfaces came, %llu kills, %llu series to end", recycled,
         comings, killed, ended);
}

/* ---- several threads ---- */

#define PARALLEL_INTERFACES 3
#define PARALLEL_PORTS      5000
#define PARALLEL_DYNAMIC    56
#define PARALLEL_RESERVED   8
#define PARALLEL_CPUS       3

struct parallel;

struct parallel_cpu {
    struct parallel *parallel;
    unsigned number;
    pthread_t thread;
    struct sums sent[PARALLEL_INTERFACES];
    /* Written by this CPU, polled by the reader: on a cache line of its own. */
    __u64 finished __attribute__((aligned(PB_LINE)));
    bool done;
};

struct parallel_interface {
    struct parallel *parallel;
    bool attached;
    struct tally *tally; /* NULL: there is no such interface */
    struct sums accounted;
};

struct parallel {
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *counters;
    struct parallel_interface interface[PARALLEL_INTERFACES];
    struct parallel_cpu cpu[PARALLEL_CPUS];
    __u32 *port_of_key;
    __u64 reads;
    __u32 unexpected, too_many, comings, ended;
};

/* A CPU that runs the classifier. Between two packets it is quiescent. */
static void *parallel_cpu(void *argument) {
    struct parallel_cpu *cpu = argument;
    struct parallel *parallel = cpu->parallel;
    struct simulation *simulation = &parallel->simulation;
    struct random random = {.state = 1000 + cpu->number};

    for (__u32 n = 0; n < packets_per_thread; n++) {
        /* Most packets are of a few ports, which change; the others are a scan of all ports. */
        __u32 wave = n / 500 * 7;
        __u32 port = random_once_in(&random, 8)
                         ? random_below(&random, PARALLEL_PORTS)
                         : (wave + random_below(&random, 40)) % PARALLEL_PORTS;
        bool egress = random_once_in(&random, 3);
        __u64 bytes = 60 + random_below(&random, 1441), packets = 1 + random_below(&random, 3);
        unsigned i = random_below(&random, PARALLEL_INTERFACES);
        struct pb_counters *sent;
        __u32 slot;

        if (!__atomic_load_n(&parallel->interface[i].attached, __ATOMIC_SEQ_CST))
            i = 0;
        slot = simulation_lookup(simulation, key_of_port(port));
        sent = slot < FIRST ? &cpu->sent[i].fixed[slot] : &cpu->sent[i].own[port];
        if (random_once_in(&random, 128))
            sched_yield(); /* the slot is looked up and not counted in */
        simulation_count(simulation, i, cpu->number, slot, egress, bytes, packets);
        *(egress ? &sent->tx_bytes : &sent->rx_bytes) += bytes;
        *(egress ? &sent->tx_packets : &sent->rx_packets) += packets;
        __atomic_store_n(&cpu->finished, n + 1ull, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&cpu->done, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void parallel_on_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                                const struct pb_counters *delta) {
    struct parallel_interface *interface = context;
    __u32 port = slot < FIRST ? 0 : interface->parallel->port_of_key[key];

    if (port == PARALLEL_PORTS || (slot >= FIRST && slot_bytes < bytes_of(delta)))
        interface->parallel->unexpected++;
    else
        add(slot < FIRST ? &interface->accounted.fixed[slot] : &interface->accounted.own[port],
            delta);
}

/* As membarrier does: every CPU has finished the packet that it was processing. */
static void parallel_grace(struct parallel *parallel) {
    __u64 before[PARALLEL_CPUS];

    if (no_grace)
        return;
    for (unsigned number = 0; number < PARALLEL_CPUS; number++)
        before[number] = __atomic_load_n(&parallel->cpu[number].finished, __ATOMIC_SEQ_CST);
    for (unsigned number = 0; number < PARALLEL_CPUS; number++)
        while (__atomic_load_n(&parallel->cpu[number].finished, __ATOMIC_SEQ_CST) ==
                   before[number] &&
               !__atomic_load_n(&parallel->cpu[number].done, __ATOMIC_SEQ_CST))
            sched_yield();
}

static bool parallel_done(const struct parallel *parallel) {
    for (unsigned number = 0; number < PARALLEL_CPUS; number++)
        if (!__atomic_load_n(&parallel->cpu[number].done, __ATOMIC_SEQ_CST))
            return false;
    return true;
}

static void parallel_account(struct parallel *parallel, unsigned number, const __u32 *list,
                             __u32 listed) {
    struct parallel_interface *interface = &parallel->interface[number];

    simulation_read(&parallel->simulation, number, list, listed, parallel->counters);
    slots_account(parallel->slots, interface->tally, parallel->counters, parallel_on_account,
                  interface);
}

static void parallel_comes(struct parallel *parallel, unsigned number) {
    struct parallel_interface *interface = &parallel->interface[number];

    simulation_clear_row(&parallel->simulation, number);
    interface->parallel = parallel;
    if (tally_new(&interface->tally, parallel->slots))
        abort();
    __atomic_store_n(&interface->attached, true, __ATOMIC_SEQ_CST);
    parallel->comings++;
}

static void parallel_goes(struct parallel *parallel, unsigned number) {
    struct parallel_interface *interface = &parallel->interface[number];
    const __u32 *list;
    __u32 listed;

    __atomic_store_n(&interface->attached, false, __ATOMIC_SEQ_CST);
    parallel_grace(parallel);
    listed = slots_list(parallel->slots, true, &list);
    parallel_account(parallel, number, list, listed);
    tally_free(interface->tally);
    interface->tally = NULL;
}

static void parallel_on_end(void *context, __u32 key) {
    struct parallel *parallel = context;

    (void)key;
    parallel->ended++;
}

/* keep: the ports of some keys are kept, some of them whatever happens. */
static void parallel_read(struct parallel *parallel, bool keep) {
    __u64 now = ++parallel->reads, free_slots;
    const __u32 *list;
    __u32 listed;

    if (slots_unlink(parallel->slots, now)) {
        parallel_grace(parallel);
        slots_quiesce(parallel->slots, now);
    }
    listed = slots_list(parallel->slots, false, &list);
    for (unsigned number = 0; number < PARALLEL_INTERFACES; number++)
        if (parallel->interface[number].tally)
            parallel_account(parallel, number, list, listed);
    for (__u32 port = 0; keep && port < PARALLEL_PORTS; port += port % 2 ? 1 : 3)
        slots_keep(parallel->slots, key_of_port(port), port % 97 ? port : SLOTS_BUSY_MAX);
    slots_recycle(parallel->slots);
    /* Only head can move between the two loads, which makes the difference smaller. */
    free_slots = __atomic_load_n(&parallel->simulation.shared->tail, __ATOMIC_ACQUIRE) -
                 __atomic_load_n(&parallel->simulation.shared->head, __ATOMIC_ACQUIRE);
    parallel->too_many += free_slots > PARALLEL_DYNAMIC;
    slots_end_surplus(parallel->slots, parallel_on_end, parallel);
    slots_pick_victims(parallel->slots);
}

static void parallel_new(struct parallel *parallel) {
    memset(parallel, 0, sizeof(*parallel));
    simulation_new(&parallel->simulation, PARALLEL_INTERFACES, PARALLEL_CPUS,
                   slots_total(layout_of(PARALLEL_DYNAMIC, PARALLEL_RESERVED)));
    parallel->counters = calloc(parallel->simulation.slots, sizeof(*parallel->counters));
    parallel->port_of_key = calloc(PB_KEYS, sizeof(*parallel->port_of_key));
    if (!parallel->counters || !parallel->port_of_key ||
        slots_new(&parallel->slots, parallel->simulation.shared,
                  layout_of(PARALLEL_DYNAMIC, PARALLEL_RESERVED)))
        abort();
    for (__u32 key = 0; key < PB_KEYS; key++)
        parallel->port_of_key[key] = PARALLEL_PORTS;
    for (__u32 port = 0; port < PARALLEL_PORTS; port++)
        parallel->port_of_key[key_of_port(port)] = port;
    for (unsigned number = 0; number < PARALLEL_INTERFACES; number++) {
        parallel->interface[number].accounted = sums_new(PARALLEL_PORTS);
        parallel_comes(parallel, number);
    }
    for (unsigned number = 0; number < PARALLEL_CPUS; number++) {
        struct parallel_cpu *cpu = &parallel->cpu[number];

        cpu->parallel = parallel;
        cpu->number = number;
        for (unsigned i = 0; i < PARALLEL_INTERFACES; i++)
            cpu->sent[i] = sums_new(PARALLEL_PORTS);
        if (pthread_create(&cpu->thread, NULL, parallel_cpu, cpu))
            abort();
    }
}

/* Compares what the CPUs sent with what was accounted, by interface; frees both. */
static void parallel_compare(struct parallel *parallel, struct differences *differences) {
    for (unsigned i = 0; i < PARALLEL_INTERFACES; i++) {
        struct sums sent = sums_new(PARALLEL_PORTS);

        for (unsigned number = 0; number < PARALLEL_CPUS; number++) {
            for (__u32 port = 0; port < PARALLEL_PORTS; port++)
                add(&sent.own[port], &parallel->cpu[number].sent[i].own[port]);
            for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
                add(&sent.fixed[slot], &parallel->cpu[number].sent[i].fixed[slot]);
            sums_free(&parallel->cpu[number].sent[i]);
        }
        compare(differences, &sent, &parallel->interface[i].accounted, PARALLEL_PORTS);
        sums_free(&sent);
        sums_free(&parallel->interface[i].accounted);
    }
}

static void test_threads(void) {
    struct parallel *parallel = aligned_alloc(PB_LINE, sizeof(*parallel));
    struct differences differences = {0};
    struct random random = {.state = 7};
    struct places places;
    __u64 recycled, on_ring;
    __u32 reserved = 0;

    if (!parallel)
        abort();
    parallel_new(parallel);
    while (!parallel_done(parallel)) {
        parallel_read(parallel, true);
        if (random_once_in(&random, 4)) /* policy */
            slots_reserve(parallel->slots, key_of_port(random_below(&random, PARALLEL_PORTS)));
        for (int ports = 0; ports < 20; ports++)
            slots_listen(parallel->slots, key_of_port(random_below(&random, PARALLEL_PORTS)));
        if (random_once_in(&random, 64)) {
            __u32 first = random_below(&random, PB_PORTS);

            fold_range(parallel->slots, first, first + random_below(&random, PB_PORTS - first));
        }
        if (random_once_in(&random, 5)) {
            unsigned number = 1 + random_below(&random, PARALLEL_INTERFACES - 1);

            (parallel->interface[number].tally ? parallel_goes : parallel_comes)(parallel, number);
        }
    }
    for (unsigned number = 0; number < PARALLEL_CPUS; number++)
        pthread_join(parallel->cpu[number].thread, NULL);
    recycled = parallel->simulation.shared->tail - PARALLEL_DYNAMIC;
    for (int reads = 0; reads < 4; reads++)
        parallel_read(parallel, false);
    places = count_places(&parallel->simulation, PARALLEL_DYNAMIC);
    on_ring = parallel->simulation.shared->tail - parallel->simulation.shared->head;
    for (__u32 port = 0; port < PARALLEL_RESERVED; port++)
        reserved += slots_reserve(parallel->slots, key_of_port(port));
    for (unsigned number = 0; number < PARALLEL_INTERFACES; number++)
        if (parallel->interface[number].tally)
            parallel_goes(parallel, number);

    parallel_compare(parallel, &differences);
    report(&differences, "threads");
    is_u64(parallel->unexpected, 0, "threads: no port without packets is credited");
    is_u64(parallel->too_many, 0,
           "threads: there are never more slots on the ring than dynamic slots");
    ok(places.valid, "threads: no slot is in two places");
    is_u64(places.dynamic_absent, 0, "threads: no dynamic slot is lost");
    ok(on_ring * 2 >= PARALLEL_DYNAMIC,
       "threads: without ports to keep, half of the dynamic slots return to the ring");
    is_u64(reserved, PARALLEL_RESERVED, "threads: and all others can be reserved");
    diag("%llu reads, %llu slots recycled, %u interfaces came, %u series to end", parallel->reads,
         recycled, parallel->comings, parallel->ended);

    slots_free(parallel->slots);
    free(parallel->counters);
    free(parallel->port_of_key);
    simulation_free(&parallel->simulation);
    free(parallel);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "no-grace"))
            no_grace = true;
        else if (sscanf(argv[i], "packets=%u", &packets_per_thread) != 1)
            return 2;
    }
    test_one_thread(true, false, "one thread");
    test_one_thread(false, false, "one thread, grace period by time");
    test_one_thread(true, true, "one thread, killed");
    test_one_thread(false, true, "one thread, grace period by time, killed");
    test_threads();
    return tap_end();
}
