/* SPDX-License-Identifier: MIT */
/*
 * The ledger: which series there are, that no total ever falls, and that all totals together are
 * what was accounted. Exact scenarios first, then random ones against a model.
 *
 * Links: plugin/bar.c, plugin/key_index.c, plugin/ledger.c, plugin/ledger_limits.c,
 * plugin/ledger_restore.c, plugin/series_name.c. Needs -lm.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "bar.h"
#include "capture.h"
#include "key_index.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "tap.h"

#define DYNAMIC_SLOT PB_FIXED_SLOTS /* any dynamic slot: the ledger does not tell them apart */
#define TCP(port)    PB_KEY(PB_TCP, port)

/* ---- a ledger and its last report ---- */

#define REPORTS_MAX 8192

struct report {
    char instance[SERIES_NAME_SIZE];
    struct pb_counters total;
};

struct fixture {
    struct ledger *ledger;
    __u64 now; /* ns */
    struct report report[REPORTS_MAX];
    unsigned reports;
    bool listening[PB_PORT_KEYS]; /* during this read */
    bool any_listening;
};

static struct fixture fixture; /* too large for a stack */

static void on_report(void *context, const char *instance, const struct pb_counters *total) {
    struct fixture *to = context;

    if (to->reports == REPORTS_MAX)
        abort();
    snprintf(to->report[to->reports].instance, SERIES_NAME_SIZE, "%s", instance);
    to->report[to->reports++].total = *total;
}

#define SECOND   1000000000ull
#define INTERVAL (10 * SECOND)
#define NEVER    (1ull << 62)

static bool is_listening(const void *context, __u32 key) {
    return ((const struct fixture *)context)->listening[key];
}

static void begin_policy(struct ledger_policy policy) {
    memset(&fixture, 0, sizeof(fixture));
    fixture.now = 1000 * INTERVAL;
    capture_clear();
    if (ledger_new(&fixture.ledger, "eth0", &policy))
        abort();
    ledger_set_listeners(fixture.ledger, is_listening, &fixture);
}

static void begin(__u64 min_bytes, __u32 max_ports) {
    begin_policy((struct ledger_policy){
        .min_bytes = min_bytes, .max_ports = max_ports, .idle_timeout = NEVER});
}

static void end(void) {
    ledger_free(fixture.ledger);
}

static void report_all(void) {
    fixture.reports = 0;
    ledger_report(fixture.ledger, on_report, &fixture);
}

static void update(void) {
    ledger_update(fixture.ledger, fixture.now);
}

/* The end of a read; the next one is an interval later. */
static void finish_read(void) {
    update();
    report_all();
    fixture.now += INTERVAL;
    if (fixture.any_listening)
        memset(fixture.listening, 0, sizeof(fixture.listening));
    fixture.any_listening = false;
}

/* The port has a listening socket during this read. */
static void listening(__u32 key) {
    fixture.listening[key] = fixture.any_listening = true;
}

/* Received bytes and sent bytes, 3:1, so that no field can be mistaken for another. */
static void account(__u32 slot, __u32 key, __u64 slot_bytes, __u64 bytes) {
    struct pb_counters delta = {
        .rx_bytes = bytes - bytes / 4, .rx_packets = 2, .tx_bytes = bytes / 4, .tx_packets = 1};

    ledger_account(fixture.ledger, slot, key, slot_bytes, &delta);
}

/* A port that was allocated its slot in this read. */
static void account_port(__u32 key, __u64 bytes) {
    account(DYNAMIC_SLOT, key, bytes, bytes);
}

/* How busy a port is, as ledger_for_each_port says. */
struct search {
    __u32 key;
    unsigned found;
    __u64 busy;
};

static void on_port(void *context, __u32 key, __u64 busy) {
    struct search *search = context;

    if (key == search->key) {
        search->found++;
        search->busy = busy;
    }
}

static bool is_active(__u32 key) {
    struct search search = {.key = key};

    ledger_for_each_port(fixture.ledger, on_port, &search);
    if (search.found > 1)
        abort();
    return search.found;
}

static __u64 busy_of(__u32 key) {
    struct search search = {.key = key};

    ledger_for_each_port(fixture.ledger, on_port, &search);
    return search.busy;
}

#define NOT_REPORTED UINT64_MAX

/* The last reported total of a series in bytes, or NOT_REPORTED; another value if reported twice.
 */
static __u64 reported(const char *instance) {
    __u64 bytes = NOT_REPORTED;

    for (unsigned i = 0; i < fixture.reports; i++) {
        if (strcmp(fixture.report[i].instance, instance))
            continue;
        if (bytes != NOT_REPORTED)
            return NOT_REPORTED - 1;
        bytes = fixture.report[i].total.rx_bytes + fixture.report[i].total.tx_bytes;
    }
    return bytes;
}

/* What the next process continues with. */
static void restart(const struct ledger_policy *policy) {
    void *saved = malloc(ledger_saved_size(policy));
    struct ledger *restored;

    ledger_save(fixture.ledger, saved);
    if (ledger_new(&restored, "eth0", policy) || ledger_restore(restored, saved))
        abort();
    ledger_free(fixture.ledger);
    fixture.ledger = restored;
    ledger_set_listeners(restored, is_listening, &fixture);
    free(saved);
}

/* ---- a series becomes active ---- */

static void test_nothing(void) {
    begin(10000, 512);
    finish_read();
    is_u64(fixture.reports, 0, "a new ledger reports nothing");
    ok(!is_active(TCP(80)), "no port is active");
    ok(!is_active(PB_KEY_NONIP) && !is_active(PB_KEYS), "nor is a key without a port");
    end();
    ledger_free(NULL);
    ok(true, "ledger_free accepts NULL");
}

static void test_zero_first(void) {
    begin(0, 512);
    account_port(TCP(80), 1000);
    finish_read();
    is_u64(reported("tcp-80"), 0, "a new series first reports 0");
    ok(is_active(TCP(80)), "its port is active");
    finish_read();
    is_u64(reported("tcp-80"), 1000,
           "the next read reports what it counted, without new packets too");
    account_port(TCP(80), 103);
    finish_read();
    is_u64(reported("tcp-80"), 1103, "from then on each read reports what it brought");
    finish_read();
    is_u64(reported("tcp-80"), 1103, "a series without packets still reports its total");
    is_u64(fixture.reports, 1, "no other series is reported");
    end();
}

static void test_zero_first_then_traffic(void) {
    begin(0, 512);
    account_port(TCP(80), 1000);
    finish_read();
    account_port(TCP(80), 103);
    finish_read();
    is_u64(reported("tcp-80"), 1103,
           "with traffic in the second read, the deferred amount and the new one are reported "
           "together");
    end();
}

static void test_all_fields(void) {
    struct pb_counters delta = {3, 5, 7, 11};

    begin(0, 512);
    ledger_account(fixture.ledger, DYNAMIC_SLOT, TCP(80), 10, &delta);
    ledger_account(fixture.ledger, PB_SLOT_NONIP, PB_KEYS, 0, &delta);
    finish_read();
    finish_read();
    ok(fixture.reports == 2 && !memcmp(&fixture.report[0].total, &delta, sizeof(delta)) &&
           !memcmp(&fixture.report[1].total, &delta, sizeof(delta)),
       "bytes and packets of both directions are not mixed up");
    end();
}

static void test_fixed(void) {
    begin(10000, 512);
    account(PB_SLOT_IP(1), PB_KEYS, 0, 100);
    account(PB_SLOT_IP(1), PB_KEYS, 0, 10);
    account(PB_SLOT_NONIP, PB_KEYS, 0, 1);
    finish_read();
    ok(reported("ip-icmp") == 0 && reported("nonip") == 0,
       "a bucket first reports 0, however little it counted");
    is_u64(fixture.reports, 2, "a bucket that counted nothing is not reported");
    account(PB_SLOT_IP(1), PB_KEYS, 0, 1000);
    finish_read();
    is_u64(reported("ip-icmp"), 1110,
           "a bucket accounted twice in its first read reports both amounts in the next");
    is_u64(reported("nonip"), 1, "so does one without further packets");
    end();
}

/* Packets without bytes count, too. */
static void test_packets_without_bytes(void) {
    struct pb_counters delta = {.tx_packets = 1};

    begin(10000, 512);
    ledger_account(fixture.ledger, PB_SLOT_OTHER(PB_TCP), PB_KEYS, 0, &delta);
    finish_read();
    ledger_account(fixture.ledger, PB_SLOT_OTHER(PB_TCP), PB_KEYS, 0, &delta);
    finish_read();
    is_u64(fixture.report[0].total.tx_packets, 2, "packets without bytes are reported");
    end();
}

/* ---- MinBytes ---- */

static void test_min_bytes(void) {
    begin(10000, 512);
    account_port(TCP(1), 9999);
    account_port(TCP(2), 10000);
    account_port(TCP(3), 10001);
    finish_read();
    ok(reported("tcp-1") == NOT_REPORTED && !is_active(TCP(1)),
       "one byte below MinBytes: no series");
    is_u64(reported("tcp-2"), 0, "exactly MinBytes: a series");
    is_u64(reported("tcp-3"), 0, "more than MinBytes: a series");
    finish_read();
    is_u64(reported("tcp-other"), 9999, "a port without a series is credited to other");
    ok(reported("tcp-2") == 10000 && reported("tcp-3") == 10001,
       "a port with a series has all of its bytes");
    end();
}

static void test_min_bytes_over_reads(void) {
    begin(10000, 512);
    account(DYNAMIC_SLOT, TCP(80), 6000, 6000);
    finish_read();
    is_u64(reported("tcp-80"), NOT_REPORTED, "below MinBytes at the first read: no series yet");
    account(DYNAMIC_SLOT, TCP(80), 12000, 6000);
    finish_read();
    is_u64(reported("tcp-80"), 0, "slot_bytes of two reads reach MinBytes: a series");
    finish_read();
    is_u64(reported("tcp-80"), 6000, "it starts with the read in which it became one");
    is_u64(reported("tcp-other"), 6000, "what it counted before stays in other");
    account(DYNAMIC_SLOT, TCP(80), 12001, 1);
    finish_read();
    is_u64(reported("tcp-80"), 6001, "an active series needs no MinBytes");
    account(DYNAMIC_SLOT, TCP(80), 1, 1);
    finish_read();
    is_u64(reported("tcp-80"), 6002, "nor does it in a new slot");
    end();
}

