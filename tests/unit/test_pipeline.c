/* SPDX-License-Identifier: MIT */
/*
 * Simulated classifier, slots and ledger together: from packets to series. The promises are the
 * project's: every packet is counted exactly once, no total ever falls, a scan creates no series.
 *
 * Links: plugin/slots.c, plugin/ledger.c, plugin/series_name.c.
 */
#include <stdint.h>

#include "capture.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "simulation.h"
#include "slots.h"
#include "tap.h"

struct report {
    char instance[SERIES_NAME_SIZE];
    struct pb_counters total;
};

#define REPORTS_MAX 1024

struct pipeline {
    struct simulation simulation;
    struct slots *slots;
    struct ledger *ledger;
    struct pb_counters *sums;
    struct pb_counters sent;
    struct report report[REPORTS_MAX];
    unsigned reports;
    unsigned falls; /* totals that were less than in the previous report */
    __u64 now;
};

static void on_report(void *context, const char *instance, const struct pb_counters *total) {
    struct pipeline *pipeline = context;
    struct report *report = pipeline->report;

    while (report < pipeline->report + pipeline->reports && strcmp(report->instance, instance))
        report++;
    if (report == pipeline->report + pipeline->reports) {
        if (pipeline->reports == REPORTS_MAX)
            abort();
        snprintf(report->instance, sizeof(report->instance), "%s", instance);
        pipeline->reports++;
    }
    pipeline->falls +=
        total->rx_bytes < report->total.rx_bytes || total->rx_packets < report->total.rx_packets ||
        total->tx_bytes < report->total.tx_bytes || total->tx_packets < report->total.tx_packets;
    report->total = *total;
}

#define INTERVAL 10000000000ull
#define RESERVED 4

static struct pipeline *pipeline_new(__u32 dynamic, struct ledger_policy policy) {
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));

    if (!pipeline)
        abort();
    capture_clear();
    policy.max_series = dynamic;
    simulation_new(&pipeline->simulation, 2, slots_total(dynamic, RESERVED));
    pipeline->sums = calloc(pipeline->simulation.slots, sizeof(*pipeline->sums));
    if (!pipeline->sums ||
        slots_new(&pipeline->slots, pipeline->simulation.shared, dynamic, RESERVED) ||
        ledger_new(&pipeline->ledger, "eth0", &policy))
        abort();
    return pipeline;
}

static void pipeline_free(struct pipeline *pipeline) {
    ledger_free(pipeline->ledger);
    slots_free(pipeline->slots);
    simulation_free(&pipeline->simulation);
    free(pipeline->sums);
    free(pipeline);
}

static void packet(struct pipeline *pipeline, unsigned cpu, __u32 key, bool egress, __u64 bytes) {
    simulation_count(&pipeline->simulation, cpu, simulation_lookup(&pipeline->simulation, key),
                     egress, bytes, 1);
    *(egress ? &pipeline->sent.tx_bytes : &pipeline->sent.rx_bytes) += bytes;
    *(egress ? &pipeline->sent.tx_packets : &pipeline->sent.rx_packets) += 1;
}

/* One read, in the plugin's order. */
static void read_all(struct pipeline *pipeline) {
    pipeline->now += INTERVAL;
    if (slots_unlink(pipeline->slots, pipeline->now))
        slots_quiesce(pipeline->slots, pipeline->now);
    simulation_read(&pipeline->simulation, pipeline->sums);
    slots_account(pipeline->slots, pipeline->sums, ledger_account, pipeline->ledger);
    slots_recycle(pipeline->slots);
    ledger_update(pipeline->ledger, pipeline->now);
    slots_pick_victims(pipeline->slots, ledger_is_active, pipeline->ledger);
    ledger_report(pipeline->ledger, on_report, pipeline);
}

