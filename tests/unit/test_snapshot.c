/* SPDX-License-Identifier: MIT */
/*
 * State that outlives its process. First snapshot.c alone. Then processes that read, account and
 * report as the plugin does, while a simulated classifier counts on several interfaces: each is
 * killed at any point and the next one continues. No packet may be lost or counted twice, and no
 * total may fall. test_slots_stress.c has kills between any two steps, without the ledger.
 *
 * By hand: "test_snapshot kills=N".
 *
 * Links: plugin/bar.c, plugin/ledger.c, plugin/ledger_limits.c, plugin/ledger_restore.c,
 * plugin/series_name.c, plugin/slots.c, plugin/slots_restore.c, plugin/snapshot.c, plugin/tally.c.
 * Needs -pthread and -lm.
 */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "simulation.h"
#include "slots.h"
#include "slots_short.h"
#include "snapshot.h"
#include "tap.h"

/* ---- snapshot.c ---- */

static void test_snapshot(void) {
    size_t size = snapshot_size(21);
    __u64 *memory = calloc(1, size);
    char *state;

    ok(!snapshot_is_there(memory) && !snapshot_latest(memory, size, 0),
       "in new memory there is no state");
    state = snapshot_begin(memory, size);
    memset(state, 'a', 21);
    ok(!snapshot_latest(memory, size, 7), "nor is there one before the first commit");
    snapshot_commit(memory, size, 7);
    ok(snapshot_is_there(memory) && snapshot_latest(memory, size, 7) == state,
       "after a commit there is");
    ok(!snapshot_latest(memory, size, 8), "but not with another fingerprint");
    for (int i = 0; i < 5; i++) {
        const char *before = snapshot_latest(memory, size, 7);

        state = snapshot_begin(memory, size);
        memset(state, 'b' + i, 21);
        if (before[0] != 'a' + i || before[20] != 'a' + i || before == state ||
            snapshot_latest(memory, size, 7) != before)
            break;
        snapshot_commit(memory, size, 7);
    }
    state = snapshot_begin(memory, size);
    memset(state, 'z', 21);
    ok(((const char *)snapshot_latest(memory, size, 7))[20] == 'f',
       "a state that was begun and not committed changes nothing");
    ok((uintptr_t)state % sizeof(__u64) == 0 && state + 21 <= (char *)memory + size,
       "the state has its size in the memory, aligned");
    free(memory);
}

/* ---- killed at any point ---- */

#define INTERFACES 3
#define PORTS      40 /* UDP ports, from FIRST_PORT on */
#define FIRST_PORT 1000
#define DYNAMIC    8
#define RESERVED   6
#define SLOTS      (PB_FIXED_SLOTS + DYNAMIC + RESERVED)
#define CPUS       2
#define SERIES     (PB_FIXED_SLOTS + PORTS) /* fixed slots, then ports */

/* What the processes share, as on bpffs, and what the test records. */
static struct world {
    struct pb_shared shared;
    struct pb_counters counters[INTERFACES][CPUS][SLOTS];
    struct pb_counters sent[INTERFACES][CPUS][PORTS];
    __u64 finished[CPUS]; /* packets that a CPU has counted; UINT64_MAX: it has stopped */
    bool stop;            /* tells the CPUs to stop */
    struct pb_counters reported[INTERFACES][SERIES];
    __u32 falls, reads, unknown, refused;
    __u64 memory[]; /* snapshot.h's: the slots', then each interface's */
} * world;

static struct simulation simulation;
static const struct ledger_policy policy = {
    .min_bytes = 2000, .max_ports = 20, .top = 5, .idle_timeout = 300, .selected = 2};
static unsigned kills = 1000;

/* The number of steps after which this process kills itself. */
static __u32 steps_to_kill = UINT32_MAX;

static void step(void) {
    if (steps_to_kill-- == 0)
        raise(SIGKILL);
}

