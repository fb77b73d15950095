/* SPDX-License-Identifier: MIT */
/*
 * Simulated classifier, slots, and the ledgers of several interfaces together: from packets to
 * series. The promises are the project's: every packet is counted exactly once, no total ever
 * falls, a scan creates no series, one interface's junk takes no series from another.
 *
 * Links: plugin/bar.c, plugin/slots.c, plugin/tally.c, plugin/ledger.c, plugin/ledger_limits.c,
 * plugin/series_name.c. Needs -lm.
 */
#include <stdint.h>

#include "capture.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "simulation.h"
#include "slots.h"
#include "slots_short.h"
#include "tap.h"

struct report {
    char instance[SERIES_NAME_SIZE];
    struct pb_counters total;
};

#define REPORTS_MAX 1024

#define INTERFACES 2

struct interface {
    struct pipeline *pipeline;
    struct tally *tally;
    struct ledger *ledger;
    struct pb_counters sent;
    struct report report[REPORTS_MAX];
    unsigned reports;
    unsigned active;              /* series of ports after the last read */
    bool listening[PB_PORT_KEYS]; /* in this read */
};

struct pipeline {
    struct simulation simulation;
    struct slots *slots;
    struct interface interface[INTERFACES];
    struct pb_counters *sums;
    unsigned falls; /* totals that were less than in the previous report */
    unsigned ended; /* ports, to end in favour of others */
    __u64 now;
};

static void on_report(void *context, const char *instance, const struct pb_counters *total) {
    struct interface *interface = context;
    struct report *report = interface->report;

    while (report < interface->report + interface->reports && strcmp(report->instance, instance))
        report++;
    if (report == interface->report + interface->reports) {
        if (interface->reports == REPORTS_MAX)
            abort();
        snprintf(report->instance, sizeof(report->instance), "%s", instance);
        interface->reports++;
    }
    interface->pipeline->falls +=
        total->rx_bytes < report->total.rx_bytes || total->rx_packets < report->total.rx_packets ||
        total->tx_bytes < report->total.tx_bytes || total->tx_packets < report->total.tx_packets;
    report->total = *total;
}

#define INTERVAL 10000000000ull
#define RESERVED 4

static bool is_listening(const void *context, __u32 key) {
    return ((const struct interface *)context)->listening[key];
}

/* max_ports 0: as many as there are dynamic slots. */
static struct pipeline *pipeline_new(__u32 dynamic, struct ledger_policy policy) {
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));

    if (!pipeline)
        abort();
    capture_clear();
    if (!policy.max_ports)
        policy.max_ports = dynamic;
    simulation_new(&pipeline->simulation, INTERFACES, 2, slots_total(layout_of(dynamic, RESERVED)));
    pipeline->sums = calloc(pipeline->simulation.slots, sizeof(*pipeline->sums));
    if (!pipeline->sums ||
        slots_new(&pipeline->slots, pipeline->simulation.shared, layout_of(dynamic, RESERVED)))
        abort();
    for (unsigned i = 0; i < INTERFACES; i++) {
        struct interface *interface = &pipeline->interface[i];

        interface->pipeline = pipeline;
        if (tally_new(&interface->tally, pipeline->slots) ||
            ledger_new(&interface->ledger, "eth0", &policy))
            abort();
        ledger_set_listeners(interface->ledger, is_listening, interface);
    }
    return pipeline;
}

static void pipeline_free(struct pipeline *pipeline) {
    for (unsigned i = 0; i < INTERFACES; i++) {
        tally_free(pipeline->interface[i].tally);
        ledger_free(pipeline->interface[i].ledger);
    }
    slots_free(pipeline->slots);
    simulation_free(&pipeline->simulation);
    free(pipeline->sums);
    free(pipeline);
}

