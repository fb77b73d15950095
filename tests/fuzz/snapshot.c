/* SPDX-License-Identifier: MIT */
/*
 * What a daemon before has left: the saved slots, a tally, a ledger, and the shared memory, with
 * any bytes of them changed. It is found under the right fingerprint. What is refused must leave
 * nothing; with what is accepted, reads and packets go on without an index out of range.
 *
 * The input is a list of changes, of 6 bytes each: where (1), offset (3), operation (1), value (1).
 */
#include "fuzz.h"

#include "ledger.h"
#include "simulation.h"
#include "slots.h"
#include "slots_short.h"
#include "snapshot.h"

#define FINGERPRINT 7
#define DYNAMIC     8
#define RESERVED    6
#define GROUPS      2
#define READS       3

static const char *const group[GROUPS] = {"group-a", "group-b"};
static const struct slots_layout layout = {
    .dynamic = DYNAMIC, .reserved = RESERVED, .groups = GROUPS};
static const struct ledger_policy policy = {.min_bytes = 100,
                                            .max_ports = 8,
                                            .top = 3,
                                            .selected = 1 + GROUPS,
                                            .groups = GROUPS,
                                            .group = group,
                                            .idle_timeout = 3};

/* What one daemon has. */
struct daemon {
    struct slots *slots;
    struct tally *tally;
    struct ledger *ledger;
    __u64 now;
};

static struct simulation simulation;
static struct pb_shared left;            /* the shared memory that the daemon before has left */
static size_t slots_size, instance_size; /* of the snapshots */
static void *left_slots, *left_instance, *saved_slots, *saved_instance;

/* ---- a daemon ---- */

static void save(const struct daemon *daemon) {
    char *state = snapshot_begin(saved_instance, instance_size);

    tally_save(daemon->tally, state);
    ledger_save(daemon->ledger, state + tally_saved_size(layout));
    snapshot_commit(saved_instance, instance_size, FINGERPRINT);
    slots_save(daemon->slots, snapshot_begin(saved_slots, slots_size));
    snapshot_commit(saved_slots, slots_size, FINGERPRINT);
}

static void keep(void *context, __u32 key, __u64 busy) {
    must(key < PB_PORT_KEYS);
    slots_keep(((struct daemon *)context)->slots, key, busy);
}

static void end(void *context, __u32 key) {
    ledger_end(((struct daemon *)context)->ledger, key);
}

static void report(void *context, const char *instance, const struct pb_counters *total) {
    (void)context;
    (void)total;
    must(strlen(instance) > 0 && strlen(instance) < 24);
}

static bool is_listening(const void *context, __u32 key) {
    (void)context;
    return key % PB_PORTS >= 500 && key % PB_PORTS < 503;
}

/* Some packets: of listening ports, of a group's, of many others, and of no port. */
static void send_packets(__u32 first) {
    static const __u32 others[] = {PB_KEY_IP(1), PB_KEY_NONIP, PB_KEY_DECRYPTED};

    for (__u32 n = 0; n < 30; n++) {
        __u32 key = n < 3 ? others[n] : PB_KEY(n % PB_TRANSPORTS, first + n / 2);
        __u32 slot = simulation_lookup(&simulation, key);

        must(slot < simulation.slots);
        simulation_count(&simulation, 0, 0, slot, n & 1, 60 + 10 * n, 1);
    }
}

static void read_counters(struct daemon *daemon) {
    static struct pb_counters sums[PB_FIXED_SLOTS + DYNAMIC + RESERVED + GROUPS];
    const __u32 *list;
    __u32 listed;

    if (slots_unlink(daemon->slots, ++daemon->now))
        slots_quiesce(daemon->slots, daemon->now);
    for (__u32 port = 500; port < 503; port++)
        slots_listen(daemon->slots, PB_KEY(PB_TCP, port));
    listed = slots_list(daemon->slots, daemon->now % 2, &list);
    for (__u32 i = 0; i < listed; i++)
        must(list[i] < simulation.slots);
    simulation_read(&simulation, 0, list, listed, sums);
    slots_account(daemon->slots, daemon->tally, sums, ledger_account, daemon->ledger);
    ledger_update(daemon->ledger, daemon->now);
    ledger_for_each_port(daemon->ledger, keep, daemon);
    save(daemon);
    slots_recycle(daemon->slots);
    slots_end_surplus(daemon->slots, end, daemon);
    slots_pick_victims(daemon->slots);
    ledger_report(daemon->ledger, report, NULL);
}

static void begin(struct daemon *daemon) {
    slots_group(daemon->slots, PB_KEY(PB_TCP, 700), 0);
    slots_group(daemon->slots, PB_KEY(PB_UDP, 701), 1);
    slots_reserve(daemon->slots, PB_KEY(PB_UDP, 502));
    ledger_set_listeners(daemon->ledger, is_listening, NULL);
    ledger_select(daemon->ledger, PB_KEY(PB_UDP, 502));
    for (__u32 n = 0; n < GROUPS; n++)
        ledger_select(daemon->ledger, GROUP_KEY(n));
}