static void *run_cpu(void *argument) {
    unsigned number = *(unsigned *)argument;
    struct random random = {number + 1};

    while (!__atomic_load_n(&world->stop, __ATOMIC_ACQUIRE)) {
        /* Few ports at a time, others later: slots are allocated and become idle. */
        __u32 port = (random_below(&random, 6) + world->finished[number] / 20000 * 3) % PORTS;
        __u32 slot = simulation_lookup(&simulation, PB_KEY(PB_UDP, FIRST_PORT + port));
        unsigned interface = random_below(&random, INTERFACES);
        struct pb_counters *sent = &world->sent[interface][number][port];

        if (random_once_in(&random, 64))
            sched_yield();
        simulation_count(&simulation, interface, number, slot, port & 1, 100, 1);
        simulation_add(port & 1 ? &sent->tx_bytes : &sent->rx_bytes, 100);
        simulation_add(port & 1 ? &sent->tx_packets : &sent->rx_packets, 1);
        __atomic_store_n(&world->finished[number], world->finished[number] + 1, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&world->finished[number], UINT64_MAX, __ATOMIC_SEQ_CST);
    return NULL;
}

static void grace_period(void) {
    for (unsigned c = 0; c < CPUS; c++) {
        __u64 before = __atomic_load_n(&world->finished[c], __ATOMIC_SEQ_CST);

        while (before != UINT64_MAX &&
               __atomic_load_n(&world->finished[c], __ATOMIC_SEQ_CST) == before)
            sched_yield();
    }
}

static void on_report(void *context, const char *instance, const struct pb_counters *total) {
    __u32 index = SERIES, port;
    char name[SERIES_NAME_SIZE];
    struct pb_counters *before;

    if (sscanf(instance, "udp-%u", &port) == 1 && port >= FIRST_PORT && port < FIRST_PORT + PORTS)
        index = PB_FIXED_SLOTS + port - FIRST_PORT;
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS && index == SERIES; slot++) {
        series_name(name, slot, 0);
        if (!strcmp(name, instance))
            index = slot;
    }
    if (index == SERIES) {
        world->unknown++;
        return;
    }
    before = &world->reported[*(const unsigned *)context][index];
    world->falls += total->rx_bytes < before->rx_bytes || total->rx_packets < before->rx_packets ||
                    total->tx_bytes < before->tx_bytes || total->tx_packets < before->tx_packets;
    *before = *total;
}

static size_t slots_memory(void) {
    return snapshot_size(slots_saved_size(layout_of(DYNAMIC, RESERVED)));
}

/* The tally, then the ledger. */
static size_t interface_memory(void) {
    return snapshot_size(tally_saved_size(layout_of(DYNAMIC, RESERVED)) +
                         ledger_saved_size(&policy));
}

static void *memory_of(unsigned interface) {
    return (char *)world->memory + slots_memory() + interface * interface_memory();
}

struct interface {
    unsigned number;
    __u32 generation; /* of the process */
    struct tally *tally;
    struct ledger *ledger;
};

/* What one process has. */
struct process {
    struct slots *slots;
    struct interface interface[INTERFACES];
    __u64 time; /* in microseconds */
};

/* In some of the processes; each port on one of the interfaces only. */
static bool is_listening(const void *context, __u32 key) {
    const struct interface *interface = context;
    __u32 port = key - PB_KEY(PB_UDP, FIRST_PORT);

    return port >= 5 && port < 8 && port % INTERFACES == interface->number &&
           (interface->generation / 3 + port) % 2;
}

static void save_interface(const struct interface *interface) {
    void *memory = memory_of(interface->number);
    char *state = snapshot_begin(memory, interface_memory());

    tally_save(interface->tally, state);
    ledger_save(interface->ledger, state + tally_saved_size(layout_of(DYNAMIC, RESERVED)));
    step();
    snapshot_commit(memory, interface_memory(), 1);
    step();
}

static void save_slots(const struct process *process) {
    slots_save(process->slots, snapshot_begin(world->memory, slots_memory()));
    step();
    snapshot_commit(world->memory, slots_memory(), 1);
    step();
}

static bool is_valid(const void *slots, const char *state) {
    const struct slots_layout layout = layout_of(DYNAMIC, RESERVED);

    return (!slots || slots_saved_is_valid(&world->shared, layout, slots)) &&
           (!state || (tally_saved_is_valid(layout, state) &&
                       ledger_saved_is_valid(&policy, state + tally_saved_size(layout))));
}

