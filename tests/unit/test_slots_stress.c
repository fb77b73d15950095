/* SPDX-License-Identifier: MIT */
/*
 * Every packet is counted exactly once, under its port, whatever the order in
 * which classifier and reader do their steps: first in one thread, where a fixed
 * seed picks the next step, then in several.
 *
 * By hand: "test_slots_stress no-grace" leaves the grace period out, which must
 * fail. "test_slots_stress packets=N" sets the number of packets per thread.
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

/* ---- what was sent and what was booked, by what it was counted under ---- */

struct account {
    struct pb_counters *own;   /* by port number in the test */
    struct pb_counters *fixed; /* PB_FIXED_SLOTS */
};

static struct account account_new(__u32 ports) {
    struct account account = {calloc(ports, sizeof(struct pb_counters)),
                              calloc(PB_FIXED_SLOTS, sizeof(struct pb_counters))};

    if (!account.own || !account.fixed)
        abort();
    return account;
}

static void account_free(struct account *account) {
    free(account->own);
    free(account->fixed);
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

static void account_total(const struct account *account, __u32 ports, struct pb_counters *total) {
    *total = (struct pb_counters){0};
    for (__u32 port = 0; port < ports; port++)
        add(total, &account->own[port]);
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        add(total, &account->fixed[slot]);
}

/* The ports of the test are spread over transports and numbers. */
static __u32 key_of_port(__u32 port) {
    return PB_KEY(port % PB_TRANSPORTS, port * 13 % PB_PORTS);
}

/* What is wrong; nothing of it can cancel out between objects. */
struct differences {
    __u64 packets, bytes; /* sent */
    __u64 packets_off, bytes_off;
    __u64 ports, fixed;
    __u64 stolen; /* packets booked to a port beyond what it was sent */
};

static __u64 distance(__u64 a, __u64 b) {
    return a > b ? a - b : b - a;
}

static void compare(struct differences *all, const struct account *sent,
                    const struct account *booked, __u32 ports) {
    struct pb_counters all_sent, all_booked;

    account_total(sent, ports, &all_sent);
    account_total(booked, ports, &all_booked);
    all->packets += packets_of(&all_sent);
    all->bytes += bytes_of(&all_sent);
    all->packets_off += distance(packets_of(&all_booked), packets_of(&all_sent));
    all->bytes_off += distance(bytes_of(&all_booked), bytes_of(&all_sent));
    for (__u32 port = 0; port < ports; port++) {
        __u64 mine = packets_of(&sent->own[port]), got = packets_of(&booked->own[port]);

        all->ports += memcmp(&sent->own[port], &booked->own[port], sizeof(sent->own[port])) != 0;
        all->stolen += got > mine ? got - mine : 0;
    }
    for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
        all->fixed +=
            memcmp(&sent->fixed[slot], &booked->fixed[slot], sizeof(sent->fixed[slot])) != 0;
}

static void report(const struct differences *all, const char *what) {
    is_u64(all->packets_off, 0, "%s: every packet is booked once", what);
    is_u64(all->bytes_off, 0, "%s: every byte is booked once", what);
    is_u64(all->ports, 0, "%s: every port is booked what its slots counted, by direction", what);
    is_u64(all->stolen, 0, "%s: no port is booked another's packets", what);
    is_u64(all->fixed, 0, "%s: every fixed slot is booked what it counted", what);
    diag("%llu packets", all->packets);
}

/* ---- invariants, when nothing moves ---- */

/* What count_places found. */
struct places {
    bool good;                            /* no slot in two places, none where it does not belong */
    __u32 dynamic_absent, granted_absent; /* neither on the ring nor in the table */
};

static struct places count_places(const struct simulation *simulation, __u32 dynamic) {
    const struct pb_shared *shared = simulation->shared;
    unsigned char *seen = calloc(simulation->slots, 1);
    __u32 dynamic_end = FIRST + dynamic;
    struct places places = {.good = shared->head <= shared->tail &&
                                    shared->tail - shared->head <= dynamic};

    if (!seen)
        abort();
    for (__u32 i = 0; i < PB_RING; i++) {
        /* The cell's place between head and tail, counted from head. */
        __u32 behind_head = (i - (__u32)shared->head) & (PB_RING - 1);
        bool inside = behind_head < shared->tail - shared->head;
        __u32 slot = shared->ring[i];

        if (inside != (slot != 0) || (slot != 0 && (slot < FIRST || slot >= dynamic_end)))
            places.good = false;
        else if (slot)
            seen[slot]++;
    }
    for (__u32 key = 0; key < PB_KEYS; key++) {
        __u32 slot = shared->table[key];

        if (slot >= simulation->slots)
            places.good = false;
        else if (slot >= FIRST)
            seen[slot]++;
    }
    for (__u32 slot = FIRST; slot < simulation->slots; slot++) {
        places.good &= seen[slot] <= 1;
        *(slot < dynamic_end ? &places.dynamic_absent : &places.granted_absent) += seen[slot] == 0;
    }
    free(seen);
    return places;
}

/* ---- one thread: a seed picks the next step ---- */

#define SMALL_PORTS   40
#define SMALL_DYNAMIC 8
#define SMALL_GRANTED 3
#define SMALL_SLOTS   (PB_FIXED_SLOTS + SMALL_DYNAMIC + SMALL_GRANTED)
#define SMALL_CPUS    4

/* A packet on its way: looked up, its bytes counted, then the packet. */
struct on_cpu {
    enum { IDLE, LOOKED_UP, HALF_COUNTED } stage;
    __u32 port, slot;
    bool egress;
    __u64 bytes;
    __u64 finished; /* how many it has dealt with */
};

struct small {
    struct random random;
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *sums;
    struct on_cpu cpu[SMALL_CPUS];
    struct account sent, booked;
    __u64 now;
    __u32 allocations_seen[SMALL_SLOTS]; /* the owner that held_here is about */
    __u64 held_here[SMALL_SLOTS];
    __u32 wrong_held, wrong_place, unwanted;
};

static __u32 port_of_key(__u32 key) {
    for (__u32 port = 0; port < SMALL_PORTS; port++)
        if (key_of_port(port) == key)
            return port;
    return SMALL_PORTS;
}

static void small_book(void *context, __u32 slot, __u32 key, __u64 held,
                       const struct pb_counters *delta) {
    struct small *small = context;
    __u32 port = slot < FIRST ? 0 : port_of_key(key);

    if (port == SMALL_PORTS || packets_of(delta) + bytes_of(delta) == 0) {
        small->unwanted++;
        return;
    }
    if (slot < FIRST) {
        add(&small->booked.fixed[slot], delta);
        return;
    }
    add(&small->booked.own[port], delta);
    /* All that an owner counted is booked before there is another one. */
    if (small->allocations_seen[slot] != small->simulation.allocations[slot])
        small->held_here[slot] = 0;
    small->allocations_seen[slot] = small->simulation.allocations[slot];
    small->held_here[slot] += bytes_of(delta);
    small->wrong_held += held != small->held_here[slot];
}

static bool small_keep(void *context, __u32 key) {
    (void)context;
    return key % 5 == 0;
}

/* Policy changes at any time: a slot is granted, or other ports are folded. */
static void small_policy(struct small *small, __u32 key) {
    const __u32 *entry = &small->simulation.shared->table[key];
    __u32 before = *entry, first;

    if (random_once_in(&small->random, 32)) { /* slow */
        first = random_below(&small->random, SMALL_PORTS * 13);
        slots_fold(small->slots, first, first + random_below(&small->random, 200));
    } else if (slots_reserve(small->slots, key) && *entry != before) {
        small->simulation.allocations[*entry]++; /* a new owner */
    }
}

static void small_before_publishing(struct simulation *simulation, __u32 key) {
    struct small *small = simulation->context;

    if (random_once_in(&small->random, 4))
        small_policy(small, key);
}

static void small_cpu_step(struct small *small, unsigned number) {
    struct on_cpu *cpu = &small->cpu[number];
    struct pb_counters counted = {0};

    switch (cpu->stage) {
    case IDLE: {
        /* Ports come in waves, so that slots fall idle. */
        __u32 wave = (__u32)(small->now / 4) % SMALL_PORTS;

        cpu->port = (wave + random_below(&small->random, 10)) % SMALL_PORTS;
        cpu->egress = random_once_in(&small->random, 2);
        cpu->bytes = 60 + random_below(&small->random, 1441);
        cpu->slot = simulation_lookup(&small->simulation, key_of_port(cpu->port));
        cpu->stage = LOOKED_UP;
        break;
    }
    case LOOKED_UP:
        simulation_count(&small->simulation, number, cpu->slot, cpu->egress, cpu->bytes, 0);
        cpu->stage = HALF_COUNTED;
        break;
    case HALF_COUNTED:
        simulation_count(&small->simulation, number, cpu->slot, cpu->egress, 0, 1);
        *(cpu->egress ? &counted.tx_bytes : &counted.rx_bytes) = cpu->bytes;
        *(cpu->egress ? &counted.tx_packets : &counted.rx_packets) = 1;
        add(cpu->slot < FIRST ? &small->sent.fixed[cpu->slot] : &small->sent.own[cpu->port],
            &counted);
        cpu->stage = IDLE;
        cpu->finished++;
        break;
    }
}

static void small_steps(struct small *small, __u32 most) {
    for (__u32 steps = random_below(&small->random, most + 1); steps; steps--)
        small_cpu_step(small, random_below(&small->random, SMALL_CPUS));
}

/* Until each CPU that has a packet now is done with it; others go on. */
static void small_grace(struct small *small) {
    for (unsigned number = 0; number < SMALL_CPUS; number++) {
        __u64 finished = small->cpu[number].finished;

        while (small->cpu[number].stage != IDLE && small->cpu[number].finished == finished)
            small_cpu_step(small, random_below(&small->random, SMALL_CPUS));
    }
}

/* The counters slot by slot and field by field, packets in between. */
static void small_read_counters(struct small *small) {
    for (__u32 slot = 0; slot < small->simulation.slots; slot++) {
        struct pb_counters *sum = &small->sums[slot];

        *sum = (struct pb_counters){0};
        for (unsigned cpu = 0; cpu < SMALL_CPUS; cpu++) {
            const struct pb_counters *counter = &small->simulation.counters[cpu][slot];

            sum->rx_packets += counter->rx_packets;
            sum->tx_packets += counter->tx_packets;
            if (slot >= FIRST)
                small_steps(small, 2);
            sum->rx_bytes += counter->rx_bytes;
            sum->tx_bytes += counter->tx_bytes;
        }
    }
}

/* What a read that cannot have a grace period remembers: time, and what each CPU had done. */
struct waiting {
    __u64 time;
    __u64 finished[SMALL_CPUS];
};

static void small_read(struct small *small, bool membarrier, struct waiting *waiting) {
    __u32 waits = slots_unlink(small->slots, ++small->now);
    struct places places = count_places(&small->simulation, SMALL_DYNAMIC);

    /* A granted slot that is absent may be withdrawn, or never have been granted. */
    small->wrong_place += !places.good || waits < places.dynamic_absent ||
                          waits > places.dynamic_absent + places.granted_absent;
    if (no_grace) {
        slots_quiesce(small->slots, small->now);
    } else if (membarrier) {
        small_steps(small, 3);
        if (waits) {
            small_grace(small);
            slots_quiesce(small->slots, small->now);
        }
    } else {
        bool done = true;

        for (unsigned cpu = 0; cpu < SMALL_CPUS; cpu++)
            done &= small->cpu[cpu].finished > waiting->finished[cpu];
        if (done) {
            slots_quiesce(small->slots, waiting->time);
            waiting->time = small->now;
            for (unsigned cpu = 0; cpu < SMALL_CPUS; cpu++)
                waiting->finished[cpu] = small->cpu[cpu].finished;
        }
    }
    small_read_counters(small);
    small_steps(small, 3);
    slots_account(small->slots, small->sums, small_book, small);
    small_steps(small, 3);
    slots_recycle(small->slots);
    small_steps(small, 3);
    slots_pick_victims(small->slots, small_keep, small);
    small->wrong_place += !count_places(&small->simulation, SMALL_DYNAMIC).good;
}

static bool keep_none(void *context, __u32 key) {
    (void)context;
    (void)key;
    return false;
}

/* The packets on their way are counted, then every slot goes home. */
static void small_settle(struct small *small) {
    struct places places;

    for (unsigned cpu = 0; cpu < SMALL_CPUS; cpu++)
        while (small->cpu[cpu].stage != IDLE)
            small_cpu_step(small, cpu);
    for (int reads = 0; reads < 4; reads++) {
        slots_unlink(small->slots, ++small->now);
        slots_quiesce(small->slots, small->now);
        simulation_read(&small->simulation, small->sums);
        slots_account(small->slots, small->sums, small_book, small);
        slots_recycle(small->slots);
        slots_pick_victims(small->slots, keep_none, small);
    }
    places = count_places(&small->simulation, SMALL_DYNAMIC);
    small->wrong_place +=
        !places.good || places.dynamic_absent != 0 || places.granted_absent != SMALL_GRANTED ||
        small->simulation.shared->tail - small->simulation.shared->head != SMALL_DYNAMIC;
    for (__u32 port = 0; port < SMALL_GRANTED; port++)
        small->wrong_place += !slots_reserve(small->slots, key_of_port(port));
}

static void test_one_thread(bool membarrier) {
    const char *what = membarrier ? "one thread" : "one thread, grace by time";
    struct differences differences = {0};
    __u32 wrong_held = 0, wrong_place = 0, unwanted = 0;
    __u64 recycled = 0;

    for (__u64 seed = 1; seed <= 20; seed++) {
        struct waiting waiting = {0};
        struct small small = {.random.state = seed,
                              .sent = account_new(SMALL_PORTS),
                              .booked = account_new(SMALL_PORTS)};

        simulation_new(&small.simulation, SMALL_CPUS, SMALL_SLOTS);
        small.simulation.before_publishing = small_before_publishing;
        small.simulation.context = &small;
        small.sums = calloc(small.simulation.slots, sizeof(*small.sums));
        if (!small.sums ||
            slots_new(&small.slots, small.simulation.shared, SMALL_DYNAMIC, SMALL_GRANTED))
            abort();
        for (int reads = 0; reads < 200; reads++) {
            small_steps(&small, 60);
            if (random_once_in(&small.random, 3))
                small_policy(&small, key_of_port(random_below(&small.random, SMALL_PORTS)));
            small_read(&small, membarrier, &waiting);
        }
        small_settle(&small);
        recycled += small.simulation.shared->tail - SMALL_DYNAMIC;
        wrong_held += small.wrong_held;
        wrong_place += small.wrong_place;
        unwanted += small.unwanted;
        compare(&differences, &small.sent, &small.booked, SMALL_PORTS);
        account_free(&small.sent);
        account_free(&small.booked);
        slots_free(small.slots);
        free(small.sums);
        simulation_free(&small.simulation);
    }
    report(&differences, what);
    is_u64(wrong_held, 0, "%s: held is always the bytes since the port took the slot", what);
    is_u64(wrong_place, 0, "%s: each slot is on the ring, in one entry or withdrawn", what);
    is_u64(unwanted, 0, "%s: no port is booked that had no packet, nor anything empty", what);
    ok(recycled > 1000, "%s: slots went round often enough to mean something", what);
    diag("%llu slots recycled", recycled);
}

/* ---- several threads ---- */

#define BIG_PORTS   5000
#define BIG_DYNAMIC 56
#define BIG_GRANTED 8
#define BIG_CPUS    3

struct big;

struct big_cpu {
    struct big *big;
    unsigned number;
    pthread_t thread;
    struct account sent;
    /* Written by the CPU; on a line of its own, the reader polls it. */
    __u64 finished __attribute__((aligned(PB_LINE)));
    bool done;
};

struct big {
    struct simulation simulation;
    struct slots *slots;
    struct pb_counters *sums;
    struct account booked;
    struct big_cpu cpu[BIG_CPUS];
    __u32 *port_of_key;
    bool (*keep)(void *context, __u32 key);
    __u64 reads;
    __u32 unwanted, too_many;
};

/* A CPU that runs the classifier, packet after packet. Between two it is quiescent. */
static void *big_cpu(void *argument) {
    struct big_cpu *cpu = argument;
    struct simulation *simulation = &cpu->big->simulation;
    struct random random = {.state = 1000 + cpu->number};

    for (__u32 n = 0; n < packets_per_thread; n++) {
        /* Most packets are of a few ports, which change; the rest a scan of all. */
        __u32 wave = n / 500 * 7;
        __u32 port = random_once_in(&random, 8) ? random_below(&random, BIG_PORTS)
                                                : (wave + random_below(&random, 40)) % BIG_PORTS;
        bool egress = random_once_in(&random, 3);
        __u64 bytes = 60 + random_below(&random, 1441), packets = 1 + random_below(&random, 3);
        __u32 slot = simulation_lookup(simulation, key_of_port(port));
        struct pb_counters *sent = slot < FIRST ? &cpu->sent.fixed[slot] : &cpu->sent.own[port];

        if (random_once_in(&random, 128))
            sched_yield(); /* holding the slot */
        simulation_count(simulation, cpu->number, slot, egress, bytes, packets);
        *(egress ? &sent->tx_bytes : &sent->rx_bytes) += bytes;
        *(egress ? &sent->tx_packets : &sent->rx_packets) += packets;
        __atomic_store_n(&cpu->finished, n + 1ull, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&cpu->done, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void big_book(void *context, __u32 slot, __u32 key, __u64 held,
                     const struct pb_counters *delta) {
    struct big *big = context;
    __u32 port = slot < FIRST ? 0 : big->port_of_key[key];

    if (port == BIG_PORTS || held < bytes_of(delta))
        big->unwanted++;
    else
        add(slot < FIRST ? &big->booked.fixed[slot] : &big->booked.own[port], delta);
}

static bool big_keep(void *context, __u32 key) {
    (void)context;
    return key % 97 == 0;
}

/* As membarrier does: every CPU has finished the packet that it was at. */
static void big_grace(struct big *big) {
    __u64 before[BIG_CPUS];

    for (unsigned number = 0; number < BIG_CPUS; number++)
        before[number] = __atomic_load_n(&big->cpu[number].finished, __ATOMIC_SEQ_CST);
    for (unsigned number = 0; number < BIG_CPUS; number++)
        while (__atomic_load_n(&big->cpu[number].finished, __ATOMIC_SEQ_CST) == before[number] &&
               !__atomic_load_n(&big->cpu[number].done, __ATOMIC_SEQ_CST))
            sched_yield();
}

static bool big_done(const struct big *big) {
    for (unsigned number = 0; number < BIG_CPUS; number++)
        if (!__atomic_load_n(&big->cpu[number].done, __ATOMIC_SEQ_CST))
            return false;
    return true;
}

static void big_read(struct big *big) {
    __u64 now = ++big->reads, free_slots;

    if (slots_unlink(big->slots, now)) {
        if (!no_grace)
            big_grace(big);
        slots_quiesce(big->slots, now);
    }
    simulation_read(&big->simulation, big->sums);
    slots_account(big->slots, big->sums, big_book, big);
    slots_recycle(big->slots);
    /* Tail is ours: only head can move meanwhile, which makes the difference smaller. */
    free_slots = __atomic_load_n(&big->simulation.shared->tail, __ATOMIC_ACQUIRE) -
                 __atomic_load_n(&big->simulation.shared->head, __ATOMIC_ACQUIRE);
    big->too_many += free_slots > BIG_DYNAMIC;
    slots_pick_victims(big->slots, big->keep, big);
}

static void test_threads(void) {
    struct big *big = aligned_alloc(PB_LINE, sizeof(*big));
    struct account sent = account_new(BIG_PORTS);
    struct differences differences = {0};
    struct random random = {.state = 7};
    struct places places;
    __u64 recycled;
    __u32 port, granted = 0;

    if (!big)
        abort();
    memset(big, 0, sizeof(*big));
    big->keep = big_keep;
    simulation_new(&big->simulation, BIG_CPUS, slots_total(BIG_DYNAMIC, BIG_GRANTED));
    big->booked = account_new(BIG_PORTS);
    big->sums = calloc(big->simulation.slots, sizeof(*big->sums));
    big->port_of_key = calloc(PB_KEYS, sizeof(*big->port_of_key));
    if (!big->sums || !big->port_of_key ||
        slots_new(&big->slots, big->simulation.shared, BIG_DYNAMIC, BIG_GRANTED))
        abort();
    for (__u32 key = 0; key < PB_KEYS; key++)
        big->port_of_key[key] = BIG_PORTS;
    for (port = 0; port < BIG_PORTS; port++)
        big->port_of_key[key_of_port(port)] = port;

    for (unsigned number = 0; number < BIG_CPUS; number++) {
        struct big_cpu *cpu = &big->cpu[number];

        cpu->big = big;
        cpu->number = number;
        cpu->sent = account_new(BIG_PORTS);
        if (pthread_create(&cpu->thread, NULL, big_cpu, cpu))
            abort();
    }
    while (!big_done(big)) {
        big_read(big);
        if (random_once_in(&random, 4)) /* policy */
            slots_reserve(big->slots, key_of_port(random_below(&random, BIG_PORTS)));
        if (random_once_in(&random, 64)) {
            __u32 first = random_below(&random, PB_PORTS);

            slots_fold(big->slots, first, first + random_below(&random, PB_PORTS - first));
        }
    }
    for (unsigned number = 0; number < BIG_CPUS; number++) {
        struct big_cpu *cpu = &big->cpu[number];

        pthread_join(cpu->thread, NULL);
        for (port = 0; port < BIG_PORTS; port++)
            add(&sent.own[port], &cpu->sent.own[port]);
        for (__u32 slot = 0; slot < PB_FIXED_SLOTS; slot++)
            add(&sent.fixed[slot], &cpu->sent.fixed[slot]);
        account_free(&cpu->sent);
    }
    recycled = big->simulation.shared->tail - BIG_DYNAMIC;
    big->keep = keep_none; /* all go home */
    for (int reads = 0; reads < 4; reads++)
        big_read(big);
    places = count_places(&big->simulation, BIG_DYNAMIC);
    for (port = 0; port < BIG_GRANTED; port++)
        granted += slots_reserve(big->slots, key_of_port(port));

    compare(&differences, &sent, &big->booked, BIG_PORTS);
    report(&differences, "threads");
    is_u64(big->unwanted, 0, "threads: no port is booked that had no packet");
    is_u64(big->too_many, 0, "threads: never are more slots on the ring than there are");
    ok(places.good, "threads: no slot is in two places");
    is_u64(places.dynamic_absent, 0, "threads: no dynamic slot is lost");
    is_u64(big->simulation.shared->tail - big->simulation.shared->head, BIG_DYNAMIC,
           "threads: when all ports are given up, all of them are on the ring");
    is_u64(granted, BIG_GRANTED, "threads: and all others can be granted");
    diag("%llu reads, %llu slots recycled", big->reads, recycled);

    account_free(&sent);
    account_free(&big->booked);
    slots_free(big->slots);
    free(big->sums);
    free(big->port_of_key);
    simulation_free(&big->simulation);
    free(big);
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