static void test_min_bytes_zero(void) {
    struct pb_counters packet = {.rx_bytes = 1, .rx_packets = 1};

    begin(0, 512);
    ledger_account(fixture.ledger, DYNAMIC_SLOT, TCP(80), 1, &packet);
    finish_read();
    is_u64(reported("tcp-80"), 0, "MinBytes 0: any packet makes a series");
    is_u64(fixture.reports, 1, "and nothing is in other");
    end();
}

static void test_min_bytes_largest(void) {
    begin(1ull << 53, 512);
    account(DYNAMIC_SLOT, TCP(80), (1ull << 53) - 1, 1000);
    account(DYNAMIC_SLOT, TCP(443), 1ull << 53, 1000);
    finish_read();
    ok(reported("tcp-80") == NOT_REPORTED && reported("tcp-443") == 0,
       "the largest MinBytes is exact, too");
    end();
}

static void test_other_by_transport(void) {
    begin(10000, 512);
    account_port(PB_KEY(PB_TCP, 65535), 101);
    account_port(PB_KEY(PB_UDP, 0), 103);
    account_port(PB_KEY(PB_UDP, 65535), 1000);
    account_port(PB_KEY(PB_SCTP, 0), 107);
    account_port(PB_KEY(PB_SCTP, 65535), 1000);
    finish_read();
    finish_read();
    ok(reported("tcp-other") == 101 && reported("udp-other") == 1103 &&
           reported("sctp-other") == 1107,
       "each transport has its own other, from its first port to its last");
    end();
}

/* The port's old slot was unlinked and its new one has counted, too. */
static void test_two_slots_one_port(void) {
    begin(1000, 512);
    account(DYNAMIC_SLOT, TCP(80), 5000, 101);
    account(DYNAMIC_SLOT + 1, TCP(80), 2000, 2000);
    finish_read();
    is_u64(reported("tcp-80"), 0, "two slots of one port, both above MinBytes: one series");
    finish_read();
    is_u64(reported("tcp-80"), 2101, "with both amounts");
    is_u64(reported("tcp-other"), NOT_REPORTED, "and nothing in other");
    end();

    begin(1000, 512);
    account(DYNAMIC_SLOT, TCP(80), 101, 101);
    account(DYNAMIC_SLOT + 1, TCP(80), 2000, 2000);
    finish_read();
    finish_read();
    ok(reported("tcp-80") == 2000 && reported("tcp-other") == 101,
       "the slot below MinBytes is credited to other");
    end();
}

/* ---- the bar: arithmetic ---- */

#define WEEK BAR_HALF_LIFE

static void test_bar(void) {
    struct bar bar = {0};
    unsigned wrong = 0;

    is_u64(WEEK, 7 * 86400 * SECOND, "the half-life is a week");
    is_u64(bar_bytes(&bar, 10000, 512), 10000, "the bar begins at MinBytes");
    is_u64(bar_bytes(&bar, 0, 512), 1, "with MinBytes 0 at a byte");
    for (unsigned begun = 0; begun <= 2048; begun++) {
        bar.begun = begun;
        wrong += bar_bytes(&bar, 10000, 512) != 10000ull << (begun / 64);
        wrong += bar_bytes(&bar, 0, 512) != 1ull << (begun / 64);
        wrong += bar_bytes(&bar, 1, 16) != (begun / 2 < 64 ? 1ull << (begun / 2) : UINT64_MAX);
    }
    is_u64(wrong, 0, "it doubles with each eighth of MaxPorts");
    bar.begun = 63.999;
    is_u64(bar_bytes(&bar, 10000, 512), 10000, "and not before");
    bar.begun = 10 * 64;
    is_u64(bar_bytes(&bar, 1ull << 53, 512), 1ull << 63, "the largest MinBytes may double");
    bar.begun = 11 * 64;
    is_u64(bar_bytes(&bar, 1ull << 53, 512), UINT64_MAX, "then it is what nobody carries");
    bar.begun = 1e30;
    is_u64(bar_bytes(&bar, 1, 32768), UINT64_MAX, "nor is there an overflow beyond");
}

static bool is_near(double got, double expected) {
    return fabs(got - expected) < expected * 1e-9;
}

static void test_bar_pass(void) {
    struct bar bar = {.begun = 800, .at = 5 * SECOND}, steps = bar, other;

    bar_pass(&bar, 5 * SECOND + WEEK);
    ok(is_near(bar.begun, 400), "after a week half of it is left");
    for (unsigned step = 1; step <= 60480; step++)
        bar_pass(&steps, 5 * SECOND + step * 10 * SECOND);
    ok(is_near(steps.begun, 400), "in steps of ten seconds, too");
    bar_pass(&bar, 5 * SECOND + WEEK + WEEK / 2);
    ok(is_near(bar.begun, 400 / sqrt(2)), "after half a week more, the root of that");
    other = bar;
    bar_pass(&bar, bar.at);
    ok(bar.begun == other.begun, "a clock that stands still changes nothing");
    bar_pass(&bar, 1);
    ok(bar.begun == other.begun, "nor does one that goes back");
    bar_pass(&bar, 1 + WEEK);
    ok(is_near(bar.begun, other.begun / 2), "from there it counts on");
    bar_pass(&bar, UINT64_MAX);
    ok(bar.begun == 0, "after a million weeks nothing is left");
}

/* ---- the bar: who becomes a series ---- */

/*
 * As many dynamic series as are necessary for the bar to be MinBytes << doublings, and one more: it
 * stays there for some minutes.
 */
static void raise_bar(unsigned doublings, __u32 max_ports) {
    for (__u32 port = 0; port < doublings * max_ports / 8 + 1; port++)
        account(DYNAMIC_SLOT, PB_KEY(PB_SCTP, 1000 + port), 1ull << 60, 1);
    update();
}

static void test_limit(void) {
    begin(1000, 32); /* doubles with every fourth */
    for (__u32 port = 1; port <= 6; port++)
        account_port(TCP(port), 1000 + port);
    finish_read();
    is_u64(fixture.reports, 4 + 1,
           "more ports than the bar permits: as many become series as it does");
    ok(is_active(TCP(6)) && is_active(TCP(3)) && !is_active(TCP(2)), "the busiest");
    is_u64(captured.number, 1, "that the bar has risen is logged");
    ok(captured.priority[0] == LOG_NOTICE && strstr(captured.line[0], "eth0: 4 busy ports") &&
           strstr(captured.line[0], "2000 bytes") && strstr(captured.line[0], "Port") &&
           strstr(captured.line[0], "MaxPorts") && strstr(captured.line[0], "MinBytes"),
       "with the interface, the kind, the bar and the remedies");
    finish_read();
    is_u64(reported("tcp-other"), 2003, "what the others counted is in other");

    account_port(TCP(7), 2000); /* after ten seconds four are fewer */
    account(DYNAMIC_SLOT, TCP(1), 1999, 100);
    account(DYNAMIC_SLOT, TCP(2), 2000, 100);
    finish_read();
    ok(!is_active(TCP(1)) && is_active(TCP(2)),
       "a further one needs twice as many bytes in its slot");
    account_port(TCP(6), 1);
    finish_read();
    is_u64(reported("tcp-6"), 1007, "one that is a series needs none");
    is_u64(captured.number, 1, "it is logged once");
    end();
}

static void test_limit_is_of_one_interface(void) {
    struct ledger_policy policy = {.min_bytes = 0, .max_ports = 8, .idle_timeout = NEVER};
    struct pb_counters delta = {.rx_bytes = 100, .rx_packets = 1};
    struct ledger *second;

    begin(0, 16);
    if (ledger_new(&second, "eth1", &policy))
        abort();
    account_port(TCP(1), 100);
    ledger_account(second, DYNAMIC_SLOT, TCP(2), 100, &delta);
    finish_read();
    is_u64(captured.number, 0, "each interface has its own bar");
    ledger_update(second, fixture.now);
    fixture.reports = 0;
    ledger_report(second, on_report, &fixture);
    ok(reported("tcp-2") == 0 && captured.number == 1 && strstr(captured.line[0], "eth1"),
       "and the line names it");
    ledger_free(second);
    end();
}

static void test_limit_zero(void) {
    begin(0, 64);
    for (__u32 port = 1; port <= 9; port++)
        account_port(TCP(port), 1);
    finish_read();
    is_u64(fixture.reports, 8 + 1,
           "MinBytes 0: of ports that carried a byte an eighth of MaxPorts");
    account_port(TCP(102), 200);
    account_port(TCP(100), 1);
    account_port(TCP(101), 2);
    finish_read();
    ok(!is_active(TCP(100)) && is_active(TCP(101)), "then two bytes are needed");
    end();
}

static void test_limit_falls(void) {
    begin(1000, 64);
    raise_bar(2, 64);
    account(DYNAMIC_SLOT, TCP(80), 2000, 60);
    finish_read();
    ok(!is_active(TCP(80)), "half of the bar is not enough");
    fixture.now += WEEK / 2; /* while the machine was suspended, say */
    account(DYNAMIC_SLOT, TCP(80), 2001, 1);
    finish_read();
    ok(is_active(TCP(80)), "half a week later it is");
    end();
}

/* A port that was a series is one again with MinBytes: a backup at night. */
static void test_limit_record(void) {
    begin_policy(
        (struct ledger_policy){.min_bytes = 1000, .max_ports = 64, .idle_timeout = INTERVAL});
    account_port(TCP(873), 1000);
    finish_read();
    for (int reads = 0; reads < 3; reads++)
        finish_read();
    ok(!is_active(TCP(873)), "a series ends");
    raise_bar(20, 64);
    account_port(TCP(874), 1000000);
    account_port(TCP(873), 999);
    finish_read();
    ok(!is_active(TCP(874)) && !is_active(TCP(873)), "the bar rises, and MinBytes is MinBytes");
    account_port(TCP(873), 1000);
    finish_read();
    is_u64(reported("tcp-873"), 1000, "with that it returns, however high the bar");
    end();
}

