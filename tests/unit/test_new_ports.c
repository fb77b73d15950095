/* SPDX-License-Identifier: MIT */
/*
 * What NotifyNewPorts tells: each port once, none that was a series before, a restart included,
 * and of many at a time a few.
 *
 * Links: plugin/new_ports.c, plugin/escape.c, plugin/ledger.c and what it uses. Needs -lm.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "capture.h"
#include "new_ports.h"
#include "tap.h"

#define SECOND   1000000000ull
#define INTERVAL (10 * SECOND)
#define TIMEOUT  (100 * INTERVAL)

#define TCP(port) PB_KEY(PB_TCP, port)

static const char *const groups[] = {"group-rtp"};
static const struct ledger_policy policy = {.min_bytes = 1000,
                                            .max_ports = 256,
                                            .idle_timeout = TIMEOUT,
                                            .selected = 2,
                                            .groups = 1,
                                            .group = groups};

static struct ledger *ledger;
static struct new_ports found;
static struct key_set known;
static __u64 now;
static __u32 listening; /* a port, in all reads; 0: none */

static bool is_listening(const void *context, __u32 key) {
    (void)context;
    return listening && key == listening;
}

static struct ledger *make_ledger(void) {
    struct ledger *made;

    if (ledger_new(&made, "eth0", &policy))
        abort();
    ledger_set_listeners(made, is_listening, NULL);
    return made;
}

static void begin(void) {
    capture_clear();
    now = 1000 * INTERVAL;
    known = (struct key_set){0};
    listening = 0;
    ledger = make_ledger();
}

static void count(__u32 slot, __u32 key, __u64 bytes) {
    struct pb_counters delta = {
        .rx_bytes = bytes - bytes / 4, .rx_packets = 2, .tx_bytes = bytes / 4, .tx_packets = 1};

    ledger_account(ledger, slot, key, bytes, &delta);
}

static void count_port(__u32 key, __u64 bytes) {
    count(PB_FIXED_SLOTS, key, bytes);
}

static void ignore(void *context, const char *instance, const struct pb_counters *total) {
    (void)context, (void)instance, (void)total;
}

static void update(void) {
    now += INTERVAL;
    ledger_update(ledger, now);
}

/* The end of a read. */
static void read_ports(void) {
    found = (struct new_ports){0};
    update();
    new_ports_find(&found, ledger, "eth0", &known, INTERVAL);
    ledger_report(ledger, ignore, NULL);
}

static void test_once(void) {
    begin();
    count_port(TCP(4444), 1234567);
    read_ports();
    is_u64(found.number, 1, "a port becomes a series: it is found");
    is_text(found.port[0].instance, "tcp-4444", "by its series' name");
    is_text(found.port[0].interface, "eth0", "with its interface");
    is_u64(found.port[0].bytes, 1234567, "with what it counted in that read, both directions");
    is_u64(found.port[0].period, INTERVAL, "and how long that read stands for");
    count_port(TCP(4444), 2000);
    read_ports();
    is_u64(found.number, 0, "the next read does not find it again");

    count_port(TCP(80), 999);
    read_ports();
    is_u64(found.number, 0, "one that carries less than MinBytes is not found");

    now += TIMEOUT;
    read_ports();
    count_port(TCP(4444), 2000);
    read_ports();
    is_u64(found.number, 0, "nor one that returns after its series ended");
    ledger_suspend(ledger);
    count_port(TCP(4444), 2000);
    read_ports();
    is_u64(found.number, 0, "nor when its interface returns");
    ledger_free(ledger);
}

static void test_two_slots(void) {
    begin();
    count_port(TCP(4444), 1000);
    count_port(TCP(4444), 1500);
    read_ports();
    ok(found.number == 1 && found.port[0].bytes == 2500,
       "a port with two slots in a read is found once, with both");
    ledger_free(ledger);
}

static void test_configured(void) {
    begin();
    if (!ledger_select(ledger, TCP(443)) || !ledger_select(ledger, PB_KEYS))
        abort();
    count_port(TCP(443), 5000);
    count(PB_FIXED_SLOTS, PB_KEYS, 5000);
    read_ports();
    is_u64(found.number, 0, "a selected port and a group are configured, not new");
    ledger_free(ledger);
}

static void test_listening(void) {
    begin();
    listening = TCP(8080);
    key_set_add(&known, TCP(22));
    count_port(TCP(8080), 60);
    read_ports();
    is_u64(found.number, 1, "a listening port's first packet is found");
    listening = TCP(22);
    count_port(TCP(22), 60);
    read_ports();
    is_u64(found.number, 0, "but not of one that is known to have listened before");
    ledger_free(ledger);
}