static bool reported_is_sent(const struct pipeline *pipeline) {
    struct pb_counters reported = {0};

    for (unsigned i = 0; i < pipeline->reports; i++) {
        reported.rx_bytes += pipeline->report[i].total.rx_bytes;
        reported.rx_packets += pipeline->report[i].total.rx_packets;
        reported.tx_bytes += pipeline->report[i].total.tx_bytes;
        reported.tx_packets += pipeline->report[i].total.tx_packets;
    }
    return !memcmp(&reported, &pipeline->sent, sizeof(reported));
}

static __u64 reported(const struct pipeline *pipeline, const char *instance) {
    for (unsigned i = 0; i < pipeline->reports; i++)
        if (!strcmp(pipeline->report[i].instance, instance))
            return pipeline->report[i].total.rx_bytes + pipeline->report[i].total.tx_bytes;
    return UINT64_MAX;
}

static void test_scan(void) {
    struct pipeline *pipeline = pipeline_new(
        64, (struct ledger_policy){.min_bytes = 10000, .idle_timeout = 360 * INTERVAL});
    __u32 port = 1;

    for (int reads = 0; reads < 400; reads++) {
        for (int n = 0; n < 500; n++)
            packet(pipeline, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        read_all(pipeline);
    }
    for (int n = 0; n < 10; n++) /* a service starts during the scan */
        packet(pipeline, 0, PB_KEY(PB_UDP, 53), true, 1009);
    for (int reads = 0; reads < 20; reads++) {
        for (int n = 0; n < 500; n++)
            packet(pipeline, n % 2, PB_KEY(PB_TCP, port++ % PB_PORTS), false, 60);
        for (int n = 0; n < 10; n++)
            packet(pipeline, 0, PB_KEY(PB_UDP, 53), true, 1009);
        read_all(pipeline);
    }
    read_all(pipeline);
    read_all(pipeline);
    ok(reported_is_sent(pipeline), "a scan is counted, packet by packet");
    is_u64(reported(pipeline, "tcp-other") / 60, 210000, "all of it is in other");
    ok(reported(pipeline, "udp-53") != UINT64_MAX,
       "a service that starts during a scan becomes a series");
    is_u64(pipeline->reports, reported(pipeline, "udp-other") == UINT64_MAX ? 2 : 3,
           "no other port does");
    is_u64(captured.number, 0, "no limit is reached");
    pipeline_free(pipeline);
}

/* The port is listening: a series with a reserved slot. */
static void listening(struct pipeline *pipeline, __u32 key) {
    if (ledger_listening(pipeline->ledger, key, pipeline->now))
        slots_reserve(pipeline->slots, key);
}

static void test_everything(__u32 top, __u64 idle_timeout, const char *what) {
    unsigned wrong = 0, falls = 0, warnings = 0;

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
                packet(pipeline, n % 2, key, random_once_in(&random, 2),
                       60 + random_below(&random, 1441));
            }
            if (random_once_in(&random, 10))
                slots_fold(pipeline->slots, reads * 11, reads * 11 + 100);
            for (__u32 port = 0; port < 3; port++) /* while its socket is open */
                if (reads % 100 < 50)
                    listening(pipeline, PB_KEY(PB_TCP, port * 11 + reads / 100));
            read_all(pipeline);
            if (random_once_in(&random, 50)) { /* the interface is removed, and returns */
                read_all(pipeline);
                wrong += !reported_is_sent(pipeline);
                ledger_suspend(pipeline->ledger);
            }
        }
        read_all(pipeline);
        read_all(pipeline);
        wrong += !reported_is_sent(pipeline);
        falls += pipeline->falls;
        warnings += captured.number;
        pipeline_free(pipeline);
    }
    is_u64(wrong, 0, "%s: two reads later all series together have reported what was sent", what);
    is_u64(falls, 0, "%s: no total ever falls", what);
    ok(warnings > 0, "%s: the limit of series was reached", what);
}

int main(void) {
    test_scan();
    test_everything(0, 360 * INTERVAL, "without further limits");
    test_everything(0, 5 * INTERVAL, "with a short IdleTimeout");
    test_everything(7, 360 * INTERVAL, "with TopPorts");
    test_everything(7, INTERVAL, "with TopPorts and a short IdleTimeout");
    return tap_end();
}