/* The most names that storage ever gets, and whether the ledger knows it after a restart, too. */
static void test_limit_names(bool restart_in_between) {
    unsigned active = 0;
    const struct ledger_policy policy = {
        .min_bytes = 1000, .max_ports = 16, .idle_timeout = INTERVAL};

    begin_policy(policy);
    for (__u32 port = 1; port <= 64; port++) {
        is_u64(capture_count("no other one will"), 0, "port %u of 4 * MaxPorts", port);
        account(DYNAMIC_SLOT, TCP(port), 1ull << 62, 1000);
        finish_read();
    }
    ok(capture_count("eth0: 64 busy ports have become series, which is 4 times MaxPorts") == 1 &&
           capture_count("no other one will") == 1,
       "4 * MaxPorts ports have become series: that is logged");
    is_u64(capture_count("lately"), 1, "beside that the bar has risen");
    for (int reads = 0; reads < 3; reads++)
        finish_read(); /* all end */
    if (restart_in_between)
        restart(&policy);
    fixture.now += 1000 * WEEK;
    for (__u32 port = 65; port <= 80; port++)
        account(DYNAMIC_SLOT, TCP(port), 1ull << 62, 1000);
    for (__u32 port = 1; port <= 20; port++)
        account_port(TCP(port), 1000);
    finish_read();
    for (__u32 port = 1; port <= 80; port++)
        active += is_active(TCP(port)) == (port <= 20);
    is_u64(active, 80, "then only ports that were series become series%s",
           restart_in_between ? ", after a restart, too" : "");
    is_u64(capture_count("no other one will"), 1, "it is not logged again");
    for (__u32 port = 1; port <= 3; port++) {
        listening(TCP(100 + port));
        account_port(TCP(100 + port), 1);
    }
    finish_read();
    ok(is_active(TCP(101)) && is_active(TCP(103)), "listening ports have names of their own");
    end();
}

static void test_limit_logged_weekly(void) {
    begin(1000, 64);
    for (unsigned week = 0; week < 3; week++) {
        for (unsigned day = 0; day < 7; day++) { /* above the lowest bar, below it, above it */
            for (__u32 port = 0; port < 10; port++)
                account(DYNAMIC_SLOT, TCP(100 * week + 10 * day + port), 1ull << 62, 1000);
            update();
            fixture.now += WEEK / 7;
        }
        is_u64(capture_count("lately"), week + 1, "that the bar rose is logged once a week: %u",
               week + 1);
    }
    end();
}

/* ---- the bar: junk ---- */

/*
 * A sender of junk that knows the bar. In each interval it gives the ports that it has begun with
 * what they lack, then takes new ones.
 */
#define JUNK_PORTS 2000

struct junk {
    __u64 given[JUNK_PORTS];
    bool active[JUNK_PORTS];
    double begun; /* series, by the sender's own count */
    unsigned series;
};

static __u64 junk_needs(double begun, __u64 min_bytes, __u32 max_ports) {
    return min_bytes * (__u64)pow(2, floor(begun / (max_ports / 8.0)));
}

static void send_junk(struct junk *junk, __u64 bytes, __u64 min_bytes, __u32 max_ports) {
    double begun = junk->begun;

    for (unsigned port = 0; port < JUNK_PORTS && bytes; port++) {
        __u64 needed = junk_needs(begun, min_bytes, max_ports), part;

        if (junk->active[port] || needed <= junk->given[port])
            continue;
        part = needed - junk->given[port] < bytes ? needed - junk->given[port] : bytes;
        junk->given[port] += part;
        bytes -= part;
        account(DYNAMIC_SLOT, PB_KEY(PB_UDP, port), junk->given[port], part);
        begun += junk->given[port] == needed;
    }
    update();
    for (unsigned port = 0; port < JUNK_PORTS; port++) {
        if (junk->active[port] || !junk->given[port] || !is_active(PB_KEY(PB_UDP, port)))
            continue;
        junk->active[port] = true;
        junk->begun++;
        junk->series++;
    }
}

static void pass_time(struct junk *junk, __u64 time) {
    fixture.now += time;
    junk->begun *= pow(0.5, (double)time / (7 * 86400.0 * SECOND));
}

/* The bar of dynamic ports, by what a new one needs, which is a series then. */
static __u64 find_bar(__u64 min_bytes) {
    static __u32 probe;

    for (probe++;; min_bytes *= 2) {
        account(DYNAMIC_SLOT, PB_KEY(PB_SCTP, probe), min_bytes, 1);
        update();
        if (is_active(PB_KEY(PB_SCTP, probe)))
            return min_bytes;
    }
}

static void test_junk(void) {
    static struct junk junk;
    __u64 bar;

    begin(10000, 512);
    for (unsigned interval = 0; interval < 360; interval++) {
        send_junk(&junk, 12500000, 10000, 512);
        pass_time(&junk, INTERVAL);
    }
    bar = find_bar(10000);
    ok(junk.series >= 780 && junk.series <= 830, "an hour of 10 Mbit/s of junk makes %u series",
       junk.series);
    is_u64(bar, 40960000, "and a bar of 41 MB");
    is_u64(bar, junk_needs(junk.begun, 10000, 512), "which is what the sender reckoned");
    is_u64(capture_count("lately"), 1, "one line says that it rose");
    is_u64(captured.number, 1, "and no other");
    pass_time(&junk, WEEK);
    bar = find_bar(10000);
    is_u64(bar, 640000, "a week later it is 640 kB");
    is_u64(bar, junk_needs(junk.begun, 10000, 512), "as reckoned");
    pass_time(&junk, 8 * WEEK);
    is_u64(find_bar(10000), 10000, "two months later it is what it was before");
    end();
}

/* Without a bar, 20 kB to each port for minutes would make all of them series. */
static void test_junk_on_every_port(void) {
    unsigned reads = 0;

    begin(10000, 512);
    for (__u32 port = 0; port < PB_PORTS; port++) {
        account_port(TCP(port), 20000);
        if (port % 2184 == 2183) /* five minutes of reads */
            finish_read();
    }
    finish_read();
    ok(fixture.reports <= 130, "20 kB to every port make %u series", fixture.reports);
    do { /* a service */
        account(DYNAMIC_SLOT, PB_KEY(PB_UDP, 443), 25000000 * (reads + 1ull), 25000000);
        finish_read();
    } while (!is_active(PB_KEY(PB_UDP, 443)) && ++reads < 10);
    ok(reads < 2, "a service that begins then, with 50 MB in two reads, is one within %u",
       reads + 1);
    end();
}

static void test_junk_of_listeners(void) {
    unsigned reads = 0;

    begin(10000, 512);
    for (unsigned n = 0; n < 5; n++) {
        for (__u32 port = 0; port < 30000; port++) {
            listening(TCP(20000 + port));
            account_port(TCP(20000 + port), 60);
        }
        finish_read();
    }
    ok(fixture.reports <= 260, "30,000 listening ports with 60 bytes in each read make %u series",
       fixture.reports);
    is_u64(capture_count("256 listening ports have become series lately"), 1, "which is logged");
    do {
        for (__u32 port = 0; port < 30000; port++)
            listening(TCP(20000 + port));
        listening(TCP(5432));
        account(DYNAMIC_SLOT, TCP(5432), 25000000 * (reads + 1ull), 25000000);
        finish_read();
    } while (!is_active(TCP(5432)) && ++reads < 10);
    ok(reads < 2, "a service that listens then, with 50 MB in two reads, is one within %u",
       reads + 1);
    account(DYNAMIC_SLOT, TCP(80), 10000, 10000);
    finish_read();
    ok(is_active(TCP(80)), "the bar of dynamic ports is where it was");
    end();
}

/* ---- an interface is removed and returns ---- */

static void test_suspend(void) {
    begin(1000, 512);
    account_port(TCP(80), 5000);
    account_port(TCP(81), 7000);
    account(PB_SLOT_NONIP, PB_KEYS, 0, 101);
    finish_read();
    finish_read();
    ledger_suspend(fixture.ledger);
    finish_read();
    is_u64(fixture.reports, 0, "a suspended ledger reports nothing");
    ok(!is_active(TCP(80)), "and no port is active");

    account_port(TCP(80), 3000);
    account(PB_SLOT_NONIP, PB_KEYS, 0, 103);
    finish_read();
    ok(reported("tcp-80") == 5000 && reported("nonip") == 101,
       "when the interface returns, a series first reports its previous total");
    is_u64(reported("tcp-81"), NOT_REPORTED, "a series without traffic is not active again");
    ok(is_active(TCP(80)) && !is_active(TCP(81)), "only the port with traffic is active again");
    finish_read();
    ok(reported("tcp-80") == 8000 && reported("nonip") == 204, "then what it counted since");

    account_port(TCP(81), 999);
    finish_read();
    finish_read();
    ok(reported("tcp-81") == NOT_REPORTED && reported("tcp-other") == 999,
       "a port that returns needs MinBytes");
    account_port(TCP(81), 1000);
    finish_read();
    is_u64(reported("tcp-81"), 7000, "with MinBytes its series reports its previous total");
    finish_read();
    is_u64(reported("tcp-81"), 8000, "and continues");
    end();
}

static void test_suspend_with_deferred(void) {
    begin(0, 512);
    account_port(TCP(80), 5000);
    finish_read();
    ledger_suspend(fixture.ledger); /* 0 was reported, 5000 is deferred */
    finish_read();
    is_u64(fixture.reports, 0, "a suspended series reports nothing, deferred amounts included");
    account_port(TCP(80), 103);
    finish_read();
    finish_read();
    is_u64(reported("tcp-80"), 5103,
           "an amount that was deferred when the interface was removed is not lost");
    end();

    begin(0, 512);
    account_port(TCP(80), 5000);
    update();
    ledger_suspend(fixture.ledger); /* before its first report */
    account_port(TCP(80), 103);
    finish_read();
    is_u64(reported("tcp-80"), 0,
           "a series that was never reported first reports 0 when it returns");
    finish_read();
    is_u64(reported("tcp-80"), 5103, "then everything");
    end();
}

