/* SPDX-License-Identifier: MIT */
/*
 * State that outlives its process. First snapshot.c alone; then a process that reads, books
 * and says as the plugin does, while a classifier counts, is killed at any instant and
 * followed by another, again and again: nothing may be lost, doubled or fall.
 *
 * By hand: "test_snapshot kills=N".
 *
 * Links: plugin/ledger.c, plugin/slots.c, plugin/snapshot.c. Needs -pthread.
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
#include "snapshot.h"
#include "tap.h"

/* ---- snapshot.c ---- */

static void test_snapshot(void) {
    size_t size = snapshot_size(21);
    __u64 *memory = calloc(1, size);
    char *state;

    ok(!snapshot_is_there(memory) && !snapshot_latest(memory, size, 0),
       "in fresh memory there is no state");
    state = snapshot_begin(memory, size);
    memset(state, 'a', 21);
    ok(!snapshot_latest(memory, size, 7), "nor before the first commit");
    snapshot_commit(memory, size, 7);
    ok(snapshot_is_there(memory) && snapshot_latest(memory, size, 7) == state, "then there is");
    ok(!snapshot_latest(memory, size, 8), "but not under another fingerprint");
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
       "what was begun and not committed changes nothing");
    ok((uintptr_t)state % sizeof(__u64) == 0 && state + 21 <= (char *)memory + size,
       "the state has the place it needs, aligned");
    free(memory);
}

/* ---- killed at any instant ---- */

#define PORTS   40 /* UDP ports 1000 and up */
#define FIRST   1000
#define DYNAMIC 8
#define GRANTED 6
#define SLOTS   (PB_FIXED_SLOTS + DYNAMIC + GRANTED)
#define CPUS    2
#define SAID    (PB_FIXED_SLOTS + PORTS) /* by slot, then by port */

/* What the processes share, as on bpffs, and what the test knows of them. */
static struct world {
    struct pb_shared shared;
    struct pb_counters counters[CPUS][SLOTS];
    struct pb_counters sent[CPUS][PORTS];
    __u64 passed[CPUS]; /* packets that a CPU has done with: a grace period */
    bool enough;        /* for the CPUs */
    struct pb_counters said[SAID];
    __u32 falls, reads, unknown;
    __u64 memory[]; /* snapshot */
} * world;

static struct simulation simulation;
static const struct ledger_policy policy = {
    .min_bytes = 2000, .max_series = 20, .top = 5, .idle_timeout = 300};
static unsigned kills = 1000;

/* Steps that this process has left, of those between which half of them end by themselves. */
static __u32 steps = UINT32_MAX;

static void step(void) {
    if (steps-- == 0)
        raise(SIGKILL);
}

static void *cpu(void *argument) {
    unsigned number = *(unsigned *)argument;
    struct random random = {number + 1};

    while (!__atomic_load_n(&world->enough, __ATOMIC_ACQUIRE)) {
        /* A few at a time, others later: slots are taken and get idle. */
        __u32 port = (random_below(&random, 6) + world->passed[number] / 20000 * 3) % PORTS;
        __u32 slot = simulation_lookup(&simulation, PB_KEY(PB_UDP, FIRST + port));
        struct pb_counters *sent = &world->sent[number][port];

        if (random_once_in(&random, 64))
            sched_yield();
        simulation_count(&simulation, number, slot, port & 1, 100, 1);
        simulation_add(port & 1 ? &sent->tx_bytes : &sent->rx_bytes, 100);
        simulation_add(port & 1 ? &sent->tx_packets : &sent->rx_packets, 1);
        __atomic_store_n(&world->passed[number], world->passed[number] + 1, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&world->passed[number], UINT64_MAX, __ATOMIC_SEQ_CST);
    return NULL;
}

static void grace_period(void) {
    for (unsigned c = 0; c < CPUS; c++) {
        __u64 before = __atomic_load_n(&world->passed[c], __ATOMIC_SEQ_CST);

        while (before != UINT64_MAX &&
               __atomic_load_n(&world->passed[c], __ATOMIC_SEQ_CST) == before)
            sched_yield();
    }
}

static void hear(void *context, const char *instance, const struct pb_counters *total) {
    __u32 place = SAID, port;
    char name[SERIES_NAME_SIZE];
    struct pb_counters *before;

    (void)context;
    if (sscanf(instance, "udp-%u", &port) == 1 && port >= FIRST && port < FIRST + PORTS)
        place = PB_FIXED_SLOTS + port - FIRST;
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS && place == SAID; slot++) {
        series_name(name, slot, 0);
        if (!strcmp(name, instance))
            place = slot;
    }
    if (place == SAID) {
        world->unknown++;
        return;
    }
    before = &world->said[place];
    world->falls += total->rx_bytes < before->rx_bytes || total->rx_packets < before->rx_packets ||
                    total->tx_bytes < before->tx_bytes || total->tx_packets < before->tx_packets;
    *before = *total;
}