static void packet(struct pipeline *pipeline, unsigned interface, unsigned cpu, __u32 key,
                   bool egress, __u64 bytes) {
    struct pb_counters *sent = &pipeline->interface[interface].sent;

    simulation_count(&pipeline->simulation, interface, cpu,
                     simulation_lookup(&pipeline->simulation, key), egress, bytes, 1);
    *(egress ? &sent->tx_bytes : &sent->rx_bytes) += bytes;
    *(egress ? &sent->tx_packets : &sent->rx_packets) += 1;
}

static void on_port(void *context, __u32 key, __u64 busy) {
    struct interface *interface = context;

    _Static_assert(LEDGER_BUSY_MAX == SLOTS_BUSY_MAX, "the ledger's answers are for slots_keep");
    slots_keep(interface->pipeline->slots, key, busy);
    interface->active++;
}

static void on_end(void *context, __u32 key) {
    struct pipeline *pipeline = context;

    for (unsigned i = 0; i < INTERFACES; i++)
        ledger_end(pipeline->interface[i].ledger, key);
    pipeline->ended++;
}

/* One read, in the plugin's order. */
static void read_all(struct pipeline *pipeline) {
    const __u32 *list;
    __u32 listed;

    pipeline->now += INTERVAL;
    if (slots_unlink(pipeline->slots, pipeline->now))
        slots_quiesce(pipeline->slots, pipeline->now);
    listed = slots_list(pipeline->slots, false, &list);
    for (unsigned i = 0; i < INTERFACES; i++) {
        struct interface *interface = &pipeline->interface[i];

        simulation_read(&pipeline->simulation, i, list, listed, pipeline->sums);
        slots_account(pipeline->slots, interface->tally, pipeline->sums, ledger_account,
                      interface->ledger);
        ledger_update(interface->ledger, pipeline->now);
        interface->active = 0;
        ledger_for_each_port(interface->ledger, on_port, interface);
        for (__u32 key = 0; key < PB_PORT_KEYS; key++)
            if (interface->listening[key])
                slots_keep(pipeline->slots, key, SLOTS_BUSY_MAX);
        memset(interface->listening, 0, sizeof(interface->listening));
    }
    slots_recycle(pipeline->slots);
    slots_end_surplus(pipeline->slots, on_end, pipeline);
    slots_pick_victims(pipeline->slots);
    for (unsigned i = 0; i < INTERFACES; i++)
        ledger_report(pipeline->interface[i].ledger, on_report, &pipeline->interface[i]);
}

static bool reported_is_sent(const struct pipeline *pipeline) {
    for (unsigned i = 0; i < INTERFACES; i++) {
        const struct interface *interface = &pipeline->interface[i];
        struct pb_counters reported = {0};

        for (unsigned n = 0; n < interface->reports; n++) {
            reported.rx_bytes += interface->report[n].total.rx_bytes;
            reported.rx_packets += interface->report[n].total.rx_packets;
            reported.tx_bytes += interface->report[n].total.tx_bytes;
            reported.tx_packets += interface->report[n].total.tx_packets;
        }
        if (memcmp(&reported, &interface->sent, sizeof(reported)))
            return false;
    }
    return true;
}

static __u64 reported_on(const struct interface *interface, const char *instance) {
    for (unsigned i = 0; i < interface->reports; i++)
        if (!strcmp(interface->report[i].instance, instance))
            return interface->report[i].total.rx_bytes + interface->report[i].total.tx_bytes;
    return UINT64_MAX;
}

/* On the first interface. */
static __u64 reported(const struct pipeline *pipeline, const char *instance) {
    return reported_on(&pipeline->interface[0], instance);
}