/* ---- selected ports ---- */

static void test_selected(void) {
    begin(10000, 512);
    ok(ledger_select(fixture.ledger, TCP(443)), "a port can be selected");
    ok(is_active(TCP(443)), "and is active at once");
    finish_read();
    is_u64(reported("tcp-443"), 0, "its series is there from the first read, at 0");
    is_u64(fixture.reports, 1, "and no other");
    for (int reads = 0; reads < 5; reads++)
        finish_read();
    is_u64(reported("tcp-443"), 0, "it stays without any traffic");
    account_port(TCP(443), 1);
    finish_read();
    is_u64(reported("tcp-443"), 1, "and needs no MinBytes");
    end();
}

static void test_selected_with_traffic(void) {
    begin(10000, 512);
    ledger_select(fixture.ledger, TCP(443));
    account_port(TCP(443), 101); /* between attaching and the first read */
    finish_read();
    is_u64(reported("tcp-443"), 0,
           "a selected port with traffic in the first read first reports 0");
    finish_read();
    is_u64(reported("tcp-443"), 101, "and its traffic at the next read");
    end();
}

static void test_selected_ignores_limits(void) {
    begin_policy(
        (struct ledger_policy){.min_bytes = 0, .max_ports = 2, .top = 1, .idle_timeout = INTERVAL});
    for (__u32 port = 1; port <= 5; port++)
        ledger_select(fixture.ledger, TCP(port));
    finish_read();
    for (int reads = 0; reads < 5; reads++)
        finish_read();
    is_u64(fixture.reports, 5,
           "neither MaxPorts nor TopPorts nor IdleTimeout ends a selected port");
    is_u64(captured.number, 0, "and no limit is logged");
    account_port(TCP(80), 1000);
    account_port(TCP(81), 900);
    finish_read();
    ok(reported("tcp-80") == 0 && reported("tcp-81") == NOT_REPORTED,
       "it does not count against TopPorts");
    end();
}

static void test_selected_again(void) {
    begin(0, 512);
    account_port(TCP(80), 1000);
    finish_read();
    finish_read();
    ledger_suspend(fixture.ledger);
    ledger_select(fixture.ledger, TCP(80)); /* as the plugin does whenever the interface returns */
    account_port(TCP(80), 103);
    finish_read();
    is_u64(reported("tcp-80"), 1000,
           "a selected port that returns first reports its previous total");
    finish_read();
    is_u64(reported("tcp-80"), 1103, "then what it counted since");
    end();
}

/* ---- listening ports ---- */

#define TIMEOUT (6 * INTERVAL)

static void begin_timeout(__u32 max_ports) {
    begin_policy((struct ledger_policy){
        .min_bytes = 10000, .max_ports = max_ports, .idle_timeout = TIMEOUT});
}

static void test_listening(void) {
    begin_timeout(512);
    for (int reads = 0; reads < 3; reads++) {
        listening(TCP(22));
        finish_read();
    }
    ok(fixture.reports == 0 && !is_active(TCP(22)),
       "a listening port without a packet is no series");
    listening(TCP(22));
    account_port(TCP(22), 1);
    finish_read();
    is_u64(reported("tcp-22"), 0, "with its first packet it is, at 0");
    ok(is_active(TCP(22)), "and active");
    for (int reads = 0; reads < 20; reads++) {
        listening(TCP(22));
        finish_read();
    }
    is_u64(reported("tcp-22"), 1, "it stays while it listens, without any traffic");
    listening(TCP(22));
    account_port(TCP(22), 1);
    finish_read();
    is_u64(reported("tcp-22"), 2, "and needs no MinBytes");
    end();
}

/* A packet without bytes is one. */
static void test_listening_first_packet(void) {
    const struct pb_counters packet = {.tx_packets = 1};

    begin_timeout(512);
    listening(TCP(22));
    ledger_account(fixture.ledger, DYNAMIC_SLOT, TCP(22), 0, &packet);
    account_port(TCP(23), 9999);
    finish_read();
    ok(is_active(TCP(22)) && !is_active(TCP(23)), "a packet makes a listening port a series");
    ledger_set_listeners(fixture.ledger, NULL, NULL);
    listening(TCP(24));
    account_port(TCP(24), 1);
    finish_read();
    ok(!is_active(TCP(24)), "while nobody knows who listens, it makes none");
    end();
}

static void test_socket_closed(void) {
    int reads = 0;

    begin_timeout(512);
    listening(TCP(22));
    account_port(TCP(22), 101);
    finish_read();
    do { /* the socket is closed */
        account_port(TCP(22), 1);
        finish_read();
        reads++;
    } while (reported("tcp-22") != NOT_REPORTED && reads < 100);
    is_u64(reads, TIMEOUT / INTERVAL,
           "the series ends IdleTimeout after the socket was closed, whatever it carries");
    ok(!is_active(TCP(22)), "and its port is not active");

    account_port(TCP(22), 9999);
    finish_read();
    ok(!is_active(TCP(22)), "without a socket it needs MinBytes to return");
    raise_bar(20, 512);
    listening(TCP(22));
    account_port(TCP(22), 1);
    finish_read();
    is_u64(reported("tcp-22"), 101 + TIMEOUT / INTERVAL - 1,
           "when it listens again it returns with its first packet, and its previous total");
    listening(TCP(22));
    finish_read();
    is_u64(reported("tcp-22"), 102 + TIMEOUT / INTERVAL - 1, "and continues");
    end();
}

static void test_socket_closed_but_busy(void) {
    begin_timeout(512);
    listening(TCP(22));
    account_port(TCP(22), 100);
    finish_read();
    for (int reads = 0; reads < 20; reads++) {
        account(DYNAMIC_SLOT, TCP(22), 20000, 100); /* a slot that it has had for long */
        finish_read();
    }
    finish_read();
    is_u64(reported("tcp-22") + reported("tcp-other"), 2100,
           "a busy port without its socket is treated like any busy port");
    is_u64(reported("tcp-other"), 100,
           "what it counted in the read that ended its series is in other");
    for (int reads = 0; reads < 6; reads++)
        finish_read();
    is_u64(reported("tcp-22"), NOT_REPORTED, "it ends like any, IdleTimeout after its last packet");
    end();
}

/* Without dynamic ports, what a slot has counted that is still the port's makes none. */
static void test_socket_closed_no_dynamic(void) {
    begin_policy((struct ledger_policy){
        .min_bytes = 1000, .max_ports = 512, .no_dynamic = true, .idle_timeout = INTERVAL});
    listening(TCP(22));
    account_port(TCP(22), 5000);
    account_port(TCP(23), 5000);
    finish_read();
    ok(is_active(TCP(22)) && !is_active(TCP(23)), "DynamicPorts false: only listening ports");
    finish_read();
    account(DYNAMIC_SLOT, TCP(22), 5100, 100);
    finish_read();
    account(DYNAMIC_SLOT, TCP(22), 5200, 100);
    finish_read();
    ok(!is_active(TCP(22)), "DynamicPorts false: nor does one return that has listened");
    listening(TCP(22));
    account(DYNAMIC_SLOT, TCP(22), 5201, 1);
    finish_read();
    is_u64(reported("tcp-22"), 5000, "DynamicPorts false: until it listens again");
    end();
}

static void test_busy_port_listens(void) {
    begin_timeout(512);
    account_port(TCP(80), 10000);
    finish_read();
    for (int reads = 0; reads < 20; reads++) {
        listening(TCP(80));
        finish_read();
    }
    is_u64(reported("tcp-80"), 10000, "a busy port that starts to listen stays, with its total");
    end();
}

static void test_listening_limit(void) {
    begin_timeout(16);
    for (__u32 port = 1; port <= 9; port++) {
        listening(TCP(port));
        account_port(TCP(port), 100 - port);
    }
    finish_read();
    ok(is_active(TCP(1)) && is_active(TCP(8)) && !is_active(TCP(9)),
       "until half of MaxPorts, a packet is enough for a listening port");
    is_u64(captured.number, 1, "then it is logged");
    fixture.now -= INTERVAL; /* half of MaxPorts, a moment later, is less */
    ok(strstr(captured.line[0], "8 listening ports") && strstr(captured.line[0], " 160000 bytes") &&
           strstr(captured.line[0], "MaxPorts"),
       "with the kind, the bar and the remedy");
    listening(TCP(9));
    listening(TCP(10));
    account(DYNAMIC_SLOT, TCP(9), 159999, 1);
    account(DYNAMIC_SLOT, TCP(10), 160000, 1);
    listening(TCP(3));
    account_port(TCP(3), 1);
    finish_read();
    ok(!is_active(TCP(9)) && is_active(TCP(10)), "from there it needs what the bar says");
    is_u64(reported("tcp-3"), 98, "one that is a series does not");
    account_port(TCP(11), 10000);
    finish_read();
    ok(is_active(TCP(11)), "the bar of busy ports is another one");
    raise_bar(1, 16);
    is_u64(captured.number, 2, "which is logged separately");
    ok(ledger_select(fixture.ledger, TCP(9)), "a selected port is not limited");
    end();
}

/* Ports that nobody told apart from a client's a minute ago. */
static void test_listening_limit_falls(void) {
    begin_timeout(512);
    for (__u32 port = 1; port <= 300; port++) {
        listening(TCP(port));
        account_port(TCP(port), 1);
    }
    finish_read();
    is_u64(fixture.reports, 256 + 1, "256 of 300 listening ports with a packet are series");
    fixture.now += WEEK / 512; /* 20 minutes; 0.35 of 256 are forgotten */
    listening(TCP(300));
    account_port(TCP(300), 1);
    finish_read();
    ok(is_active(TCP(300)), "and one more soon");
    end();
}

/* ---- series that end ---- */