/* Continues with what is saved; the first process begins. */
static void begin_process(struct process *process, __u32 generation) {
    const void *saved = snapshot_latest(world->memory, slots_memory(), 1);

    if (saved ? slots_restore(&process->slots, &world->shared, layout_of(DYNAMIC, RESERVED), saved)
              : slots_new(&process->slots, &world->shared, layout_of(DYNAMIC, RESERVED)))
        _exit(2);
    for (unsigned i = 0; i < INTERFACES; i++) {
        struct interface *interface = &process->interface[i];
        const char *state = snapshot_latest(memory_of(i), interface_memory(), 1);

        if (!is_valid(saved, state))
            world->refused++;
        interface->number = i;
        interface->generation = generation;
        if (ledger_new(&interface->ledger, "test", &policy))
            _exit(2);
        if (state ? tally_restore(&interface->tally, process->slots, state) ||
                        ledger_restore(interface->ledger,
                                       state + tally_saved_size(layout_of(DYNAMIC, RESERVED)))
                  : tally_new(&interface->tally, process->slots))
            _exit(2);
        ledger_set_listeners(interface->ledger, is_listening, interface);
        if (!state)
            save_interface(interface);
    }
    if (!saved)
        save_slots(process);
}

static void keep(void *context, __u32 key, __u64 busy) {
    slots_keep(((struct process *)context)->slots, key, busy);
}

static void end(void *context, __u32 key) {
    struct process *process = context;

    for (unsigned i = 0; i < INTERFACES; i++)
        ledger_end(process->interface[i].ledger, key);
}

static void read_interface(struct process *process, struct interface *interface, const __u32 *list,
                           __u32 listed) {
    static struct pb_counters sums[SLOTS];

    simulation_read(&simulation, interface->number, list, listed, sums);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    step();
    slots_account(process->slots, interface->tally, sums, ledger_account, interface->ledger);
    ledger_update(interface->ledger, process->time);
    step();
    save_interface(interface);
    ledger_for_each_port(interface->ledger, keep, process);
}

static void for_each_listening(const struct process *process,
                               void (*each)(struct slots *slots, __u32 key)) {
    for (__u32 port = 0; port < PORTS; port++)
        for (unsigned i = 0; i < INTERFACES; i++)
            if (is_listening(&process->interface[i], PB_KEY(PB_UDP, FIRST_PORT + port)))
                each(process->slots, PB_KEY(PB_UDP, FIRST_PORT + port));
}

static void reserve(struct slots *slots, __u32 key) {
    slots_reserve(slots, key);
}

static void keep_reserved(struct slots *slots, __u32 key) {
    slots_keep(slots, key, SLOTS_BUSY_MAX);
}

static void run_read(struct process *process) {
    struct timespec now;
    const __u32 *list;
    __u32 listed;

    clock_gettime(CLOCK_MONOTONIC, &now);
    process->time = now.tv_sec * 1000000ull + now.tv_nsec / 1000;
    if (slots_unlink(process->slots, process->time)) {
        grace_period();
        slots_quiesce(process->slots, process->time);
    }
    step();
    for_each_listening(process, reserve);
    step();
    listed = slots_list(process->slots, false, &list);
    for (unsigned i = 0; i < INTERFACES; i++)
        read_interface(process, &process->interface[i], list, listed);
    for_each_listening(process, keep_reserved);
    save_slots(process);
    slots_recycle(process->slots);
    step();
    slots_end_surplus(process->slots, end, process);
    slots_pick_victims(process->slots);
    step();
    for (unsigned i = 0; i < INTERFACES; i++) {
        ledger_report(process->interface[i].ledger, on_report, &process->interface[i].number);
        step();
    }
    __atomic_add_fetch(&world->reads, 1, __ATOMIC_RELAXED);
}

/* One process: continues where the previous one was killed, and reads until it is killed. */
static void run_process(__u32 generation, unsigned reads) {
    struct process process;

    begin_process(&process, generation);
    /* Never the range of the previous process. */
    fold_range(process.slots, FIRST_PORT + 30, FIRST_PORT + 30 + generation % 10);
    for (__u32 port = 0; port < 2; port++) {
        slots_reserve(process.slots, PB_KEY(PB_UDP, FIRST_PORT + port));
        for (unsigned i = 0; i < INTERFACES; i++)
            ledger_select(process.interface[i].ledger, PB_KEY(PB_UDP, FIRST_PORT + port));
    }
    for (unsigned read = 1; read <= reads; read++)
        run_read(&process);
    for (unsigned i = 0; i < INTERFACES; i++) {
        tally_free(process.interface[i].tally);
        ledger_free(process.interface[i].ledger);
    }
    slots_free(process.slots);
}

static pid_t start_process(__u32 generation, unsigned reads, __u32 steps_left) {
    pid_t child = fork();

    if (child == 0) {
        steps_to_kill = steps_left;
        run_process(generation, reads);
        _exit(0);
    }
    return child;
}