static void run(struct daemon *daemon, __u32 first) {
    begin(daemon);
    for (__u32 n = 0; n < READS; n++) {
        send_packets(first + 7 * n);
        read_counters(daemon);
    }
    slots_unlink(daemon->slots, daemon->now); /* killed before it is quiescent */
}

static void end_daemon(struct daemon *daemon) {
    tally_free(daemon->tally);
    ledger_free(daemon->ledger);
    slots_free(daemon->slots);
}

/* ---- the input ---- */

static void *new_memory(size_t size) {
    void *memory = calloc(1, size); /* of this size exactly, for the address sanitizer */

    must(memory);
    return memory;
}

static void leave(void) {
    struct daemon daemon = {0};
    struct port_set folded = {0};

    simulation_new(&simulation, 1, 1, slots_total(layout));
    slots_size = snapshot_size(slots_saved_size(layout));
    instance_size = snapshot_size(tally_saved_size(layout) + ledger_saved_size(&policy));
    saved_slots = new_memory(slots_size);
    saved_instance = new_memory(instance_size);
    left_slots = new_memory(slots_size);
    left_instance = new_memory(instance_size);
    must(slots_new(&daemon.slots, simulation.shared, layout) == 0);
    must(tally_new(&daemon.tally, daemon.slots) == 0);
    must(ledger_new(&daemon.ledger, "left", &policy) == 0);
    port_set_add_range(&folded, 510, 512);
    slots_fold(daemon.slots, &folded);
    run(&daemon, 490);
    end_daemon(&daemon);
    left = *simulation.shared;
    memcpy(left_slots, saved_slots, slots_size);
    memcpy(left_instance, saved_instance, instance_size);
}

/* A part of the memory, by number. Those that matter more are there more than once. */
static char *part(unsigned number, size_t *size) {
    struct pb_shared *shared = simulation.shared;
    char *state;

    switch (number % 12) {
    case 0:
        *size = slots_size;
        return saved_slots;
    case 1:
    case 2: /* the slots that are not fixed */
        state = (char *)saved_slots + slots_size;
        *size = (DYNAMIC + RESERVED + GROUPS) * ((slots_size - 24) / 2 / slots_total(layout));
        return state - *size - (number % 12 == 1 ? slots_size / 2 : 0);
    case 3:
        *size = instance_size;
        return saved_instance;
    case 4: /* the latest tally, and the begin of the ledger */
    case 5:
        state = (char *)snapshot_latest(saved_instance, instance_size, FINGERPRINT);
        *size = 512;
        return state ? state + (number % 12 == 4 ? 0 : tally_saved_size(layout)) : NULL;
    case 6: /* the used ports, of each transport */
        *size = 256 * sizeof(__u32);
        return (char *)&shared->table[PB_KEY(number / 12 % PB_TRANSPORTS, 480)];
    case 7:
        *size = DYNAMIC * sizeof(__u32);
        return (char *)&shared->key_of[PB_FIXED_SLOTS];
    case 8:
        *size = 2 * DYNAMIC * sizeof(__u32);
        return (char *)shared->ring;
    case 9:
        *size = sizeof(shared->head);
        return (char *)&shared->head;
    case 10:
        *size = sizeof(shared->tail);
        return (char *)&shared->tail;
    default:
        *size = sizeof(*shared);
        return (char *)shared;
    }
}

static void change(struct input *input) {
    unsigned where = take(input), offset = take(input), operation, value;
    size_t size = 0;
    char *memory = part(where, &size);

    offset |= take(input) << 8;
    offset |= take(input) << 16;
    operation = take(input);
    value = take(input);
    if (!memory)
        return;
    offset %= size;
    switch (operation % 4) {
    case 0:
        memory[offset] = (char)value;
        break;
    case 1:
        memory[offset] ^= (char)(1u << value % 8);
        break;
    case 2:
        memory[offset] += (char)value;
        break;
    default: /* from another place: a second owner, say */
        memory[offset] = memory[(offset + value) % size];
        break;
    }
}

static void resume(void) {
    const void *slots = snapshot_latest(saved_slots, slots_size, FINGERPRINT);
    const char *instance = snapshot_latest(saved_instance, instance_size, FINGERPRINT);
    struct daemon daemon = {.now = 1000};

    if (!slots || !slots_saved_is_valid(simulation.shared, layout, slots))
        return;
    must(slots_restore(&daemon.slots, simulation.shared, layout, slots) == 0);
    must(ledger_new(&daemon.ledger, "resumed", &policy) == 0);
    if (instance && tally_saved_is_valid(layout, instance) &&
        ledger_saved_is_valid(&policy, instance + tally_saved_size(layout))) {
        must(tally_restore(&daemon.tally, daemon.slots, instance) == 0);
        must(ledger_restore(daemon.ledger, instance + tally_saved_size(layout)) == 0);
    } else {
        must(tally_new(&daemon.tally, daemon.slots) == 0);
    }
    run(&daemon, 495);
    end_daemon(&daemon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};

    if (!saved_slots)
        leave();
    *simulation.shared = left;
    simulation_clear_row(&simulation, 0);
    memcpy(saved_slots, left_slots, slots_size);
    memcpy(saved_instance, left_instance, instance_size);
    for (int n = 0; n < 100 && input.left; n++)
        change(&input);
    resume();
    return 0;
}