static void test_idle(void) {
    int reads = 0;

    begin_timeout(512);
    account_port(TCP(80), 10000);
    account_port(TCP(81), 20000);
    account(PB_SLOT_NONIP, PB_KEYS, 0, 1);
    finish_read();
    do {
        account_port(TCP(81), 1);
        finish_read();
        reads++;
    } while (reported("tcp-80") != NOT_REPORTED && reads < 100);
    is_u64(reads, TIMEOUT / INTERVAL, "a busy port ends IdleTimeout after its last packet");
    ok(!is_active(TCP(80)), "and is not active");
    ok(reported("tcp-81") == 20000 + TIMEOUT / INTERVAL && is_active(TCP(81)),
       "one with a packet in each interval does not end");
    is_u64(reported("nonip"), 1, "buckets never end");
    account_port(TCP(80), 9999);
    finish_read();
    is_u64(reported("tcp-80"), NOT_REPORTED, "a port that ended needs MinBytes again");
    account_port(TCP(80), 10001);
    finish_read();
    is_u64(reported("tcp-80"), 10000, "then it first reports its previous total");
    finish_read();
    ok(reported("tcp-80") == 20001 && reported("tcp-other") == 9999,
       "and continues; what it counted below MinBytes is in other");
    end();
}

/* Of another time namespace, say. */
static void test_idle_clock_back(void) {
    int reads = 0;

    begin_timeout(512);
    account_port(TCP(80), 10000);
    finish_read();
    finish_read();
    finish_read();
    fixture.now = 10;
    do {
        finish_read();
        reads++;
    } while (is_active(TCP(80)) && reads < 100);
    is_u64(reads, TIMEOUT / INTERVAL + 1, "when the clock goes back, IdleTimeout begins anew");
    end();
}

/* An IdleTimeout below the interval is allowed: a series reports all it counted before it ends. */
static void test_idle_at_once(void) {
    begin_policy(
        (struct ledger_policy){.min_bytes = 0, .max_ports = 512, .idle_timeout = INTERVAL / 10});
    account_port(TCP(80), 10000);
    finish_read();
    is_u64(reported("tcp-80"), 0,
           "with an IdleTimeout below the interval a series starts like any");
    finish_read();
    is_u64(reported("tcp-80"), 10000, "and reports what it counted before it ends");
    finish_read();
    is_u64(reported("tcp-80"), NOT_REPORTED, "then it ends");
    end();
}

/* ---- TopPorts ---- */

static void begin_top(__u32 top, __u32 max_ports) {
    begin_policy((struct ledger_policy){
        .min_bytes = 1000, .max_ports = max_ports, .top = top, .idle_timeout = NEVER});
}

static void test_top(void) {
    begin_top(2, 512);
    account_port(TCP(1), 1000);
    account_port(TCP(2), 3000);
    account_port(TCP(3), 2000);
    finish_read();
    ok(reported("tcp-2") == 0 && reported("tcp-3") == 0 && reported("tcp-1") == NOT_REPORTED,
       "TopPorts 2: the two busiest of three ports are series");
    ok(is_active(TCP(2)) && !is_active(TCP(1)), "only they are active");
    account_port(TCP(2), 3000);
    account_port(TCP(3), 2000);
    finish_read();
    is_u64(reported("tcp-other"), 1000, "the third is in other");

    account_port(TCP(2), 3000);
    account_port(TCP(3), 2000);
    account_port(TCP(4), 4000);
    finish_read();
    ok(reported("tcp-4") == NOT_REPORTED && reported("tcp-3") == 6000,
       "a port exactly twice as busy as the weakest series does not replace it");
    account_port(TCP(2), 3000);
    account_port(TCP(3), 2000);
    account_port(TCP(4), 4002);
    finish_read();
    ok(reported("tcp-4") == 0 && reported("tcp-3") == NOT_REPORTED && reported("tcp-2") == 12000,
       "a port more than twice as busy does");
    ok(is_active(TCP(4)) && !is_active(TCP(3)), "and is active instead");
    finish_read();
    ok(reported("tcp-4") == 4002 && reported("tcp-other") == 1000 + 4000 + 2000,
       "what the weakest counted in that read is in other");
    is_u64(captured.number, 0, "TopPorts is not a limit that is logged");
    end();
}

static void test_top_return(void) {
    begin_top(1, 512);
    account_port(TCP(1), 1000);
    finish_read();
    finish_read();
    account_port(TCP(2), 5000);
    finish_read();
    ok(reported("tcp-1") == NOT_REPORTED && reported("tcp-2") == 0, "a series is evicted");
    for (int reads = 0; reads < 20; reads++)
        finish_read();
    account_port(TCP(1), 4000);
    finish_read();
    is_u64(reported("tcp-1"), 1000, "busy again, it returns with its previous total");
    finish_read();
    is_u64(reported("tcp-1"), 5000, "and continues");
    end();
}

static void test_top_pause(void) {
    begin_top(1, 512);
    for (int reads = 0; reads < 3; reads++) {
        account_port(TCP(1), 100000);
        finish_read();
    }
    account_port(TCP(2), 20000); /* while port 1 pauses */
    finish_read();
    is_u64(reported("tcp-1"), 300000, "a series that pauses for one read is not evicted");
    for (int reads = 0; reads < 20; reads++) {
        account_port(TCP(2), 20000);
        finish_read();
    }
    ok(reported("tcp-1") == NOT_REPORTED && reported("tcp-2") != NOT_REPORTED,
       "one that pauses for long is");
    end();
}

/* A series is not evicted before it has reported what it counted in its first read. */
static void test_top_evicts_newcomer(void) {
    begin_top(1, 512);
    account_port(TCP(1), 1000);
    finish_read();
    is_u64(reported("tcp-1"), 0, "a series becomes active");
    account_port(TCP(2), 5000);
    finish_read();
    is_u64(reported("tcp-1"), 1000, "what it counted is reported, however busy another port is");
    account_port(TCP(2), 7000);
    finish_read();
    ok(!is_active(TCP(1)) && reported("tcp-1") == NOT_REPORTED, "then it is evicted");
    finish_read();
    is_u64(reported("tcp-2"), 7000, "the other port continues");
    is_u64(reported("tcp-other"), 5000, "what that counted before is in other");
    end();
}

/* Only a port that may become a series evicts another. */
static void test_top_and_limit(void) {
    begin_top(3, 16);
    raise_bar(1, 16);
    finish_read();
    finish_read();
    account(DYNAMIC_SLOT, TCP(3), 1999, 1999);
    account(DYNAMIC_SLOT, TCP(4), 1999, 50000);
    finish_read();
    ok(reported("tcp-3") == NOT_REPORTED && reported("tcp-4") == NOT_REPORTED,
       "below the bar no port becomes a series");
    ok(is_active(PB_KEY(PB_SCTP, 1000)) && is_active(PB_KEY(PB_SCTP, 1001)),
       "and none is evicted for it");
    end();
}

/* TopPorts was lowered, and collectd restarted. */
static void test_top_lowered(void) {
    struct ledger_policy policy = {
        .min_bytes = 1000, .max_ports = 512, .top = 10, .idle_timeout = NEVER};
    void *saved = malloc(ledger_saved_size(&policy));

    begin_policy(policy);
    for (__u32 port = 1; port <= 10; port++)
        account_port(TCP(port), 1000 * port);
    listening(TCP(22));
    account_port(TCP(22), 1);
    finish_read();
    finish_read();
    update();
    ledger_save(fixture.ledger, saved);
    end();
    policy.top = 2;
    begin_policy(policy);
    ledger_restore(fixture.ledger, saved);
    finish_read();
    is_u64(fixture.reports, 11, "TopPorts lowered: each series is reported once after the restart");
    account_port(TCP(1), 1500);
    listening(TCP(22));
    finish_read();
    ok(fixture.reports == 4 && is_active(TCP(9)) && is_active(TCP(10)) && is_active(TCP(22)),
       "TopPorts lowered: then the busiest stay, and what listens");
    finish_read();
    ok(reported("tcp-10") == 10000 && reported("tcp-other") == 1500,
       "TopPorts lowered: of the others nothing is lost");
    account_port(TCP(5), 1000000);
    finish_read();
    ok(is_active(TCP(5)) && is_active(TCP(10)) && !is_active(TCP(9)),
       "TopPorts lowered: who is busier takes a place");
    end();
    free(saved);
}

static void test_top_counts_busy_only(void) {
    begin_top(1, 512);
    ledger_select(fixture.ledger, TCP(443));
    listening(TCP(22));
    account_port(TCP(22), 1);
    account_port(TCP(1), 1000);
    finish_read();
    ok(reported("tcp-1") == 0 && reported("tcp-443") == 0 && reported("tcp-22") == 0,
       "selected and listening ports do not count against TopPorts");
    finish_read();
    account_port(TCP(2), 5000);
    finish_read();
    ok(reported("tcp-1") == NOT_REPORTED && reported("tcp-2") == 0 && reported("tcp-443") == 0 &&
           reported("tcp-22") == 1,
       "and are never evicted");
    end();
}

/* ---- ended from outside ---- */

static void test_busy(void) {
    begin(0, 512);
    ledger_select(fixture.ledger, TCP(443));
    listening(TCP(22));
    account_port(TCP(22), 1);
    account_port(TCP(1), 1000);
    account_port(TCP(2), 3000);
    finish_read();
    ok(busy_of(TCP(443)) == LEDGER_BUSY_MAX && busy_of(TCP(22)) == LEDGER_BUSY_MAX,
       "selected and listening ports are busy in any case");
    ok(busy_of(TCP(1)) == 1000 && busy_of(TCP(2)) == 3000, "others by what they counted");
    finish_read();
    ok(busy_of(TCP(2)) > 2000 && busy_of(TCP(2)) < 3000, "which falls slowly");
    listening(TCP(2));
    finish_read();
    is_u64(busy_of(TCP(2)), LEDGER_BUSY_MAX, "one that listens is busy in any case, too");
    end();
}

static void test_end(void) {
    begin(0, 512);
    account_port(TCP(1), 100);
    account_port(TCP(2), 200);
    finish_read();
    finish_read();
    finish_read();
    account_port(TCP(1), 300);
    update();
    ledger_end(fixture.ledger, TCP(1));
    report_all();
    is_u64(reported("tcp-1"), 400, "a series that is to end reports what it has counted");
    account_port(TCP(1), 500);
    account_port(TCP(2), 600);
    finish_read();
    ok(reported("tcp-1") == NOT_REPORTED && !is_active(TCP(1)), "with the next read it ends");
    is_u64(reported("tcp-2"), 800, "and no other does");
    is_u64(reported("tcp-other"), 0, "what that read brought is in other");
    finish_read();
    is_u64(reported("tcp-other"), 500, "exactly");
    ledger_end(fixture.ledger, TCP(1)); /* it has ended already */
    finish_read();
    account_port(TCP(1), 700);
    finish_read();
    is_u64(reported("tcp-1"), 400, "it can return, and continues with its total");
    finish_read();
    is_u64(reported("tcp-1"), 1100, "with what it counted then");
    finish_read();
    ok(is_active(TCP(1)), "and is not to end any more");
    end();
}

