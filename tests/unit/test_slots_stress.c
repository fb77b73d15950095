/* SPDX-License-Identifier: MIT */
/*
 * Every packet is accounted exactly once, to its port, whatever the order in which classifier and
 * reader do their steps: first in one thread, where a seed picks the next step, then in several.
 *
 * By hand: "test_slots_stress no-grace" leaves the grace period out, which must fail.
 * "test_slots_stress packets=N" sets the number of packets per thread.
 *
 * Links: plugin/slots.c. Needs -pthread.
 */
#include <sched.h>
#include <stdint.h>

#include "random.h"
#include "simulation.h"
#include "slots.h"
#include "tap.h"

#define FIRST PB_FIXED_SLOTS

static bool no_grace;
static __u32 packets_per_thread = 1000000;

/* ---- what was sent and what was accounted, by port or fixed slot ---- */

struct tally {
    struct pb_counters *own;   /* by port number in the test */
    struct pb_counters *fixed; /* PB_FIXED_SLOTS */
};

static struct tally tally_new(__u32 ports) {
    struct tally tally = {calloc(ports, sizeof(struct pb_counters)),
                          calloc(PB_FIXED_SLOTS, sizeof(struct pb_counters))};

    if (!tally.own || !tally.fixed)
        abort();
    return tally;
}

