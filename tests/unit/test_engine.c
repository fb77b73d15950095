/* SPDX-License-Identifier: MIT */
/*
 * Classifier (simulated), slots and ledger together: from packets to series. The
 * promises are the project's: every packet counted exactly once, series that only
 * grow, a scan that creates none.
 *
 * Links: plugin/slots.c, plugin/ledger.c.
 */
#include <stdint.h>

#include "capture.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "simulation.h"
#include "slots.h"
#include "tap.h"

struct word {
    char instance[SERIES_NAME_SIZE];
    struct pb_counters total;
};

#define WORDS 1024

struct engine {
    struct simulation simulation;
    struct slots *slots;
    struct ledger *ledger;
    struct pb_counters *sums;
    struct pb_counters sent;
    struct word word[WORDS];
    unsigned words;
    unsigned fell; /* totals that were less than before */
    __u64 now;
};

static void on_say(void *context, const char *instance, const struct pb_counters *total) {
    struct engine *engine = context;
    struct word *word = engine->word;

    while (word < engine->word + engine->words && strcmp(word->instance, instance))
        word++;
    if (word == engine->word + engine->words) {
        if (engine->words == WORDS)
            abort();
        snprintf(word->instance, sizeof(word->instance), "%s", instance);
        engine->words++;
    }
    engine->fell +=
        total->rx_bytes < word->total.rx_bytes || total->rx_packets < word->total.rx_packets ||
        total->tx_bytes < word->total.tx_bytes || total->tx_packets < word->total.tx_packets;
    word->total = *total;
}

#define INTERVAL 10000000000ull
#define GRANTED  4

static struct engine *engine_new(__u32 dynamic, struct ledger_policy policy) {
    struct engine *engine = calloc(1, sizeof(*engine));

    if (!engine)
        abort();
    capture_clear();
    policy.max_series = dynamic;
    simulation_new(&engine->simulation, 2, slots_total(dynamic, GRANTED));
    engine->sums = calloc(engine->simulation.slots, sizeof(*engine->sums));
    if (!engine->sums || slots_new(&engine->slots, engine->simulation.shared, dynamic, GRANTED) ||
        ledger_new(&engine->ledger, "eth0", &policy))
        abort();
    return engine;
}

static void engine_free(struct engine *engine) {
    ledger_free(engine->ledger);
    slots_free(engine->slots);
    simulation_free(&engine->simulation);
    free(engine->sums);
    free(engine);
}

static void packet(struct engine *engine, unsigned cpu, __u32 key, bool egress, __u64 bytes) {
    simulation_count(&engine->simulation, cpu, simulation_lookup(&engine->simulation, key), egress,
                     bytes, 1);
    *(egress ? &engine->sent.tx_bytes : &engine->sent.rx_bytes) += bytes;
    *(egress ? &engine->sent.tx_packets : &engine->sent.rx_packets) += 1;
}

/* One read, as plugin/monitor.c has it. */
static void read_all(struct engine *engine) {
    engine->now += INTERVAL;
    if (slots_unlink(engine->slots, engine->now))
        slots_quiesce(engine->slots, engine->now);
    simulation_read(&engine->simulation, engine->sums);
    slots_account(engine->slots, engine->sums, ledger_account, engine->ledger);
    slots_recycle(engine->slots);
    ledger_update(engine->ledger, engine->now);
    slots_pick_victims(engine->slots, ledger_is_active, engine->ledger);
    ledger_report(engine->ledger, on_say, engine);
}

static bool said_is_sent(const struct engine *engine) {
    struct pb_counters said = {0};

    for (unsigned i = 0; i < engine->words; i++) {
        said.rx_bytes += engine->word[i].total.rx_bytes;
        said.rx_packets += engine->word[i].total.rx_packets;
        said.tx_bytes += engine->word[i].total.tx_bytes;
        said.tx_packets += engine->word[i].total.tx_packets;
    }
    return !memcmp(&said, &engine->sent, sizeof(said));
}