static void test_end_unreported(void) {
    begin(0, 512);
    account_port(TCP(1), 100);
    update();
    ledger_end(fixture.ledger, TCP(1)); /* it has just begun */
    report_all();
    ok(reported("tcp-1") == 0, "a new series that is to end reports 0 first");
    finish_read();
    is_u64(reported("tcp-1"), 100, "then what it has counted");
    finish_read();
    is_u64(reported("tcp-1"), NOT_REPORTED, "then it ends");
    end();
}

static void test_end_others(void) {
    begin(0, 512);
    ledger_select(fixture.ledger, TCP(443));
    listening(TCP(22));
    account_port(TCP(22), 1);
    account_port(TCP(1), 100);
    account_port(TCP(2), 100);
    finish_read();
    finish_read();
    ledger_end(fixture.ledger, TCP(443));
    ledger_end(fixture.ledger, TCP(22));
    ledger_end(fixture.ledger, TCP(999));
    ledger_end(fixture.ledger, TCP(2));
    listening(TCP(2));
    finish_read();
    finish_read();
    ok(is_active(TCP(443)) && is_active(TCP(22)), "selected and listening ports do not end");
    ok(is_active(TCP(2)), "nor does one that listens by then");
    ok(!is_active(TCP(999)), "one without a series is not concerned");
    end();
}

/* ---- what is saved, and memory ---- */

static void test_restore(void) {
    static const struct ledger_policy policy = {.max_ports = 24, .idle_timeout = NEVER};

    begin_policy(policy);
    account(PB_SLOT_NONIP, 0, 0, 100);
    account(PB_SLOT_IP(1), 0, 0, 200);
    for (__u32 port = 1; port <= 5; port++)
        account(DYNAMIC_SLOT, TCP(port), 1, 1000 * port);
    finish_read();
    account_port(TCP(5), 7);
    update();
    restart(&policy);
    finish_read();
    finish_read();
    ok(fixture.reports == 6 && reported("nonip") == 100 && reported("ip-icmp") == 200,
       "a restored ledger has the fixed series");
    ok(reported("tcp-5") == 5007 && reported("tcp-4") == 4000 && reported("tcp-3") == 3000 &&
           reported("tcp-other") == 3000,
       "and those of ports");
    account_port(TCP(5), 1);
    account(DYNAMIC_SLOT, TCP(1), 0, 1000);
    account(PB_SLOT_IP(1), 0, 0, 1);
    account(PB_SLOT_IP(2), 0, 0, 3);
    finish_read();
    finish_read();
    ok(reported("tcp-5") == 5008 && reported("ip-icmp") == 201 && reported("ip-igmp") == 3 &&
           reported("tcp-other") == 4000 && fixture.reports == 7,
       "which continue, below the bar where it was");
    is_u64(captured.number, 1, "which is not logged again");
    end();
}

static void test_restore_bar(void) {
    static const struct ledger_policy policy = {
        .min_bytes = 1000, .max_ports = 64, .idle_timeout = NEVER};

    begin_policy(policy);
    raise_bar(4, 64);
    for (__u32 port = 1; port <= 40; port++) {
        listening(TCP(port));
        account(DYNAMIC_SLOT, TCP(port), 1ull << 60, 1);
    }
    finish_read();
    restart(&policy);
    listening(TCP(100));
    account(DYNAMIC_SLOT, TCP(100), 15999, 1);
    account(DYNAMIC_SLOT, TCP(101), 15999, 1);
    finish_read();
    ok(!is_active(TCP(100)) && !is_active(TCP(101)),
       "after a restart the bars are where they were");
    fixture.now += WEEK / 2; /* without a daemon */
    restart(&policy);
    listening(TCP(100));
    account(DYNAMIC_SLOT, TCP(100), 1, 1);
    account(DYNAMIC_SLOT, TCP(101), 4000, 1);
    finish_read();
    ok(is_active(TCP(100)) && is_active(TCP(101)), "and fall with the time until the next one");
    end();
}

/* More active ones than are saved with all that there is to them. at_once: when they have begun. */
static void test_restore_many(bool at_once) {
    static const struct ledger_policy policy = {
        .min_bytes = 1000, .max_ports = 128, .idle_timeout = TIMEOUT};
    const char *when = at_once ? "in the read in which all began" : "later";
    unsigned wrong = 0;

    begin_policy(policy);
    for (__u32 port = 0; port < 1024; port++) {
        __u32 key = TCP(1000 + port);

        if (port % 2)
            listening(key);
        account(DYNAMIC_SLOT, key, 1ull << 62, 1000 + port);
    }
    if (at_once) {
        update();
    } else {
        finish_read();
        is_u64(fixture.reports, 1024,
               "4 * MaxPorts dynamic ports and as many listening ones are series");
        finish_read();
        update();
    }
    restart(&policy);
    finish_read();
    for (__u32 port = 0; port < 1024; port++)
        account(DYNAMIC_SLOT, TCP(1000 + port), 1000, 3);
    finish_read();
    finish_read();
    is_u64(fixture.reports, 1024, "after a restart %s all are there", when);
    for (__u32 port = 0; port < 1024; port++) {
        char name[SERIES_NAME_SIZE];

        snprintf(name, sizeof(name), "tcp-%u", 1000 + port);
        wrong += reported(name) != 1003 + port;
    }
    is_u64(wrong, 0, "with their totals");
    end();
}

static void test_saved_size(void) {
    size_t size = ledger_saved_size(&(struct ledger_policy){.max_ports = 512});

    ok(size < 240000, "with MaxPorts 512 the state takes 240 kB");
    diag("%zu bytes, %zu with MaxPorts 32768", size,
         ledger_saved_size(&(struct ledger_policy){.max_ports = 32768}));
}

/* ---- groups ---- */

static const char *const groups[] = {"group-rtp", "group-turn"};

static void test_groups(void) {
    static const struct ledger_policy policy = {.min_bytes = 1000,
                                                .max_ports = 16,
                                                .top = 1,
                                                .idle_timeout = INTERVAL,
                                                .selected = 3,
                                                .groups = 2,
                                                .group = groups};

    begin_policy(policy);
    ok(ledger_select(fixture.ledger, PB_KEYS) && ledger_select(fixture.ledger, PB_KEYS + 1) &&
           ledger_select(fixture.ledger, TCP(443)),
       "groups can be selected");
    finish_read();
    ok(fixture.reports == 3 && reported("group-rtp") == 0 && reported("group-turn") == 0,
       "a group's series is there from the first read, at 0");
    for (int reads = 0; reads < 5; reads++)
        finish_read();
    account(DYNAMIC_SLOT, PB_KEYS, 1, 1);
    account(DYNAMIC_SLOT + 1, PB_KEYS + 1, 5000, 103);
    account_port(TCP(80), 1000);
    finish_read();
    ok(reported("group-rtp") == 1 && reported("group-turn") == 103 && fixture.reports == 4,
       "it stays, is exact, and has no part in the limits");
    ok(!is_active(PB_KEYS) && is_active(TCP(443)), "it is no port");
    ledger_end(fixture.ledger, PB_KEYS);
    ledger_end(fixture.ledger, PB_KEYS + 2);
    finish_read();
    is_u64(reported("group-rtp"), 1, "and is not ended");
    ledger_suspend(fixture.ledger);
    finish_read();
    is_u64(fixture.reports, 0, "it ends with the interface");
    account(DYNAMIC_SLOT, PB_KEYS, 1, 10);
    finish_read();
    is_u64(reported("group-rtp"), 1, "what it counts then is its own, too");
    ledger_select(fixture.ledger, PB_KEYS + 1);
    update();
    restart(&policy);
    account(DYNAMIC_SLOT, PB_KEYS, 1, 100);
    account(DYNAMIC_SLOT, PB_KEYS + 1, 1, 1000);
    account(DYNAMIC_SLOT, TCP(443), 1, 5);
    finish_read();
    finish_read();
    ok(reported("group-rtp") == 111 && reported("group-turn") == 1103,
       "after a restart each has its total");
    end();
}

static long resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long size, resident = 0;

    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        abort();
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

#define MANY 200

static void test_memory(void) {
    static struct ledger *ledgers[MANY];
    long before;

    begin(0, 512);
    before = resident_bytes();
    for (unsigned i = 0; i < MANY; i++) {
        const struct pb_counters delta = {.rx_bytes = 100, .rx_packets = 1};

        if (ledger_new(&ledgers[i], "eth0", &(struct ledger_policy){.max_ports = 512}))
            abort();
        ledger_account(ledgers[i], PB_SLOT_OTHER(PB_TCP), PB_KEYS, 0, &delta);
        ledger_account(ledgers[i], DYNAMIC_SLOT, TCP(i), 100, &delta);
        ledger_update(ledgers[i], 1);
        fixture.reports = 0;
        ledger_report(ledgers[i], on_report, &fixture);
        ledger_suspend(ledgers[i]);
    }
    ok(resident_bytes() - before < MANY * 16384l,
       "a ledger takes memory for the series that it has only");
    diag("%ld bytes each", (resident_bytes() - before) / MANY);
    for (unsigned i = 0; i < MANY; i++)
        ledger_free(ledgers[i]);
    end();
}

static void test_key_index(void) {
    struct key_index index = {0};
    unsigned wrong = 0;

    for (__u32 key = 0; key < PB_PORT_KEYS; key += 3)
        wrong += key_index_get(&index, key) != 0 || key_index_add(&index, key, key + 1) != 0;
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        wrong += key_index_get(&index, key) != (key % 3 ? 0 : key + 1);
    is_u64(wrong, 0, "an index by key has exactly what was added, for a third of all ports");
    ok(index.used == PB_PORT_KEYS / 3 && 1u << index.bits < 4 * index.used,
       "and its size grows with it");
    key_index_clear(&index);
    is_u64(key_index_get(&index, 0), 0, "it can be cleared");
}