/* One process: goes on where the last one was, until it is killed or has done its reads. */
static void live(__u32 life, unsigned reads) {
    size_t size = snapshot_size(slots_saved_size(DYNAMIC, GRANTED) + ledger_saved_size(&policy, 2));
    const char *saved = snapshot_latest(world->memory, size, 1);
    static struct pb_counters sums[SLOTS];
    struct ledger *ledger;
    struct slots *slots;
    char *state;

    if (ledger_new(&ledger, "test", &policy))
        _exit(2);
    if (saved ? slots_restore(&slots, &world->shared, DYNAMIC, GRANTED, saved) ||
                    ledger_restore(ledger, saved + slots_saved_size(DYNAMIC, GRANTED))
              : slots_new(&slots, &world->shared, DYNAMIC, GRANTED))
        _exit(2);
    slots_fold(slots, FIRST + 30, FIRST + 30 + life % 10); /* never the same as before */
    for (__u32 port = 0; port < 2; port++) {
        slots_reserve(slots, PB_KEY(PB_UDP, FIRST + port));
        ledger_select(ledger, PB_KEY(PB_UDP, FIRST + port));
    }
    for (unsigned read = 1; read <= reads; read++) {
        struct timespec now;
        __u64 time;

        clock_gettime(CLOCK_MONOTONIC, &now);
        time = now.tv_sec * 1000000ull + now.tv_nsec / 1000; /* us will do */
        if (slots_unlink(slots, time)) {
            grace_period();
            slots_quiesce(slots, time);
        }
        step();
        for (__u32 port = 5; port < 8; port++) {
            __u32 key = PB_KEY(PB_UDP, FIRST + port);

            if ((life / 3 + port) % 2 && ledger_listening(ledger, key, time))
                slots_reserve(slots, key);
        }
        step();
        simulation_read(&simulation, sums);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        slots_account(slots, sums, ledger_account, ledger);
        ledger_update(ledger, time);
        step();
        state = snapshot_begin(world->memory, size);
        slots_save(slots, state);
        ledger_save(ledger, state + slots_saved_size(DYNAMIC, GRANTED));
        step();
        snapshot_commit(world->memory, size, 1);
        step();
        slots_recycle(slots);
        slots_pick_victims(slots, ledger_is_active, ledger);
        step();
        ledger_report(ledger, hear, NULL);
        __atomic_add_fetch(&world->reads, 1, __ATOMIC_RELAXED);
    }
    slots_free(slots);
    ledger_free(ledger);
}

static pid_t start(__u32 life, unsigned reads, __u32 end) {
    pid_t child = fork();

    if (child == 0) {
        steps = end;
        live(life, reads);
        _exit(0);
    }
    return child;
}

/* ---- instants that are seldom struck ---- */

static bool never(void *context, __u32 key) {
    (void)context;
    (void)key;
    return false;
}

static void to_nobody(void *context, __u32 slot, __u32 key, __u64 held,
                      const struct pb_counters *delta) {
    (void)context;
    (void)slot;
    (void)key;
    (void)held;
    (void)delta;
}

/* One read of what the simulated classifier has counted, up to what is to be saved. */
static void read_slots(struct slots *slots, __u64 now) {
    static struct pb_counters sums[SLOTS];

    slots_unlink(slots, now);
    slots_quiesce(slots, now);
    simulation_read(&simulation, sums);
    slots_account(slots, sums, to_nobody, NULL);
}