/* ---- points that a random kill seldom hits ---- */

static void ignore(void *context, __u32 slot, __u32 key, __u64 slot_bytes,
                   const struct pb_counters *delta) {
    (void)context;
    (void)slot;
    (void)key;
    (void)slot_bytes;
    (void)delta;
}

/* One read of what the simulated classifier has counted, up to slots_save. */
static void read_slots(struct slots *slots, struct tally *tally, __u64 now) {
    static struct pb_counters sums[SLOTS];
    const __u32 *list;
    __u32 listed;

    slots_unlink(slots, now);
    slots_quiesce(slots, now);
    listed = slots_list(slots, false, &list);
    simulation_read(&simulation, 0, list, listed, sums);
    slots_account(slots, tally, sums, ignore, NULL);
}

/* Killed between filling a cell and advancing tail. popped: the classifier has the slot already. */
static void test_interrupted_recycle(bool popped) {
    __u32 key = PB_KEY(PB_TCP, 80), next = PB_KEY(PB_TCP, 81), slot, again;
    char *saved = malloc(slots_saved_size(layout_of(1, 0)));
    struct pb_shared *shared;
    struct slots *slots;
    struct tally *tally;

    simulation_new(&simulation, 1, 1, PB_FIXED_SLOTS + 1);
    shared = simulation.shared;
    slots_new(&slots, shared, layout_of(1, 0));
    tally_new(&tally, slots);
    slot = simulation_lookup(&simulation, key);
    simulation_count(&simulation, 0, 0, slot, false, 100, 1);
    for (__u64 now = 1; now <= 4; now++) { /* counted, idle, victim, unlinked */
        read_slots(slots, tally, now);
        slots_save(slots, saved);
        slots_recycle(slots);
        slots_pick_victims(slots);
    }
    ok(shared->tail == 2 && shared->ring[1] == slot, "an idle slot is on the ring again");
    if (popped)
        simulation_lookup(&simulation, next);
    shared->tail = 1;
    slots_free(slots);
    slots_restore(&slots, shared, layout_of(1, 0), saved);
    is_u64(shared->tail, 2, "an interrupted push to the ring is completed%s",
           popped ? ", even if the slot is allocated already" : "");
    again = simulation_lookup(&simulation, next);
    ok(again == slot && shared->head == 2 && !shared->ring[1], "the next port has the slot");
    tally_free(tally);
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

/*
 * Killed between two reads, with as many slots on the ring as there can be, and while the
 * classifier pops: nothing that it does makes the cell at tail look like one that is pushed to.
 */
static void test_longest_ring(void) {
    struct slots_layout layout = layout_of(PB_DYNAMIC_MAX, 0);
    char *saved = malloc(slots_saved_size(layout));
    const __u64 *tail;
    struct slots *slots;
    __u32 port = 0;

    simulation_new(&simulation, 1, 1, slots_total(layout));
    tail = &simulation.shared->tail;
    slots_new(&slots, simulation.shared, layout);
    slots_save(slots, saved);
    for (__u32 popped = 0; popped <= PB_DYNAMIC_MAX; popped += PB_DYNAMIC_MAX / 2) {
        while (port < popped)
            simulation_lookup(&simulation, PB_KEY(PB_TCP, port++));
        ok(simulation.shared->ring[*tail % PB_RING] == 0, "%u of %u popped: the cell at tail is 0",
           popped, PB_DYNAMIC_MAX);
        slots_free(slots);
        slots_restore(&slots, simulation.shared, layout, saved);
        is_u64(*tail, PB_DYNAMIC_MAX, "and the longest ring is no interrupted push");
    }
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

/* A reserved slot was unlinked, and the saved state does not have that. */
static void test_recycled_reserved_slot(void) {
    __u32 key = PB_KEY(PB_TCP, 80), next = PB_KEY(PB_TCP, 81);
    char *saved = malloc(slots_saved_size(layout_of(0, 1)));
    struct slots *slots;
    struct tally *tally;

    simulation_new(&simulation, 1, 1, PB_FIXED_SLOTS + 1);
    slots_new(&slots, simulation.shared, layout_of(0, 1));
    tally_new(&tally, slots);
    slots_reserve(slots, key);
    read_slots(slots, tally, 1);
    slots_save(slots, saved);
    slots_pick_victims(slots);
    slots_free(slots);
    slots_restore(&slots, simulation.shared, layout_of(0, 1), saved);
    ok(!slots_reserve(slots, next),
       "a reserved slot that was unlinked after the save is not available yet");
    read_slots(slots, tally, 2);
    slots_recycle(slots);
    ok(slots_reserve(slots, next), "it is after a grace period and a read");
    slots_free(slots);
    slots_restore(&slots, simulation.shared, layout_of(0, 1), saved);
    ok(slots_reserve(slots, next) && !slots_reserve(slots, key),
       "one that was reserved after the save belongs to the port that the table says");
    tally_free(tally);
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

/* Killed in the middle of slots_fold. */
static void test_interrupted_fold(void) {
    char *saved = malloc(slots_saved_size(layout_of(1, 0)));
    struct slots *slots;
    __u32 wrong = 0;

    simulation_new(&simulation, 1, 1, PB_FIXED_SLOTS + 1);
    slots_new(&slots, simulation.shared, layout_of(1, 0));
    fold_range(slots, 100, 199);
    slots_save(slots, saved);
    fold_range(slots, 150, 299);
    /* Undone for the keys from 250 on, as if slots_fold had not reached them. */
    for (__u32 key = PB_KEY(PB_TCP, 250); key < PB_PORT_KEYS; key++)
        simulation.shared->table[key] =
            key % PB_PORTS >= 100 && key % PB_PORTS <= 199 ? PB_SLOT_EPHEMERAL(key / PB_PORTS) : 0;
    slots_free(slots);
    slots_restore(&slots, simulation.shared, layout_of(1, 0), saved);
    fold_range(slots, 120, 319);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += simulation.shared->table[key] != (key % PB_PORTS >= 120 && key % PB_PORTS <= 319
                                                       ? PB_SLOT_EPHEMERAL(key / PB_PORTS)
                                                       : 0);
    is_u64(wrong, 0,
           "an interrupted change of the ephemeral range makes no difference after a restart");
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

static void add(struct pb_counters *to, const struct pb_counters *more) {
    to->rx_bytes += more->rx_bytes;
    to->rx_packets += more->rx_packets;
    to->tx_bytes += more->tx_bytes;
    to->tx_packets += more->tx_packets;
}

/* Each dynamic slot is in one place, and the ring's cells agree with head and tail. */
static bool all_in_place(void) {
    const struct pb_shared *shared = &world->shared;
    unsigned found[SLOTS] = {0};
    bool valid = true;

    for (__u32 i = 0; i < PB_RING; i++) {
        bool inside = ((i - (__u32)shared->head) & (PB_RING - 1)) < shared->tail - shared->head;

        valid &= inside == (shared->ring[i] != 0);
        found[shared->ring[i]]++;
    }
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        found[shared->table[key]]++;
    for (__u32 slot = PB_FIXED_SLOTS; slot < PB_FIXED_SLOTS + DYNAMIC; slot++)
        valid &= found[slot] == 1;
    return valid;
}

/* ---- damage ---- */

/* One daemon's state: a slot of each kind in use, and series of each kind. */
static struct damaged {
    struct slots_layout layout;
    struct ledger_policy policy;
    struct pb_shared *shared;
    char *slots, *tally, *ledger;
    __u32 key, slot; /* a port that has a dynamic slot */
} damaged;

static void make_damaged(void) {
    static const char *const group[] = {"group-rtp"};
    struct slots_layout layout = {.dynamic = 4, .reserved = 2, .groups = 1};
    static struct pb_counters sums[PB_FIXED_SLOTS + 7];
    const __u32 *list;
    __u32 listed;
    struct ledger *ledger;
    struct slots *slots;
    struct tally *tally;

    damaged = (struct damaged){.layout = layout, .key = PB_KEY(PB_TCP, 80)};
    damaged.policy = (struct ledger_policy){.max_ports = 4, .groups = 1, .group = group};
    damaged.slots = calloc(1, slots_saved_size(layout));
    damaged.tally = calloc(1, tally_saved_size(layout));
    damaged.ledger = calloc(1, ledger_saved_size(&damaged.policy));
    simulation_new(&simulation, 1, 1, slots_total(layout));
    damaged.shared = simulation.shared;
    slots_new(&slots, damaged.shared, layout);
    tally_new(&tally, slots);
    ledger_new(&ledger, "test", &damaged.policy);
    slots_group(slots, PB_KEY(PB_TCP, 443), 0);
    slots_reserve(slots, PB_KEY(PB_UDP, 53));
    damaged.slot = simulation_lookup(&simulation, damaged.key);
    simulation_count(&simulation, 0, 0, damaged.slot, false, 100, 1);
    simulation_count(&simulation, 0, 0, PB_SLOT_NONIP, false, 100, 1);
    listed = slots_list(slots, false, &list);
    simulation_read(&simulation, 0, list, listed, sums);
    slots_account(slots, tally, sums, ledger_account, ledger);
    ledger_update(ledger, 1);
    slots_save(slots, damaged.slots);
    tally_save(tally, damaged.tally);
    ledger_save(ledger, damaged.ledger);
    tally_free(tally);
    ledger_free(ledger);
    slots_free(slots);
}

static bool is_damaged(void) {
    return !slots_saved_is_valid(damaged.shared, damaged.layout, damaged.slots) ||
           !tally_saved_is_valid(damaged.layout, damaged.tally) ||
           !ledger_saved_is_valid(&damaged.policy, damaged.ledger);
}

/* Writes a word of 1, 4 or 8 bytes, and back. */
static bool is_refused(void *at, __u64 value, size_t size) {
    unsigned char before[sizeof(value)], low = (unsigned char)value;
    __u32 half = (__u32)value;
    bool refused;

    memcpy(before, at, size);
    memcpy(at, size == 8 ? (void *)&value : size == 4 ? (void *)&half : &low, size);
    refused = is_damaged();
    memcpy(at, before, size);
    return refused;
}

/* How many of the bytes are refused if two of their bits are flipped. */
static unsigned count_refused(char *saved, size_t size) {
    unsigned refused = 0;

    for (size_t i = 0; i < size; i++)
        refused += is_refused(&saved[i], (unsigned char)saved[i] ^ 0x84u, 1);
    return refused;
}

/* What would be an index out of range, a slot with two owners, or no value of its type. */
static void test_damage(void) {
    struct pb_shared *shared;
    __u32 end, reserved;

    make_damaged();
    shared = damaged.shared;
    end = slots_total(damaged.layout);
    reserved = shared->table[PB_KEY(PB_UDP, 53)];
    ok(!is_damaged() && damaged.slot && reserved, "what a daemon leaves is valid");
    ok(is_refused(damaged.slots, PB_FIXED_SLOTS, 8) && is_refused(damaged.slots, end, 8) &&
           is_refused(damaged.slots, 1ull << 32 | (PB_FIXED_SLOTS + 4), 8),
       "the number of slots in use is within its bounds, or all is refused");
    ok(is_refused(&shared->table[7], end, 4), "so is an entry of the table");
    ok(is_refused(&shared->table[7], damaged.slot, 4) &&
           is_refused(&shared->table[7], reserved, 4) &&
           is_refused(&shared->key_of[damaged.slot], damaged.key ^ 1, 4),
       "a slot is in the table once, a dynamic one under the key that got it");
    ok(is_refused(&shared->key_of[damaged.slot + 1], PB_PORT_KEYS, 4),
       "the key that got a slot is a port's");
    ok(is_refused(&shared->ring[2], reserved, 4) && is_refused(&shared->ring[9], 1, 4) &&
           is_refused(&shared->ring[9], shared->ring[2], 4) &&
           is_refused(&shared->ring[9], damaged.slot, 4),
       "on the ring are dynamic slots, each once, and none that is in the table");
    ok(is_refused(&shared->head, shared->tail + 2, 8) &&
           is_refused(&shared->tail, shared->head + PB_RING + 1, 8) &&
           !is_refused(&shared->tail, shared->head - 1, 8),
       "the ring has a possible length");
    ok(is_refused(damaged.tally, end + 1, 8) && is_refused(damaged.tally + 8 + 44, end, 4) &&
           is_refused(damaged.tally + 8 + 44, 0, 4),
       "a tally has no more slots than there are, and no others");
    is_u64(count_refused(damaged.slots + 8, slots_saved_size(damaged.layout) - 8), 51,
           "of five slots the key, the state and the flags");
    is_u64(count_refused(damaged.ledger, ledger_saved_size(&damaged.policy)), 44,
           "of a ledger the numbers of series, the bars, keys and kinds");
    ok(!is_damaged(), "and it is valid again");
    simulation_free(&simulation);
    free(damaged.slots);
    free(damaged.tally);
    free(damaged.ledger);
}

static void test_kills(void) {
    size_t memory = slots_memory() + INTERFACES * interface_memory();
    static unsigned numbers[CPUS] = {0, 1};
    struct pb_counters sent = {0}, reported = {0};
    struct random random = {1};
    pthread_t threads[CPUS];
    unsigned failed = 0;
    __u32 wrong = 0, different = 0;
    int status;

    world = mmap(NULL, sizeof(*world) + memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (world == MAP_FAILED)
        abort();
    /* The simulated classifier, in memory that the processes share. */
    simulation_new(&simulation, INTERFACES, CPUS, SLOTS);
    free(simulation.shared);
    simulation.shared = &world->shared;
    for (unsigned i = 0; i < INTERFACES; i++) {
        for (unsigned c = 0; c < CPUS; c++) {
            free(simulation.counters[i][c]);
            simulation.counters[i][c] = world->counters[i][c];
        }
    }
    for (unsigned c = 0; c < CPUS; c++)
        pthread_create(&threads[c], NULL, run_cpu, &numbers[c]);

    for (__u32 generation = 0; generation < kills; generation++) {
        bool kills_itself = generation % 2;
        pid_t child = start_process(generation, UINT32_MAX,
                                    kills_itself ? random_below(&random, 200) : UINT32_MAX);
        struct timespec pause = {.tv_nsec = random_below(&random, 2000000)};

        /* Without a committed state the plugin would discard the memory and start again. */
        while (generation == 0 && !snapshot_is_there(world->memory))
            sched_yield();
        if (!kills_itself) {
            nanosleep(&pause, NULL);
            kill(child, SIGKILL);
        }
        failed += waitpid(child, &status, 0) != child || !WIFSIGNALED(status);
    }
    __atomic_store_n(&world->stop, true, __ATOMIC_RELEASE);
    for (unsigned c = 0; c < CPUS; c++)
        pthread_join(threads[c], NULL);
    failed += waitpid(start_process(kills, 20, UINT32_MAX), &status, 0) < 0 || status != 0;

    for (unsigned i = 0; i < INTERFACES; i++) {
        struct pb_counters sent_there = {0}, reported_there = {0};

        for (__u32 port = 0; port < PORTS; port++) {
            struct pb_counters own = {0};
            const struct pb_counters *its = &world->reported[i][PB_FIXED_SLOTS + port];

            for (unsigned c = 0; c < CPUS; c++)
                add(&own, &world->sent[i][c][port]);
            add(&sent_there, &own);
            /* Fewer are possible: the others were counted in "other" or "ephemeral". */
            wrong += its->rx_packets > own.rx_packets || its->tx_packets > own.tx_packets;
        }
        for (__u32 index = 0; index < SERIES; index++)
            add(&reported_there, &world->reported[i][index]);
        different += memcmp(&sent_there, &reported_there, sizeof(sent_there)) != 0;
        add(&sent, &sent_there);
        add(&reported, &reported_there);
    }
    diag("%llu packets, %u kills, %u reads", sent.rx_packets + sent.tx_packets, kills,
         world->reads);
    is_u64(failed, 0, "each process runs until it is killed, the last one to its end");
    ok(world->reads > kills, "they read between the kills");
    is_u64(world->refused, 0, "whatever the point, what is left is valid");
    is_u64(reported.rx_packets, sent.rx_packets, "every received packet is reported once");
    is_u64(reported.rx_bytes, sent.rx_bytes, "every received byte is reported once");
    is_u64(reported.tx_packets, sent.tx_packets, "every sent packet is reported once");
    is_u64(reported.tx_bytes, sent.tx_bytes, "every sent byte is reported once");
    is_u64(different, 0, "on the interface that counted it");
    is_u64(wrong, 0, "no port is credited with packets of another");
    is_u64(world->falls, 0, "no total ever falls");
    ok(all_in_place(), "no slot is lost: each is on the ring or in the table");
    is_u64(world->unknown, 0, "no series has the name of a port without packets");
    munmap(world, sizeof(*world) + memory);
    free(simulation.allocations);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        sscanf(argv[i], "kills=%u", &kills);
    test_snapshot();
    test_interrupted_recycle(false);
    test_interrupted_recycle(true);
    test_longest_ring();
    test_recycled_reserved_slot();
    test_interrupted_fold();
    test_damage();
    test_kills();
    return tap_end();
}