/* ---- any sequence, against a model ---- */

/*
 * The model has no deferred amounts and no order of work. For each series it remembers what was
 * credited up to the previous read and in this one. A series that became active in this read
 * reports the former, else the sum.
 */
#define MODEL_PORTS 60

struct model_series {
    struct pb_counters before, now;
    bool active, activated, exists;
};

struct model_candidate {
    __u32 port;
    __u64 slot_bytes;
    bool listening;
    struct pb_counters delta;
};

struct model {
    struct model_series port[MODEL_PORTS];
    struct model_series fixed[PB_FIXED_SLOTS];
    struct model_candidate candidate[256];
    unsigned candidates;
    __u64 min_bytes;
    __u32 max_ports;
    struct model_kind {
        double begun; /* lately */
        __u32 names;  /* how many there ever were */
        __u32 lines;  /* logged */
        bool raised;
    } dynamic, listening;
    bool listens[MODEL_PORTS]; /* in this read */
    struct pb_counters all;
};

static __u32 model_key(__u32 port) {
    return PB_KEY(port % PB_TRANSPORTS, port < 3 ? 65535 : port * 7);
}

static void add(struct pb_counters *to, const struct pb_counters *more) {
    to->rx_bytes += more->rx_bytes;
    to->rx_packets += more->rx_packets;
    to->tx_bytes += more->tx_bytes;
    to->tx_packets += more->tx_packets;
}

static __u64 bytes_of(const struct pb_counters *counters) {
    return counters->rx_bytes + counters->tx_bytes;
}

static void model_credit(struct model_series *series, const struct pb_counters *delta) {
    add(&series->now, delta);
    series->activated |= !series->active;
    series->active = series->exists = true;
}

/* A series becomes active without traffic. */
static void model_activate(struct model_series *series) {
    series->activated |= !series->active;
    series->active = series->exists = true;
}

static struct model_series *model_other(struct model *model, __u32 port) {
    return &model->fixed[PB_SLOT_OTHER(model_key(port) / PB_PORTS)];
}

static void model_account(struct model *model, __u32 port, __u64 slot_bytes,
                          const struct pb_counters *delta) {
    if (model->port[port].active)
        model_credit(&model->port[port], delta);
    else if (slot_bytes < model->min_bytes && !model->listens[port])
        model_credit(model_other(model, port), delta);
    else
        model->candidate[model->candidates++] =
            (struct model_candidate){.port = port,
                                     .slot_bytes = slot_bytes,
                                     .listening = model->listens[port],
                                     .delta = *delta};
}

/* In floating point throughout, so that nothing has to be saturated. */
static double model_bar(const struct model *model, const struct model_kind *kind) {
    double bytes = model->min_bytes ? (double)model->min_bytes : 1;

    if (kind == &model->listening && kind->begun < model->max_ports / 2.0)
        return 0;
    return bytes * pow(2, floor(8 * kind->begun / model->max_ports));
}

static bool model_begins(struct model *model, const struct model_candidate *candidate) {
    struct model_kind *kind = candidate->listening ? &model->listening : &model->dynamic;
    __u64 lowest = model->min_bytes ? model->min_bytes : 1;

    if (model->port[candidate->port].exists)
        return candidate->listening || candidate->slot_bytes >= model->min_bytes;
    if (kind->names == 4 * model->max_ports ||
        (double)candidate->slot_bytes < model_bar(model, kind))
        return false;
    kind->begun++;
    kind->names++;
    kind->lines += kind->names == 4 * model->max_ports;
    if (!kind->raised && model_bar(model, kind) > (double)lowest) {
        kind->raised = true; /* a life is shorter than a week */
        kind->lines++;
    }
    return true;
}

/* Picks the busiest again and again: slow, but obvious. */
static void model_update(struct model *model) {
    while (model->candidates) {
        unsigned index = 0;
        struct model_candidate busiest;

        for (unsigned i = 1; i < model->candidates; i++)
            if (bytes_of(&model->candidate[i].delta) > bytes_of(&model->candidate[index].delta))
                index = i;
        busiest = model->candidate[index];
        model->candidate[index] = model->candidate[--model->candidates];
        if (model->port[busiest.port].active || model_begins(model, &busiest))
            model_credit(&model->port[busiest.port], &busiest.delta);
        else
            model_credit(model_other(model, busiest.port), &busiest.delta);
    }
}

static struct pb_counters model_report(const struct model_series *series) {
    struct pb_counters report = series->before;

    if (!series->activated)
        add(&report, &series->now);
    return report;
}

static void model_next(struct model_series *series) {
    add(&series->before, &series->now);
    series->now = (struct pb_counters){0};
    series->activated = false;
}

struct result {
    __u32 reads, raised, full;
    __u32 missing, extra, wrong, falls, active_wrong, total_wrong, end_wrong;
    __u32 lines_wrong;
};

/* The life of one ledger. */
struct life {
    struct random random;
    struct model model;
    /* The last report of each series. */
    struct report last_port[MODEL_PORTS], last_fixed[PB_FIXED_SLOTS];
    bool quiet_read; /* a read without packets precedes each ledger_suspend, as in the plugin */
    __u32 serial;
};

static bool is_less(const struct pb_counters *a, const struct pb_counters *b) {
    return a->rx_bytes < b->rx_bytes || a->rx_packets < b->rx_packets ||
           a->tx_bytes < b->tx_bytes || a->tx_packets < b->tx_packets;
}

/* Compares one series with its report. Returns the number of reports that this explains. */
static unsigned check_series(struct result *result, const struct model_series *series,
                             const char *name, struct report *last, struct pb_counters *sum) {
    struct pb_counters expected = model_report(series);
    const struct report *found = NULL;

    for (unsigned i = 0; i < fixture.reports; i++)
        if (!strcmp(fixture.report[i].instance, name))
            found = &fixture.report[i];
    result->missing += series->active && !found;
    result->extra += !series->active && found;
    if (found) {
        result->wrong += memcmp(&found->total, &expected, sizeof(expected)) != 0;
        result->falls += is_less(&found->total, &last->total);
        *last = *found;
    }
    add(sum, &last->total);
    if (series->activated)
        add(sum, &series->now); /* deferred */
    return found != NULL;
}

static void check_all(struct result *result, struct life *life) {
    static const char *const transports[] = {"tcp", "udp", "sctp"};
    struct pb_counters sum = {0};
    unsigned reports = 0;
    char name[SERIES_NAME_SIZE];

    for (__u32 port = 0; port < MODEL_PORTS; port++) {
        __u32 key = model_key(port);

        snprintf(name, sizeof(name), "%s-%u", transports[key / PB_PORTS], key % PB_PORTS);
        reports +=
            check_series(result, &life->model.port[port], name, &life->last_port[port], &sum);
        result->active_wrong += is_active(key) != life->model.port[port].active;
    }
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++) {
        series_name(name, slot, PB_KEYS);
        reports +=
            check_series(result, &life->model.fixed[slot], name, &life->last_fixed[slot], &sum);
    }
    result->extra += reports != fixture.reports; /* or one is reported twice */
    /* Without the quiet read suspended series may have deferred amounts. */
    result->total_wrong += life->quiet_read && memcmp(&sum, &life->model.all, sizeof(sum)) != 0;
    result->reads++;
}

/* No two are equal, so that "the busiest" is well defined. */
static struct pb_counters random_delta(struct life *life) {
    struct random *random = &life->random;
    __u32 size = random_below(random, random_once_in(random, 3) ? 40 : 4) * 65536 + life->serial++;
    __u32 sent = random_below(random, size + 1);

    return (struct pb_counters){size - sent, random_below(random, 9), sent,
                                random_below(random, 9) + 1};
}

static void life_account_fixed(struct life *life, __u32 slot) {
    struct pb_counters delta = random_delta(life);

    add(&life->model.all, &delta);
    ledger_account(fixture.ledger, slot, PB_KEYS, 0, &delta);
    model_credit(&life->model.fixed[slot], &delta);
}

static void life_account_port(struct life *life, __u32 port, __u64 more_slot_bytes) {
    struct pb_counters delta = random_delta(life);
    __u64 slot_bytes = bytes_of(&delta) + more_slot_bytes;

    if (life->model.min_bytes && random_once_in(&life->random, 10))
        slot_bytes = life->model.min_bytes - random_below(&life->random, 2); /* the edge */
    if (random_once_in(&life->random, 10))
        slot_bytes = (__u64)fmin(model_bar(&life->model, &life->model.dynamic), 1e18) -
                     random_below(&life->random, 2);
    if (random_once_in(&life->random, 10))
        slot_bytes = 1ull << 62;
    add(&life->model.all, &delta);
    ledger_account(fixture.ledger, DYNAMIC_SLOT + port, model_key(port), slot_bytes, &delta);
    model_account(&life->model, port, slot_bytes, &delta);
}

static void life_select(struct life *life, __u32 port) {
    ledger_select(fixture.ledger, model_key(port));
    model_activate(&life->model.port[port]);
}

static void life_listen(struct life *life, __u32 port) {
    listening(model_key(port));
    life->model.listens[port] = true;
}

/* The end of a read, and the model's step to the next one. */
static void life_read(struct result *result, struct life *life) {
    model_update(&life->model);
    finish_read();
    check_all(result, life);
    memset(life->model.listens, 0, sizeof(life->model.listens));
    life->model.dynamic.begun *= pow(0.5, 10 / (7 * 86400.0));
    life->model.listening.begun *= pow(0.5, 10 / (7 * 86400.0));
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        model_next(&life->model.port[port]);
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        model_next(&life->model.fixed[slot]);
}

static void life_suspend(struct result *result, struct life *life) {
    if (life->quiet_read)
        life_read(result, life);
    ledger_suspend(fixture.ledger);
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        life->model.port[port].active = false;
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        life->model.fixed[slot].active = false;
}