static void test_scan(void) {
    struct pipeline *pipeline = pipeline_new(
        64, (struct ledger_policy){.min_bytes = 10000, .idle_timeout = 360 * INTERVAL});
    __u32 port = 1;

    for (int reads = 0; reads < 400; reads++) {
        for (int n = 0; n < 500; n++)
            packet(pipeline, 0, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        read_all(pipeline);
    }
    for (int n = 0; n < 10; n++) /* a service starts during the scan */
        packet(pipeline, 0, 0, PB_KEY(PB_UDP, 53), true, 1009);
    for (int reads = 0; reads < 20; reads++) {
        for (int n = 0; n < 500; n++)
            packet(pipeline, 0, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        for (int n = 0; n < 10; n++)
            packet(pipeline, 0, 0, PB_KEY(PB_UDP, 53), true, 1009);
        read_all(pipeline);
    }
    read_all(pipeline);
    read_all(pipeline);
    ok(reported_is_sent(pipeline), "a scan is counted, packet by packet");
    is_u64(reported(pipeline, "tcp-other") / 60, 210000, "all of it is in other");
    ok(reported(pipeline, "udp-53") != UINT64_MAX,
       "a service that starts during a scan becomes a series");
    is_u64(pipeline->interface[0].reports, reported(pipeline, "udp-other") == UINT64_MAX ? 2 : 3,
           "no other port does");
    is_u64(captured.number, 0, "no limit is reached");
    pipeline_free(pipeline);
}

/*
 * All slots are taken by junk on one interface: series that are kept active, some of them by a
 * packet in each read. Then a service begins on the other one.
 */
static void test_junk(void) {
    struct pipeline *pipeline = pipeline_new(
        64, (struct ledger_policy){
                .min_bytes = 10000, .max_ports = 1000, .idle_timeout = 360 * INTERVAL});
    __u64 before = 0;
    unsigned with_slot = 0;

    for (int reads = 0; reads < 40; reads++) {
        for (__u32 port = 1; port <= 64; port++)
            packet(pipeline, 0, 0, PB_KEY(PB_UDP, 1000 + port), false, reads < 4 ? 12000 : 60);
        read_all(pipeline);
    }
    ok(pipeline->interface[0].active > 40, "junk has %u series of 64 slots",
       pipeline->interface[0].active);
    for (int reads = 0; reads < 40; reads++) {
        for (__u32 port = 1; port <= 64; port++)
            if (port % 2 || reads % 6 == 0)
                packet(pipeline, 0, 0, PB_KEY(PB_UDP, 1000 + port), false, 60);
        for (int n = 0; n < 20; n++)
            packet(pipeline, 1, 1, PB_KEY(PB_TCP, 443), true, 1009);
        read_all(pipeline);
        if (reads == 10)
            before = reported_on(&pipeline->interface[1], "tcp-443");
        with_slot += reads >= 10 && pipeline->simulation.shared->table[PB_KEY(PB_TCP, 443)] != 0;
    }
    ok(before != UINT64_MAX, "a service that begins on another interface becomes a series");
    is_u64(reported_on(&pipeline->interface[1], "tcp-443") - before, 29 * 20 * 1009ull,
           "from which nothing is missing");
    is_u64(with_slot, 30, "it keeps its slot");
    read_all(pipeline);
    read_all(pipeline);
    ok(reported_is_sent(pipeline), "every packet is counted on its interface");
    is_u64(pipeline->falls, 0, "no total falls");
    pipeline_free(pipeline);
}

/*
 * Junk of 20 kB to every port, which holds all slots and deserves every series. Then a service
 * begins, on the same interface or the other one.
 */
static void test_junk_everywhere(unsigned interface) {
    static const __u32 service = PB_KEY(PB_UDP, 443);
    struct pipeline *pipeline = pipeline_new(
        512, (struct ledger_policy){.min_bytes = 10000, .idle_timeout = 360 * INTERVAL});
    __u32 port = 0, reads = 0, busy = 0;

    while (reads < 30 || reported_on(&pipeline->interface[interface], "udp-443") == UINT64_MAX) {
        for (int n = 0; n < 2184 * 14; n++) {
            packet(pipeline, 0, n % 2, PB_KEY(PB_TCP, (port + n / 14) % PB_PORTS), false, 1500);
            if (reads >= 30)
                packet(pipeline, interface, n % 2, service, true, 818); /* 25 MB in a read */
        }
        port += 2184;
        read_all(pipeline);
        if (++reads == 30)
            busy = pipeline->interface[0].active;
        if (reads == 40)
            break;
    }
    ok(busy > 100 && busy < 140, "junk of 20 kB to every port has %u series", busy);
    ok(reads <= 32, "a service that begins on interface %u is a series after %u reads", interface,
       reads - 30);
    read_all(pipeline);
    read_all(pipeline);
    ok(reported_is_sent(pipeline), "every packet is counted");
    pipeline_free(pipeline);
}

/* One that sends 3,000 bytes in every fifth read reaches MinBytes, while slots are free. */
static void test_bursts(void) {
    struct pipeline *pipeline = pipeline_new(
        64, (struct ledger_policy){.min_bytes = 10000, .idle_timeout = 360 * INTERVAL});

    for (int reads = 0; reads < 20; reads++) {
        if (reads % 5 == 0)
            packet(pipeline, 0, 0, PB_KEY(PB_TCP, 22), true, 3000);
        read_all(pipeline);
    }
    is_u64(reported(pipeline, "tcp-22"), 3000, "a service in bursts becomes a series");
    ok(reported_is_sent(pipeline), "every packet is counted");
    pipeline_free(pipeline);
}

/* The port is listening on an interface in this read: with a reserved slot, for both. */
static void listening(struct pipeline *pipeline, unsigned interface, __u32 key) {
    pipeline->interface[interface].listening[key] = true;
    slots_reserve(pipeline->slots, key);
}

static void test_everything(__u32 top, __u64 idle_timeout, const char *what) {
    unsigned wrong = 0, falls = 0, warnings = 0, ended = 0;

    for (__u64 seed = 1; seed <= 8; seed++) {
        struct pipeline *pipeline = pipeline_new(
            48, (struct ledger_policy){
                    .min_bytes = seed % 2 ? 5000 : 0, .top = top, .idle_timeout = idle_timeout});
        struct random random = {.state = seed};

        for (int reads = 0; reads < 300; reads++) {
            for (__u32 n = random_below(&random, 300); n; n--) {
                __u32 port = (reads / 10 * 3 + random_below(&random, 30)) * 11 % PB_PORTS;
                __u32 key = PB_KEY(random_below(&random, PB_TRANSPORTS), port);

                if (random_once_in(&random, 30))
                    key = PB_PORT_KEYS + random_below(&random, PB_PROTOCOLS + 1);
                packet(pipeline, random_below(&random, INTERFACES), n % 2, key,
                       random_once_in(&random, 2), 60 + random_below(&random, 1441));
            }
            if (random_once_in(&random, 10))
                fold_range(pipeline->slots, reads * 11, reads * 11 + 100);
            for (__u32 port = 0; port < 3; port++) /* while its socket is open */
                if (reads % 100 < 50)
                    listening(pipeline, port % INTERFACES, PB_KEY(PB_TCP, port * 11 + reads / 100));
            read_all(pipeline);
            if (random_once_in(&random, 50)) { /* the interface is removed, and returns */
                read_all(pipeline);
                wrong += !reported_is_sent(pipeline);
                ledger_suspend(pipeline->interface[random_below(&random, INTERFACES)].ledger);
            }
        }
        read_all(pipeline);
        read_all(pipeline);
        wrong += !reported_is_sent(pipeline);
        falls += pipeline->falls;
        warnings += captured.number;
        ended += pipeline->ended;
        pipeline_free(pipeline);
    }
    is_u64(wrong, 0, "%s: two reads later all series together have reported what was sent", what);
    is_u64(falls, 0, "%s: no total ever falls", what);
    ok(warnings > 0, "%s: the bar rose", what);
    diag("%u series to end", ended);
}

int main(void) {
    test_scan();
    test_junk();
    test_junk_everywhere(0);
    test_junk_everywhere(1);
    test_bursts();
    test_everything(0, 360 * INTERVAL, "without further limits");
    test_everything(0, 5 * INTERVAL, "with a short IdleTimeout");
    test_everything(7, 360 * INTERVAL, "with TopPorts");
    test_everything(7, INTERVAL, "with TopPorts and a short IdleTimeout");
    return tap_end();
}