static __u64 said(const struct engine *engine, const char *instance) {
    for (unsigned i = 0; i < engine->words; i++)
        if (!strcmp(engine->word[i].instance, instance))
            return engine->word[i].total.rx_bytes + engine->word[i].total.tx_bytes;
    return UINT64_MAX;
}

static void test_scan(void) {
    struct engine *engine =
        engine_new(64, (struct ledger_policy){.min_bytes = 10000, .idle_timeout = 360 * INTERVAL});
    __u32 port = 1;

    for (int reads = 0; reads < 400; reads++) {
        for (int n = 0; n < 500; n++)
            packet(engine, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        read_all(engine);
    }
    for (int n = 0; n < 10; n++) /* a service begins while the scan goes on */
        packet(engine, 0, PB_KEY(PB_UDP, 53), true, 1009);
    for (int reads = 0; reads < 20; reads++) {
        for (int n = 0; n < 500; n++)
            packet(engine, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        for (int n = 0; n < 10; n++)
            packet(engine, 0, PB_KEY(PB_UDP, 53), true, 1009);
        read_all(engine);
    }
    read_all(engine);
    read_all(engine);
    ok(said_is_sent(engine), "a scan is counted, packet by packet");
    is_u64(said(engine, "tcp-other") / 60, 210000, "all of it in other");
    ok(said(engine, "udp-53") != UINT64_MAX, "a service that begins in a scan becomes a series");
    is_u64(engine->words, said(engine, "udp-other") == UINT64_MAX ? 2 : 3,
           "and no other port does");
    is_u64(captured.number, 0, "no limit was reached");
    engine_free(engine);
}

/* A port that listens now has a series and a slot of its own, as in plugin/monitor.c. */
static void listening(struct engine *engine, __u32 key) {
    if (ledger_listening(engine->ledger, key, engine->now))
        slots_reserve(engine->slots, key);
}

static void test_everything(__u32 top, __u64 idle_timeout, const char *what) {
    unsigned wrong = 0, fell = 0, limits = 0;

    for (__u64 seed = 1; seed <= 8; seed++) {
        struct engine *engine = engine_new(
            48, (struct ledger_policy){
                    .min_bytes = seed % 2 ? 5000 : 0, .top = top, .idle_timeout = idle_timeout});
        struct random random = {.state = seed};

        for (int reads = 0; reads < 300; reads++) {
            for (__u32 n = random_below(&random, 300); n; n--) {
                __u32 port = (reads / 10 * 3 + random_below(&random, 30)) * 11 % PB_PORTS;
                __u32 key = PB_KEY(random_below(&random, PB_TRANSPORTS), port);

                if (random_once_in(&random, 30))
                    key = PB_PORT_KEYS + random_below(&random, PB_PROTOCOLS + 1);
                packet(engine, n % 2, key, random_once_in(&random, 2),
                       60 + random_below(&random, 1441));
            }
            if (random_once_in(&random, 10))
                slots_fold(engine->slots, reads * 11, reads * 11 + 100);
            for (__u32 port = 0; port < 3; port++) /* until their socket is closed */
                if (reads % 100 < 50)
                    listening(engine, PB_KEY(PB_TCP, port * 11 + reads / 100));
            read_all(engine);
            if (random_once_in(&random, 50)) { /* the interface goes, and comes back */
                read_all(engine);
                wrong += !said_is_sent(engine);
                ledger_suspend(engine->ledger);
            }
        }
        read_all(engine);
        read_all(engine);
        wrong += !said_is_sent(engine);
        fell += engine->fell;
        limits += captured.number;
        engine_free(engine);
    }
    is_u64(wrong, 0, "%s: what all series say is what was sent, two reads later", what);
    is_u64(fell, 0, "%s: no series ever falls", what);
    ok(limits > 0, "%s: the limit of series was reached", what);
}

int main(void) {
    test_scan();
    test_everything(0, 360 * INTERVAL, "whatever comes");
    test_everything(0, 5 * INTERVAL, "with a short IdleTimeout");
    test_everything(7, 360 * INTERVAL, "with TopPorts");
    test_everything(7, INTERVAL, "with both");
    return tap_end();
}