/* with_listeners: with selected ports, too. */
static void random_life(struct result *result, __u64 seed, __u64 min_bytes, __u32 max_ports,
                        bool with_listeners) {
    static struct life life; /* large */
    struct pb_counters sum = {0};

    life = (struct life){.random.state = seed, .quiet_read = seed % 2, .serial = 1};
    life.model.min_bytes = min_bytes;
    life.model.max_ports = max_ports;
    begin(min_bytes, max_ports);
    for (int reads = 0; reads < 120; reads++) {
        if (with_listeners && random_once_in(&life.random, 6))
            life_listen(&life, random_below(&life.random, MODEL_PORTS));
        if (with_listeners && random_once_in(&life.random, 10))
            life_select(&life, random_below(&life.random, MODEL_PORTS));
        for (__u32 n = random_below(&life.random, 12); n; n--) {
            if (random_once_in(&life.random, 12))
                life_account_fixed(&life, 1 + random_below(&life.random, PB_FIXED_SLOTS - 1));
            else if (random_once_in(&life.random, 5))
                life_account_fixed(&life, 1 + random_below(&life.random, 2 * PB_TRANSPORTS));
            else
                life_account_port(&life, random_below(&life.random, MODEL_PORTS),
                                  random_once_in(&life.random, 3) * (min_bytes / 2));
        }
        life_read(result, &life);
        if (random_once_in(&life.random, 25))
            life_suspend(result, &life);
    }

    /* Every series becomes active and reports; then what was reported is what was accounted. */
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        life_account_fixed(&life, slot);
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        if (life.model.port[port].exists)
            while (!life.model.port[port].active) {
                life_account_port(&life, port, min_bytes);
                model_update(&life.model);
                update();
            }
    life_read(result, &life);
    life_read(result, &life);
    for (unsigned i = 0; i < fixture.reports; i++)
        add(&sum, &fixture.report[i].total);
    result->end_wrong += memcmp(&sum, &life.model.all, sizeof(sum)) != 0;
    result->raised += life.model.dynamic.raised + life.model.listening.raised;
    result->full +=
        (life.model.dynamic.names == 4 * max_ports) + (life.model.listening.names == 4 * max_ports);
    result->lines_wrong += captured.number != life.model.dynamic.lines + life.model.listening.lines;
    end();
}

static void test_random(void) {
    static const struct {
        __u64 min_bytes;
        __u32 max_ports;
        bool with_listeners;
    } policies[] = {
        {0, MODEL_PORTS + 1, false},
        {10000, MODEL_PORTS + 1, false},
        {131072, 16, false},
        {0, 16, false},
        {10000, 1, false},
        {10000, MODEL_PORTS + 1, true},
        {10000, 5, true},
    };

    for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct result result = {0};
        char what[64];

        snprintf(what, sizeof(what), "MinBytes %llu, MaxPorts %u%s", policies[i].min_bytes,
                 policies[i].max_ports, policies[i].with_listeners ? ", with listeners" : "");
        for (__u64 seed = 1; seed <= 20; seed++)
            random_life(&result, seed, policies[i].min_bytes, policies[i].max_ports,
                        policies[i].with_listeners);
        is_u64(result.missing, 0, "%s: each active series reports its total", what);
        is_u64(result.extra, 0, "%s: no other does, and none twice", what);
        is_u64(result.wrong, 0, "%s: each total is exact, deferred amounts one report later", what);
        is_u64(result.falls, 0, "%s: no total ever falls", what);
        is_u64(result.active_wrong, 0, "%s: ledger_for_each_port has exactly the active ones",
               what);
        is_u64(result.total_wrong, 0,
               "%s: at each read, reported and deferred amounts are what was accounted", what);
        is_u64(result.end_wrong, 0, "%s: at the end, what was reported is what was accounted",
               what);
        is_u64(result.lines_wrong, 0,
               "%s: it is logged once that the bar rises, and that no further ports begin", what);
        ok(result.raised != 0, "%s: the bar rose", what);
        ok((result.full != 0) == (4 * policies[i].max_ports < MODEL_PORTS), "%s: %s", what,
           result.full ? "some had all the series that they may ever have"
                       : "none had all the series that they may ever have");
        diag("%u reads", result.reads);
    }
}

/*
 * With TopPorts and IdleTimeout several outcomes are right for which series are active. In all of
 * them totals never fall, TopPorts is not exceeded, and two reads after the traffic everything was
 * reported, by series that are active or ended.
 */
static void test_random_coming_and_going(void) {
    static struct report last[MODEL_PORTS + PB_FIXED_SLOTS];
    unsigned falls = 0, wrong = 0, over_top = 0, reads = 0, ended = 0;

    for (__u64 seed = 1; seed <= 40; seed++) {
        __u32 top = seed % 4 ? (__u32)(seed % 4) * 3 : 0, series = 0;
        struct random random = {.state = seed};
        struct pb_counters all = {0};

        begin_policy((struct ledger_policy){.min_bytes = seed % 3 * 5000,
                                            .max_ports = seed % 5 ? 40 : 10,
                                            .top = top,
                                            .idle_timeout = (1 + seed % 4) * INTERVAL / 2});
        memset(last, 0, sizeof(last));
        for (int n = 0; n < 200; n++) {
            bool quiet = n % 5 >= 3; /* two reads without packets: all is reported after them */
            unsigned active = 0;

            if (random_once_in(&random, 4))
                ledger_end(fixture.ledger, PB_KEY(PB_TCP, random_below(&random, MODEL_PORTS)));
            if (!quiet && random_once_in(&random, 5))
                listening(PB_KEY(PB_UDP, random_below(&random, 5)));
            for (__u32 m = quiet ? 0 : random_below(&random, 12); m; m--) {
                struct pb_counters delta = {.rx_bytes = 1 + random_below(&random, 30000),
                                            .tx_packets = 1};
                __u32 port = random_below(&random, MODEL_PORTS);

                /* Listening ports are UDP, so that TopPorts limits the TCP ones. */
                ledger_account(fixture.ledger, DYNAMIC_SLOT,
                               port < 10 ? PB_KEY(PB_UDP, port) : PB_KEY(PB_TCP, port),
                               delta.rx_bytes, &delta);
                add(&all, &delta);
            }
            finish_read();
            reads++;
            for (unsigned i = 0; i < fixture.reports; i++) {
                __u32 known = 0;

                while (known < series && strcmp(last[known].instance, fixture.report[i].instance))
                    known++;
                series += known == series;
                falls += is_less(&fixture.report[i].total, &last[known].total);
                last[known] = fixture.report[i];
            }
            for (__u32 port = 10; port < MODEL_PORTS; port++)
                active += is_active(PB_KEY(PB_TCP, port));
            over_top += top && active > top;
            ended += series > fixture.reports;
            if (n % 5 == 4) {
                struct pb_counters sum = {0};

                for (__u32 known = 0; known < series; known++)
                    add(&sum, &last[known].total);
                wrong += memcmp(&sum, &all, sizeof(sum)) != 0;
            }
        }
        end();
    }
    is_u64(falls, 0, "series come and go: no total ever falls");
    is_u64(over_top, 0, "series come and go: never more at a time than TopPorts");
    is_u64(wrong, 0, "series come and go: two reads after the traffic everything was reported");
    ok(ended > reads / 2, "series come and go: they did");
}

/* Whether anything would be lost with it. */
static void test_zero(void) {
    begin(1000, 8);
    ok(ledger_is_zero(fixture.ledger), "a new ledger is zero");
    ledger_select(fixture.ledger, TCP(443));
    listening(TCP(22));
    finish_read();
    finish_read();
    ok(ledger_is_zero(fixture.ledger), "with series that counted nothing, too");
    account_port(TCP(443), 1);
    ok(!ledger_is_zero(fixture.ledger), "but not with what a port counted");
    for (unsigned n = 0; n < 3; n++) {
        finish_read();
        ok(!ledger_is_zero(fixture.ledger), "nor after %u reads", n + 1);
    }
    ledger_suspend(fixture.ledger);
    ok(!ledger_is_zero(fixture.ledger), "nor when the interface has gone");
    end();
    begin(1000, 8);
    account_port(TCP(80), 1);
    finish_read();
    ok(!ledger_is_zero(fixture.ledger), "nor with what is in other");
    end();
    begin(1000, 8);
    ledger_select(fixture.ledger, TCP(443));
    account_port(TCP(443), 1);
    update();
    ok(!ledger_is_zero(fixture.ledger), "nor with what a new series is about to report");
    end();
}

int main(void) {
    test_nothing();
    test_zero();
    test_zero_first();
    test_zero_first_then_traffic();
    test_all_fields();
    test_fixed();
    test_packets_without_bytes();
    test_min_bytes();
    test_min_bytes_over_reads();
    test_min_bytes_zero();
    test_min_bytes_largest();
    test_other_by_transport();
    test_two_slots_one_port();
    test_bar();
    test_bar_pass();
    test_limit();
    test_limit_is_of_one_interface();
    test_limit_zero();
    test_limit_falls();
    test_limit_record();
    test_limit_names(false);
    test_limit_names(true);
    test_limit_logged_weekly();
    test_junk();
    test_junk_on_every_port();
    test_junk_of_listeners();
    test_suspend();
    test_suspend_with_deferred();
    test_selected();
    test_selected_with_traffic();
    test_selected_ignores_limits();
    test_selected_again();
    test_listening();
    test_listening_first_packet();
    test_socket_closed();
    test_socket_closed_but_busy();
    test_socket_closed_no_dynamic();
    test_busy_port_listens();
    test_listening_limit();
    test_listening_limit_falls();
    test_idle();
    test_idle_at_once();
    test_idle_clock_back();
    test_top();
    test_top_return();
    test_top_pause();
    test_top_evicts_newcomer();
    test_top_and_limit();
    test_top_lowered();
    test_top_counts_busy_only();
    test_busy();
    test_end();
    test_end_unreported();
    test_end_others();
    test_restore();
    test_restore_bar();
    test_restore_many(false);
    test_restore_many(true);
    test_saved_size();
    test_groups();
    test_memory();
    test_key_index();
    test_random();
    test_random_coming_and_going();
    return tap_end();
}