static void test_fixed(void) {
    static const __u32 quiet[] = {IPPROTO_ICMP, IPPROTO_IGMP, IPPROTO_ICMPV6,
                                  IPPROTO_TCP,  IPPROTO_UDP,  IPPROTO_SCTP};

    begin();
    for (__u32 slot = 1; slot < PB_SLOT_IP(0); slot++)
        count(slot, 0, 5000);
    count(PB_SLOT_NONIP, 0, 5000);
    count(PB_SLOT_DECRYPTED, 0, 5000);
    for (unsigned i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
        count(PB_SLOT_IP(quiet[i]), 0, 5000);
    read_ports();
    is_u64(found.number + found.left_out, 0,
           "other, ephemeral, nonip, decrypted, what every network has, what has no port: none");
    count(PB_SLOT_IP(IPPROTO_GRE), 0, 60);
    read_ports();
    ok(found.number == 1 && !strcmp(found.port[0].instance, "ip-gre") && found.port[0].bytes == 60,
       "a protocol's first packet is found");
    count(PB_SLOT_IP(IPPROTO_GRE), 0, 60);
    read_ports();
    is_u64(found.number, 0, "and its second one is not");
    ledger_free(ledger);
}

static void test_skip(void) {
    begin();
    count_port(TCP(80), 5000);
    count(PB_SLOT_IP(IPPROTO_GRE), 0, 60);
    update();
    new_ports_skip(ledger);
    ledger_report(ledger, ignore, NULL);
    read_ports();
    is_u64(found.number, 0, "what was skipped is not found later");
    ledger_free(ledger);
}

/* As the daemon does: saved after the update, and before anybody is told. */
static void test_restored(void) {
    char *saved = malloc(ledger_saved_size(&policy));

    begin();
    if (!saved)
        abort();
    count_port(TCP(80), 5000);
    count(PB_SLOT_IP(IPPROTO_GRE), 0, 60);
    read_ports();
    now += TIMEOUT;
    read_ports(); /* tcp-80 has ended */
    count_port(TCP(443), 5000);
    read_ports();
    is_u64(found.number, 1, "before a restart one is found");
    ledger_save(ledger, saved);
    ledger_free(ledger);
    ledger = make_ledger();
    if (ledger_restore(ledger, saved))
        abort();
    count_port(TCP(80), 5000);
    count_port(TCP(443), 5000);
    count(PB_SLOT_IP(IPPROTO_GRE), 0, 60);
    read_ports();
    is_u64(found.number, 0, "after it none of those with a record is");
    count_port(TCP(8080), 5000);
    read_ports();
    is_u64(found.number, 1, "but one without");
    free(saved);
    ledger_free(ledger);
}

static void test_bound(void) {
    struct ledger *first;
    unsigned descending = 0;

    begin();
    first = ledger;
    for (__u32 n = 0; n < 30; n++)
        count_port(TCP(1000 + n), 1000 + n);
    read_ports();
    is_u64(found.number, NEW_PORTS_MAX, "of 30 ports in one read so many are named");
    is_u64(found.left_out, 30 - NEW_PORTS_MAX, "and the others counted");
    for (unsigned i = 0; i < NEW_PORTS_MAX; i++)
        descending += found.port[i].bytes == 1029 - i;
    is_u64(descending, NEW_PORTS_MAX, "the busiest first");

    ledger = make_ledger();
    for (__u32 n = 0; n < 9; n++)
        count_port(TCP(1000 + n), 1000 + n);
    update();
    new_ports_find(&found, ledger, "eth1", &known, INTERVAL);
    ok(found.number == NEW_PORTS_MAX && found.left_out == 39 - NEW_PORTS_MAX,
       "the bound is of all interfaces together");
    ledger_report(ledger, ignore, NULL);
    read_ports();
    is_u64(found.number + found.left_out, 0, "those left out are not found later");
    ledger_free(first);
    ledger_free(ledger);
}

static void test_message(void) {
    static const struct {
        const char *interface, *expected;
        __u64 bytes, period;
    } cases[] = {
        {"eth0", "tcp-4444 on eth0: new, 1.2 MB in 10 s", 1234567, 10 * SECOND},
        {"eth0", "tcp-4444 on eth0: new, 0 B in 0.0 s", 0, 1},
        {"eth0", "tcp-4444 on eth0: new, 999 B in 1.0 s", 999, SECOND},
        {"eth0", "tcp-4444 on eth0: new, 1.0 kB in 9.9 s", 1000, 9949 * SECOND / 1000},
        {"eth0", "tcp-4444 on eth0: new, 999.9 kB in 10 s", 999949, 9951 * SECOND / 1000},
        {"eth0", "tcp-4444 on eth0: new, 1.0 MB in 3600 s", 999950, 3600 * SECOND},
        {"eth0", "tcp-4444 on eth0: new, 18.4 EB in 18446744074 s", ~0ull, ~0ull},
        {"eth0", "tcp-4444 on eth0: new, 60 B", 60, 0},
        {"e\x1b[\xff", "tcp-4444 on e\\x1b[\\xff: new, 60 B", 60, 0},
        {"\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17",
         "tcp-4444 on \\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x09\\x0a\\x0b\\x0c\\x0d\\x0e\\x0f:"
         " new, 60 B",
         60, 0},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct new_port port = {
            .instance = "tcp-4444", .bytes = cases[i].bytes, .period = cases[i].period};
        char message[NEW_PORT_MESSAGE];

        snprintf(port.interface, sizeof(port.interface), "%s", cases[i].interface);
        new_port_message(message, &port);
        is_text(message, cases[i].expected, "message: %s", cases[i].expected);
    }
}

int main(void) {
    test_once();
    test_two_slots();
    test_configured();
    test_listening();
    test_fixed();
    test_skip();
    test_restored();
    test_bound();
    test_message();
    return tap_end();
}