static void tally_free(struct tally *tally) {
    free(tally->own);
    free(tally->fixed);
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

static void tally_total(const struct tally *tally, __u32 ports, struct pb_counters *total) {
    *total = (struct pb_counters){0};
    for (__u32 port = 0; port < ports; port++)
        add(total, &tally->own[port]);
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        add(total, &tally->fixed[slot]);
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

static void compare(struct differences *all, const struct tally *sent,
                    const struct tally *accounted, __u32 ports) {
    struct pb_counters all_sent, all_accounted;

    tally_total(sent, ports, &all_sent);
    tally_total(accounted, ports, &all_accounted);
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

#define SERIAL_PORTS    40
#define SERIAL_DYNAMIC  8
#define SERIAL_RESERVED 3
#define SERIAL_SLOTS    (PB_FIXED_SLOTS + SERIAL_DYNAMIC + SERIAL_RESERVED)
#define SERIAL_CPUS     4

/* A packet in progress: its slot is looked up, then its bytes are counted, then the packet. */
struct on_cpu {
    enum { IDLE, LOOKED_UP, HALF_COUNTED } stage;
    __u32 port, slot;
    bool egress;
    __u64 bytes;
    __u64 finished; /* packets so far */
};

struct serial {
    struct random random;
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *sums;
    struct on_cpu cpu[SERIAL_CPUS];
    struct tally sent, accounted;
    __u64 now;
    __u32 allocations_seen[SERIAL_SLOTS]; /* the allocation that owner_bytes is about */
    __u64 owner_bytes[SERIAL_SLOTS];
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
    struct serial *serial = context;
    __u32 port = slot < FIRST ? 0 : port_of_key(key);

    if (port == SERIAL_PORTS || packets_of(delta) + bytes_of(delta) == 0) {
        serial->unexpected++;
        return;
    }
    if (slot < FIRST) {
        add(&serial->accounted.fixed[slot], delta);
        return;
    }
    add(&serial->accounted.own[port], delta);
    /* All that an owner counted is accounted before the slot has another one. */
    if (serial->allocations_seen[slot] != serial->simulation.allocations[slot])
        serial->owner_bytes[slot] = 0;
    serial->allocations_seen[slot] = serial->simulation.allocations[slot];
    serial->owner_bytes[slot] += bytes_of(delta);
    serial->wrong_slot_bytes += slot_bytes != serial->owner_bytes[slot];
}

static bool serial_keep(void *context, __u32 key) {
    (void)context;
    return key % 5 == 0;
}

/* Policy may change at any time: a slot is reserved, or another range of ports is folded. */
static void serial_policy(struct serial *serial, __u32 key) {
    const __u32 *entry = &serial->simulation.shared->table[key];
    __u32 before = *entry, first;

    if (random_once_in(&serial->random, 32)) { /* slow */
        first = random_below(&serial->random, SERIAL_PORTS * 13);
        slots_fold(serial->slots, first, first + random_below(&serial->random, 200));
    } else if (slots_reserve(serial->slots, key) && *entry != before) {
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

    switch (cpu->stage) {
    case IDLE: {
        /* Ports come in waves, so that slots become idle. */
        __u32 wave = (__u32)(serial->now / 4) % SERIAL_PORTS;

        cpu->port = (wave + random_below(&serial->random, 10)) % SERIAL_PORTS;
        cpu->egress = random_once_in(&serial->random, 2);
        cpu->bytes = 60 + random_below(&serial->random, 1441);
        cpu->slot = simulation_lookup(&serial->simulation, key_of_port(cpu->port));
        cpu->stage = LOOKED_UP;
        break;
    }
    case LOOKED_UP:
        simulation_count(&serial->simulation, number, cpu->slot, cpu->egress, cpu->bytes, 0);
        cpu->stage = HALF_COUNTED;
        break;
    case HALF_COUNTED:
        simulation_count(&serial->simulation, number, cpu->slot, cpu->egress, 0, 1);
        *(cpu->egress ? &counted.tx_bytes : &counted.rx_bytes) = cpu->bytes;
        *(cpu->egress ? &counted.tx_packets : &counted.rx_packets) = 1;
        add(cpu->slot < FIRST ? &serial->sent.fixed[cpu->slot] : &serial->sent.own[cpu->port],
            &counted);
        cpu->stage = IDLE;
        cpu->finished++;
        break;
    }
}

static void serial_steps(struct serial *serial, __u32 most) {
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
static void serial_read_counters(struct serial *serial) {
    for (__u32 slot = 0; slot < serial->simulation.slots; slot++) {
        struct pb_counters *sum = &serial->sums[slot];

        *sum = (struct pb_counters){0};
        for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++) {
            const struct pb_counters *counter = &serial->simulation.counters[cpu][slot];

            sum->rx_packets += counter->rx_packets;
            sum->tx_packets += counter->tx_packets;
            if (slot >= FIRST)
                serial_steps(serial, 2);
            sum->rx_bytes += counter->rx_bytes;
            sum->tx_bytes += counter->tx_bytes;
        }
    }
}

/* For a read without a grace period: a time, and what each CPU had finished then. */
struct waiting {
    __u64 time;
    __u64 finished[SERIAL_CPUS];
};

static void serial_read(struct serial *serial, bool membarrier, struct waiting *waiting) {
    __u32 waits = slots_unlink(serial->slots, ++serial->now);
    struct places places = count_places(&serial->simulation, SERIAL_DYNAMIC);

    /* A reserved slot that is absent may be unlinked, or was never reserved. */
    serial->wrong_place += !places.valid || waits < places.dynamic_absent ||
                           waits > places.dynamic_absent + places.reserved_absent;
    if (no_grace) {
        slots_quiesce(serial->slots, serial->now);
    } else if (membarrier) {
        serial_steps(serial, 3);
        if (waits) {
            serial_grace(serial);
            slots_quiesce(serial->slots, serial->now);
        }
    } else {
        bool done = true;

        for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
            done &= serial->cpu[cpu].finished > waiting->finished[cpu];
        if (done) {
            slots_quiesce(serial->slots, waiting->time);
            waiting->time = serial->now;
            for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
                waiting->finished[cpu] = serial->cpu[cpu].finished;
        }
    }
    serial_read_counters(serial);
    serial_steps(serial, 3);
    slots_account(serial->slots, serial->sums, serial_on_account, serial);
    serial_steps(serial, 3);
    slots_recycle(serial->slots);
    serial_steps(serial, 3);
    slots_pick_victims(serial->slots, serial_keep, serial);
    serial->wrong_place += !count_places(&serial->simulation, SERIAL_DYNAMIC).valid;
}

static bool keep_none(void *context, __u32 key) {
    (void)context;
    (void)key;
    return false;
}

/* Packets in progress are counted, then every slot is recycled. */
static void serial_drain(struct serial *serial) {
    struct places places;

    for (unsigned cpu = 0; cpu < SERIAL_CPUS; cpu++)
        while (serial->cpu[cpu].stage != IDLE)
            serial_cpu_step(serial, cpu);
    for (int reads = 0; reads < 4; reads++) {
        slots_unlink(serial->slots, ++serial->now);
        slots_quiesce(serial->slots, serial->now);
        simulation_read(&serial->simulation, serial->sums);
        slots_account(serial->slots, serial->sums, serial_on_account, serial);
        slots_recycle(serial->slots);
        slots_pick_victims(serial->slots, keep_none, serial);
    }
    places = count_places(&serial->simulation, SERIAL_DYNAMIC);
    serial->wrong_place +=
        !places.valid || places.dynamic_absent != 0 || places.reserved_absent != SERIAL_RESERVED ||
        serial->simulation.shared->tail - serial->simulation.shared->head != SERIAL_DYNAMIC;
    for (__u32 port = 0; port < SERIAL_RESERVED; port++)
        serial->wrong_place += !slots_reserve(serial->slots, key_of_port(port));
}

static void test_one_thread(bool membarrier) {
    const char *what = membarrier ? "one thread" : "one thread, grace period by time";
    struct differences differences = {0};
    __u32 wrong_slot_bytes = 0, wrong_place = 0, unexpected = 0;
    __u64 recycled = 0;

    for (__u64 seed = 1; seed <= 20; seed++) {
        struct waiting waiting = {0};
        struct serial serial = {.random.state = seed,
                                .sent = tally_new(SERIAL_PORTS),
                                .accounted = tally_new(SERIAL_PORTS)};

        simulation_new(&serial.simulation, SERIAL_CPUS, SERIAL_SLOTS);
        serial.simulation.before_publishing = serial_before_publishing;
        serial.simulation.context = &serial;
        serial.sums = calloc(serial.simulation.slots, sizeof(*serial.sums));
        if (!serial.sums ||
            slots_new(&serial.slots, serial.simulation.shared, SERIAL_DYNAMIC, SERIAL_RESERVED))
            abort();
        for (int reads = 0; reads < 200; reads++) {
            serial_steps(&serial, 60);
            if (random_once_in(&serial.random, 3))
                serial_policy(&serial, key_of_port(random_below(&serial.random, SERIAL_PORTS)));
            serial_read(&serial, membarrier, &waiting);
        }
        serial_drain(&serial);
        recycled += serial.simulation.shared->tail - SERIAL_DYNAMIC;
        wrong_slot_bytes += serial.wrong_slot_bytes;
        wrong_place += serial.wrong_place;
        unexpected += serial.unexpected;
        compare(&differences, &serial.sent, &serial.accounted, SERIAL_PORTS);
        tally_free(&serial.sent);
        tally_free(&serial.accounted);
        slots_free(serial.slots);
        free(serial.sums);
        simulation_free(&serial.simulation);
    }
    report(&differences, what);
    is_u64(wrong_slot_bytes, 0, "%s: slot_bytes is always the bytes since the port got the slot",
           what);
    is_u64(wrong_place, 0, "%s: each slot is on the ring, in one table entry or unlinked", what);
    is_u64(unexpected, 0, "%s: no port without packets is credited, and no delta is empty", what);
    ok(recycled > 1000, "%s: enough slots were recycled for the test to be meaningful", what);
    diag("%llu slots recycled", recycled);
}

/* ---- several threads ---- */

#define PARALLEL_PORTS    5000
#define PARALLEL_DYNAMIC  56
#define PARALLEL_RESERVED 8
#define PARALLEL_CPUS     3

struct parallel;

struct parallel_cpu {
    struct parallel *parallel;
    unsigned number;
    pthread_t thread;
    struct tally sent;
    /* Written by this CPU, polled by the reader: on a cache line of its own. */
    __u64 finished __attribute__((aligned(PB_LINE)));
    bool done;
};

struct parallel {
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *sums;
    struct tally accounted;
    struct parallel_cpu cpu[PARALLEL_CPUS];
    __u32 *port_of_key;
    bool (*keep)(void *context, __u32 key);
    __u64 reads;
    __u32 unexpected, too_many;
};

/* A CPU that runs the classifier. Between two packets it is quiescent. */
static void *parallel_cpu(void *argument) {
    struct parallel_cpu *cpu = argument;
    struct simulation *simulation = &cpu->parallel->simulation;
    struct random random = {.state = 1000 + cpu->number};

    for (__u32 n = 0; n < packets_per_thread; n++) {
        /* Most packets are of a few ports, which change; the others are a scan of all ports. */
        __u32 wave = n / 500 * 7;
        __u32 port = random_once_in(&random, 8)
                         ? random_below(&random, PARALLEL_PORTS)
                         : (wave + random_below(&random, 40)) % PARALLEL_PORTS;
        bool egress = random_once_in(&random, 3);
        __u64 bytes = 60 + random_below(&random, 1441), packets = 1 + random_below(&random, 3);
        __u32 slot = simulation_lookup(simulation, key_of_port(port));
        struct pb_counters *sent = slot < FIRST ? &cpu->sent.fixed[slot] : &cpu->sent.own[port];

        if (random_once_in(&random, 128))
            sched_yield(); /* the slot is looked up and not counted in */
        simulation_count(simulation, cpu->number, slot, egress, bytes, packets);
        *(egress ? &sent->tx_bytes : &sent->rx_bytes) += bytes;
        *(egress ? &sent->tx_packets : &sent->rx_packets) += packets;
        __atomic_store_n(&cpu->finished, n + 1ull, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&cpu->done, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void parallel_on_account(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                                const struct pb_counters *delta) {
    struct parallel *parallel = context;
    __u32 port = slot < FIRST ? 0 : parallel->port_of_key[key];

    if (port == PARALLEL_PORTS || slot_bytes < bytes_of(delta))
        parallel->unexpected++;
    else
        add(slot < FIRST ? &parallel->accounted.fixed[slot] : &parallel->accounted.own[port],
            delta);
}

static bool parallel_keep(void *context, __u32 key) {
    (void)context;
    return key % 97 == 0;
}

/* As membarrier does: every CPU has finished the packet that it was processing. */
static void parallel_grace(struct parallel *parallel) {
    __u64 before[PARALLEL_CPUS];

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

static void parallel_read(struct parallel *parallel) {
    __u64 now = ++parallel->reads, free_slots;

    if (slots_unlink(parallel->slots, now)) {
        if (!no_grace)
            parallel_grace(parallel);
        slots_quiesce(parallel->slots, now);
    }
    simulation_read(&parallel->simulation, parallel->sums);
    slots_account(parallel->slots, parallel->sums, parallel_on_account, parallel);
    slots_recycle(parallel->slots);
    /* Only head can move between the two loads, which makes the difference smaller. */
    free_slots = __atomic_load_n(&parallel->simulation.shared->tail, __ATOMIC_ACQUIRE) -
                 __atomic_load_n(&parallel->simulation.shared->head, __ATOMIC_ACQUIRE);
    parallel->too_many += free_slots > PARALLEL_DYNAMIC;
    slots_pick_victims(parallel->slots, parallel->keep, parallel);
}

static void test_threads(void) {
    struct parallel *parallel = aligned_alloc(PB_LINE, sizeof(*parallel));
    struct tally sent = tally_new(PARALLEL_PORTS);
    struct differences differences = {0};
    struct random random = {.state = 7};
    struct places places;
    __u64 recycled;
    __u32 port, reserved = 0;

    if (!parallel)
        abort();
    memset(parallel, 0, sizeof(*parallel));
    parallel->keep = parallel_keep;
    simulation_new(&parallel->simulation, PARALLEL_CPUS,
                   slots_total(PARALLEL_DYNAMIC, PARALLEL_RESERVED));
    parallel->accounted = tally_new(PARALLEL_PORTS);
    parallel->sums = calloc(parallel->simulation.slots, sizeof(*parallel->sums));
    parallel->port_of_key = calloc(PB_KEYS, sizeof(*parallel->port_of_key));
    if (!parallel->sums || !parallel->port_of_key ||
        slots_new(&parallel->slots, parallel->simulation.shared, PARALLEL_DYNAMIC,
                  PARALLEL_RESERVED))
        abort();
    for (__u32 key = 0; key < PB_KEYS; key++)
        parallel->port_of_key[key] = PARALLEL_PORTS;
    for (port = 0; port < PARALLEL_PORTS; port++)
        parallel->port_of_key[key_of_port(port)] = port;

    for (unsigned number = 0; number < PARALLEL_CPUS; number++) {
        struct parallel_cpu *cpu = &parallel->cpu[number];

        cpu->parallel = parallel;
        cpu->number = number;
        cpu->sent = tally_new(PARALLEL_PORTS);
        if (pthread_create(&cpu->thread, NULL, parallel_cpu, cpu))
            abort();
    }
    while (!parallel_done(parallel)) {
        parallel_read(parallel);
        if (random_once_in(&random, 4)) /* policy */
            slots_reserve(parallel->slots, key_of_port(random_below(&random, PARALLEL_PORTS)));
        if (random_once_in(&random, 64)) {
            __u32 first = random_below(&random, PB_PORTS);

            slots_fold(parallel->slots, first, first + random_below(&random, PB_PORTS - first));
        }
    }
    for (unsigned number = 0; number < PARALLEL_CPUS; number++) {
        struct parallel_cpu *cpu = &parallel->cpu[number];

        pthread_join(cpu->thread, NULL);
        for (port = 0; port < PARALLEL_PORTS; port++)
            add(&sent.own[port], &cpu->sent.own[port]);
        for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
            add(&sent.fixed[slot], &cpu->sent.fixed[slot]);
        tally_free(&cpu->sent);
    }
    recycled = parallel->simulation.shared->tail - PARALLEL_DYNAMIC;
    parallel->keep = keep_none; /* all slots are recycled */
    for (int reads = 0; reads < 4; reads++)
        parallel_read(parallel);
    places = count_places(&parallel->simulation, PARALLEL_DYNAMIC);
    for (port = 0; port < PARALLEL_RESERVED; port++)
        reserved += slots_reserve(parallel->slots, key_of_port(port));

    compare(&differences, &sent, &parallel->accounted, PARALLEL_PORTS);
    report(&differences, "threads");
    is_u64(parallel->unexpected, 0, "threads: no port without packets is credited");
    is_u64(parallel->too_many, 0,
           "threads: there are never more slots on the ring than dynamic slots");
    ok(places.valid, "threads: no slot is in two places");
    is_u64(places.dynamic_absent, 0, "threads: no dynamic slot is lost");
    is_u64(parallel->simulation.shared->tail - parallel->simulation.shared->head, PARALLEL_DYNAMIC,
           "threads: without ports to keep, all dynamic slots return to the ring");
    is_u64(reserved, PARALLEL_RESERVED, "threads: and all others can be reserved");
    diag("%llu reads, %llu slots recycled", parallel->reads, recycled);

    tally_free(&sent);
    tally_free(&parallel->accounted);
    slots_free(parallel->slots);
    free(parallel->sums);
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
    test_one_thread(true);
    test_one_thread(false);
    test_threads();
    return tap_end();
}