/* A slot was put behind the tail, and then came the end. taken: the classifier has it already. */
static void test_half_released(bool taken) {
    __u32 key = PB_KEY(PB_TCP, 80), other = PB_KEY(PB_TCP, 81), slot, again;
    char *saved = malloc(slots_saved_size(1, 0));
    struct pb_shared *shared;
    struct slots *slots;

    simulation_new(&simulation, 1, PB_FIXED_SLOTS + 1);
    shared = simulation.shared;
    slots_new(&slots, shared, 1, 0);
    slot = simulation_lookup(&simulation, key);
    simulation_count(&simulation, 0, slot, false, 100, 1);
    for (__u64 now = 1; now <= 4; now++) { /* seen, idle, chosen, withdrawn */
        read_slots(slots, now);
        slots_save(slots, saved);
        slots_recycle(slots);
        slots_pick_victims(slots, never, NULL);
    }
    ok(shared->tail == 2 && shared->ring[1] == slot, "an idle slot is on the ring again");
    if (taken)
        simulation_lookup(&simulation, other);
    shared->tail = 1;
    slots_free(slots);
    slots_restore(&slots, shared, 1, 0, saved);
    is_u64(shared->tail, 2, "a slot half on the ring is put there whole%s",
           taken ? ", taken or not" : "");
    again = simulation_lookup(&simulation, other);
    ok(again == slot && shared->head == 2 && !shared->ring[1], "and serves the next port");
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

/* A granted slot was taken back, which nobody wrote down. */
static void test_taken_back(void) {
    __u32 key = PB_KEY(PB_TCP, 80), next = PB_KEY(PB_TCP, 81);
    char *saved = malloc(slots_saved_size(0, 1));
    struct slots *slots;

    simulation_new(&simulation, 1, PB_FIXED_SLOTS + 1);
    slots_new(&slots, simulation.shared, 0, 1);
    slots_reserve(slots, key);
    read_slots(slots, 1);
    slots_save(slots, saved);
    slots_pick_victims(slots, never, NULL);
    slots_free(slots);
    slots_restore(&slots, simulation.shared, 0, 1, saved);
    ok(!slots_reserve(slots, next), "a slot that was taken back just now waits");
    read_slots(slots, 2);
    slots_recycle(slots);
    ok(slots_reserve(slots, next), "and is given again after that");
    slots_free(slots);
    slots_restore(&slots, simulation.shared, 0, 1, saved);
    ok(slots_reserve(slots, next) && !slots_reserve(slots, key),
       "one that was given since belongs to whom the table says");
    slots_free(slots);
    simulation_free(&simulation);
    free(saved);
}

/* The ephemeral range was changed, half way through the table. */
static void test_half_folded(void) {
    char *saved = malloc(slots_saved_size(1, 0));
    struct slots *slots;
    __u32 wrong = 0;

    simulation_new(&simulation, 1, PB_FIXED_SLOTS + 1);
    slots_new(&slots, simulation.shared, 1, 0);
    slots_fold(slots, 100, 199);
    slots_save(slots, saved);
    slots_fold(slots, 150, 299); /* too far: what is not yet done looks as before */
    for (__u32 key = PB_KEY(PB_TCP, 250); key < PB_PORT_KEYS; key++)
        simulation.shared->table[key] =
            key % PB_PORTS >= 100 && key % PB_PORTS <= 199 ? PB_SLOT_EPHEMERAL(key / PB_PORTS) : 0;
    slots_free(slots);
    slots_restore(&slots, simulation.shared, 1, 0, saved);
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += simulation.shared->table[key] != (key % PB_PORTS >= 100 && key % PB_PORTS <= 199
                                                       ? PB_SLOT_EPHEMERAL(key / PB_PORTS)
                                                       : 0);
    is_u64(wrong, 0, "an unfinished change of the ephemeral range is undone");
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

/* Each dynamic slot is in one place, and the ring is what head and tail say. */
static bool all_in_place(void) {
    const struct pb_shared *shared = &world->shared;
    unsigned found[SLOTS] = {0};
    bool good = true;

    for (__u32 i = 0; i < PB_RING; i++) {
        bool inside = ((i - (__u32)shared->head) & (PB_RING - 1)) < shared->tail - shared->head;

        good &= inside == (shared->ring[i] != 0);
        found[shared->ring[i]]++;
    }
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        found[shared->table[key]]++;
    for (__u32 slot = PB_FIXED_SLOTS; slot < PB_FIXED_SLOTS + DYNAMIC; slot++)
        good &= found[slot] == 1;
    return good;
}

static void test_kills(void) {
    size_t memory =
        snapshot_size(slots_saved_size(DYNAMIC, GRANTED) + ledger_saved_size(&policy, 2));
    static unsigned numbers[CPUS] = {0, 1};
    struct pb_counters sent = {0}, said = {0};
    struct random random = {1};
    pthread_t threads[CPUS];
    unsigned failed = 0;
    __u32 wrong = 0;
    int status;

    world = mmap(NULL, sizeof(*world) + memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (world == MAP_FAILED)
        abort();
    /* The simulated classifier, in memory that the processes share. */
    simulation_new(&simulation, CPUS, SLOTS);
    free(simulation.shared);
    simulation.shared = &world->shared;
    for (unsigned c = 0; c < CPUS; c++) {
        free(simulation.counters[c]);
        simulation.counters[c] = world->counters[c];
    }
    for (unsigned c = 0; c < CPUS; c++)
        pthread_create(&threads[c], NULL, cpu, &numbers[c]);

    for (__u32 life = 0; life < kills; life++) {
        bool itself = life % 2;
        pid_t child = start(life, UINT32_MAX, itself ? random_below(&random, 100) : UINT32_MAX);
        struct timespec pause = {.tv_nsec = random_below(&random, 2000000)};

        /* Before the first commit the plugin makes all memory anew. */
        while (life == 0 && !snapshot_is_there(world->memory))
            sched_yield();
        if (!itself) {
            nanosleep(&pause, NULL);
            kill(child, SIGKILL);
        }
        failed += waitpid(child, &status, 0) != child || !WIFSIGNALED(status);
    }
    __atomic_store_n(&world->enough, true, __ATOMIC_RELEASE);
    for (unsigned c = 0; c < CPUS; c++)
        pthread_join(threads[c], NULL);
    failed += waitpid(start(kills, 20, UINT32_MAX), &status, 0) < 0 || status != 0;

    for (__u32 port = 0; port < PORTS; port++) {
        struct pb_counters own = {0};
        const struct pb_counters *its = &world->said[PB_FIXED_SLOTS + port];

        for (unsigned c = 0; c < CPUS; c++)
            add(&own, &world->sent[c][port]);
        add(&sent, &own);
        /* The selected ones have a slot of their own before the first packet they meet there. */
        wrong += its->rx_packets > own.rx_packets || its->tx_packets > own.tx_packets;
    }
    for (__u32 place = 0; place < SAID; place++)
        add(&said, &world->said[place]);
    diag("%llu packets, %u kills, %u reads", sent.rx_packets + sent.tx_packets, kills,
         world->reads);
    is_u64(failed, 0, "each process lives until it is killed, the last one to its end");
    ok(world->reads > kills, "they read between the kills");
    is_u64(said.rx_packets, sent.rx_packets, "every received packet is said once");
    is_u64(said.rx_bytes, sent.rx_bytes, "and every byte");
    is_u64(said.tx_packets, sent.tx_packets, "every sent packet is said once");
    is_u64(said.tx_bytes, sent.tx_bytes, "and every byte");
    is_u64(wrong, 0, "no port has packets of another");
    is_u64(world->falls, 0, "no series ever falls");
    ok(all_in_place(), "no slot is lost: each is on the ring or in the table");
    is_u64(world->unknown, 0, "there is no series of a port that was not sent to");
    munmap(world, sizeof(*world) + memory);
    free(simulation.allocations);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        sscanf(argv[i], "kills=%u", &kills);
    test_snapshot();
    test_half_released(false);
    test_half_released(true);
    test_taken_back();
    test_half_folded();
    test_kills();
    return tap_end();
}
