/* SPDX-License-Identifier: MIT */
/*
 * The ledger: which series there are, that each only grows, and that together
 * they are what was booked. Exact scenarios first, then random ones against a
 * model.
 *
 * Links: plugin/ledger.c, plugin/series_name.c.
 */
#include <stdint.h>
#include <stdlib.h>

#include "capture.h"
#include "ledger.h"
#include "random.h"
#include "series_name.h"
#include "tap.h"

#define DYNAMIC   PB_FIXED_SLOTS /* any dynamic slot: the ledger asks no more */
#define TCP(port) PB_KEY(PB_TCP, port)

/* ---- a ledger and its last word ---- */

#define WORDS 512

struct word {
    char instance[SERIES_NAME_SIZE];
    struct pb_counters total;
};

struct book {
    struct ledger *ledger;
    __u64 now; /* ns */
    struct word word[WORDS];
    unsigned words;
};

static struct book book; /* too large for a stack */

static void on_say(void *context, const char *instance, const struct pb_counters *total) {
    struct book *to = context;

    if (to->words == WORDS)
        abort();
    snprintf(to->word[to->words].instance, SERIES_NAME_SIZE, "%s", instance);
    to->word[to->words++].total = *total;
}

#define SECOND   1000000000ull
#define INTERVAL (10 * SECOND)
#define NEVER    (1ull << 62)

static void begin_policy(struct ledger_policy policy) {
    memset(&book, 0, sizeof(book));
    book.now = 1000 * INTERVAL;
    capture_clear();
    if (ledger_new(&book.ledger, "eth0", &policy))
        abort();
}

static void begin(__u64 min_bytes, __u32 max_series) {
    begin_policy((struct ledger_policy){
        .min_bytes = min_bytes, .max_series = max_series, .idle_timeout = NEVER});
}

static void end(void) {
    ledger_free(book.ledger);
}

static void say(void) {
    book.words = 0;
    ledger_report(book.ledger, on_say, &book);
}

static void settle(void) {
    ledger_update(book.ledger, book.now);
}

/* The end of a read; the next one is an interval away. */
static void settle_and_say(void) {
    settle();
    say();
    book.now += INTERVAL;
}

/* Received bytes, and a quarter of them sent, so that no field can stand in for another. */
static void bring(__u32 slot, __u32 key, __u64 held, __u64 bytes) {
    struct pb_counters delta = {
        .rx_bytes = bytes - bytes / 4, .rx_packets = 2, .tx_bytes = bytes / 4, .tx_packets = 1};

    ledger_account(book.ledger, slot, key, held, &delta);
}

/* A port whose slot it has taken in this read. */
static void bring_port(__u32 key, __u64 bytes) {
    bring(DYNAMIC, key, bytes, bytes);
}

#define SILENT UINT64_MAX

/* What a series said last, in bytes; SILENT: it did not. Twice is an error of its own. */
static __u64 said(const char *instance) {
    __u64 bytes = SILENT;

    for (unsigned i = 0; i < book.words; i++) {
        if (strcmp(book.word[i].instance, instance))
            continue;
        if (bytes != SILENT)
            return SILENT - 1;
        bytes = book.word[i].total.rx_bytes + book.word[i].total.tx_bytes;
    }
    return bytes;
}

/* ---- a series comes up ---- */

static void test_nothing(void) {
    begin(10000, 16);
    settle_and_say();
    is_u64(book.words, 0, "a fresh ledger says nothing");
    ok(!ledger_is_active(book.ledger, TCP(80)), "and keeps no port");
    ok(!ledger_is_active(book.ledger, PB_KEY_NONIP) && !ledger_is_active(book.ledger, PB_KEYS),
       "nor what is no port");
    end();
    ledger_free(NULL);
    ok(true, "freeing no ledger is fine");
}

static void test_zero_first(void) {
    begin(0, 16);
    bring_port(TCP(80), 1000);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "a new series says 0 first");
    ok(ledger_is_active(book.ledger, TCP(80)), "its port is kept");
    settle_and_say();
    is_u64(said("tcp-80"), 1000, "the next read says it, without new packets too");
    bring_port(TCP(80), 103);
    settle_and_say();
    is_u64(said("tcp-80"), 1103, "from then on each read says what it brought");
    settle_and_say();
    is_u64(said("tcp-80"), 1103, "a series without packets goes on saying its total");
    is_u64(book.words, 1, "and no other series says anything");
    end();
}

static void test_zero_first_carries_on(void) {
    begin(0, 16);
    bring_port(TCP(80), 1000);
    settle_and_say();
    bring_port(TCP(80), 103);
    settle_and_say();
    is_u64(said("tcp-80"), 1103,
           "a series that carries on says the late amount and the new one together");
    end();
}

static void test_all_fields(void) {
    struct pb_counters delta = {3, 5, 7, 11};

    begin(0, 16);
    ledger_account(book.ledger, DYNAMIC, TCP(80), 10, &delta);
    ledger_account(book.ledger, PB_SLOT_NONIP, PB_KEYS, 0, &delta);
    settle_and_say();
    settle_and_say();
    ok(book.words == 2 && !memcmp(&book.word[0].total, &delta, sizeof(delta)) &&
           !memcmp(&book.word[1].total, &delta, sizeof(delta)),
       "bytes and packets of both directions each stay what they are");
    end();
}

static void test_fixed(void) {
    begin(10000, 16);
    bring(PB_SLOT_IP(1), PB_KEYS, 0, 100);
    bring(PB_SLOT_IP(1), PB_KEYS, 0, 10);
    bring(PB_SLOT_NONIP, PB_KEYS, 0, 1);
    settle_and_say();
    ok(said("ip-icmp") == 0 && said("nonip") == 0, "a bucket says 0 first, however little it got");
    is_u64(book.words, 2, "one that got nothing says nothing");
    bring(PB_SLOT_IP(1), PB_KEYS, 0, 1000);
    settle_and_say();
    is_u64(said("ip-icmp"), 1110,
           "a bucket booked twice in its first read has it all the next time");
    is_u64(said("nonip"), 1, "so has one that carried nothing since");
    end();
}

/* Packets alone are something, too. */
static void test_packets_without_bytes(void) {
    struct pb_counters delta = {.tx_packets = 1};

    begin(10000, 16);
    ledger_account(book.ledger, PB_SLOT_OTHER(PB_TCP), PB_KEYS, 0, &delta);
    settle_and_say();
    ledger_account(book.ledger, PB_SLOT_OTHER(PB_TCP), PB_KEYS, 0, &delta);
    settle_and_say();
    is_u64(book.word[0].total.tx_packets, 2, "packets without bytes are said, too");
    end();
}

/* ---- MinBytes ---- */

static void test_min_bytes(void) {
    begin(10000, 16);
    bring_port(TCP(1), 9999);
    bring_port(TCP(2), 10000);
    bring_port(TCP(3), 10001);
    settle_and_say();
    ok(said("tcp-1") == SILENT && !ledger_is_active(book.ledger, TCP(1)),
       "one byte below MinBytes: no series");
    is_u64(said("tcp-2"), 0, "exactly MinBytes: a series");
    is_u64(said("tcp-3"), 0, "more: a series");
    settle_and_say();
    is_u64(said("tcp-other"), 9999, "what makes no series is booked to other");
    ok(said("tcp-2") == 10000 && said("tcp-3") == 10001, "what makes one is its own, all of it");
    end();
}

static void test_min_bytes_over_reads(void) {
    begin(10000, 16);
    bring(DYNAMIC, TCP(80), 6000, 6000);
    settle_and_say();
    is_u64(said("tcp-80"), SILENT, "below MinBytes at the first read: no series yet");
    bring(DYNAMIC, TCP(80), 12000, 6000);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "held over two reads reaches MinBytes: a series");
    settle_and_say();
    is_u64(said("tcp-80"), 6000, "it begins with the read that made it one");
    is_u64(said("tcp-other"), 6000, "what it carried before stays in other");
    bring(DYNAMIC, TCP(80), 12001, 1);
    settle_and_say();
    is_u64(said("tcp-80"), 6001, "a series needs no MinBytes any more");
    bring(DYNAMIC, TCP(80), 1, 1);
    settle_and_say();
    is_u64(said("tcp-80"), 6002, "nor in a new slot");
    end();
}

static void test_min_bytes_zero(void) {
    struct pb_counters packet = {.rx_packets = 1};

    begin(0, 16);
    ledger_account(book.ledger, DYNAMIC, TCP(80), 0, &packet);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "MinBytes 0: any packet makes a series");
    is_u64(book.words, 1, "and nothing is in other");
    end();
}

static void test_min_bytes_largest(void) {
    begin(1ull << 53, 16);
    bring(DYNAMIC, TCP(80), (1ull << 53) - 1, 1000);
    bring(DYNAMIC, TCP(443), 1ull << 53, 1000);
    settle_and_say();
    ok(said("tcp-80") == SILENT && said("tcp-443") == 0, "the largest MinBytes is as exact");
    end();
}

static void test_other_by_transport(void) {
    begin(10000, 16);
    bring_port(PB_KEY(PB_TCP, 65535), 101);
    bring_port(PB_KEY(PB_UDP, 0), 103);
    bring_port(PB_KEY(PB_UDP, 65535), 1000);
    bring_port(PB_KEY(PB_SCTP, 0), 107);
    bring_port(PB_KEY(PB_SCTP, 65535), 1000);
    settle_and_say();
    settle_and_say();
    ok(said("tcp-other") == 101 && said("udp-other") == 1103 && said("sctp-other") == 1107,
       "each transport has its own other, from its first port to its last");
    end();
}

/* The port's old slot was withdrawn, its new one counted too. */
static void test_two_slots_one_port(void) {
    begin(1000, 16);
    bring(DYNAMIC, TCP(80), 5000, 101);
    bring(DYNAMIC + 1, TCP(80), 2000, 2000);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "two slots of one port, both large enough: one series");
    settle_and_say();
    is_u64(said("tcp-80"), 2101, "with both amounts");
    is_u64(said("tcp-other"), SILENT, "and nothing in other");
    end();

    begin(1000, 16);
    bring(DYNAMIC, TCP(80), 101, 101);
    bring(DYNAMIC + 1, TCP(80), 2000, 2000);
    settle_and_say();
    settle_and_say();
    ok(said("tcp-80") == 2000 && said("tcp-other") == 101,
       "the one that is not large enough goes to other");
    end();
}

/* ---- the life limit ---- */

static void test_limit(void) {
    begin(1000, 3);
    bring_port(TCP(1), 2000);
    bring_port(TCP(2), 6000);
    bring_port(TCP(3), 3000);
    bring_port(TCP(4), 5000);
    bring_port(TCP(5), 4000);
    settle_and_say();
    ok(said("tcp-2") == 0 && said("tcp-4") == 0 && said("tcp-5") == 0,
       "more ports than may become series: the busiest do");
    ok(said("tcp-1") == SILENT && said("tcp-3") == SILENT, "the others don't");
    ok(ledger_is_active(book.ledger, TCP(5)) && !ledger_is_active(book.ledger, TCP(3)),
       "and aren't kept");
    is_u64(captured.number, 1, "which is said");
    ok(captured.priority[0] == LOG_WARNING && strstr(captured.line[0], "eth0") &&
           strstr(captured.line[0], "3 ") && strstr(captured.line[0], "Port") &&
           strstr(captured.line[0], "MaxPorts"),
       "as a warning with interface, limit and remedies");
    settle_and_say();
    is_u64(said("tcp-other"), 5000, "what they carried is in other");

    bring_port(PB_KEY(PB_UDP, 53), 50000);
    settle_and_say();
    settle_and_say();
    ok(said("udp-53") == SILENT && said("udp-other") == 50000,
       "ports that come later stay in other, however busy");
    is_u64(captured.number, 1, "the limit is said once");
    bring_port(TCP(2), 1);
    settle_and_say();
    is_u64(said("tcp-2"), 6001, "a series that is there goes on");
    end();
}

/* With every slot in use nothing may ever ask for one more: so the last one is the occasion. */
static void test_limit_exact(void) {
    begin(0, 3);
    bring_port(TCP(1), 1000);
    bring_port(TCP(2), 2000);
    settle_and_say();
    is_u64(captured.number, 0, "as long as one more port may become a series nothing is said");
    bring_port(TCP(3), 3000);
    settle_and_say();
    is_u64(book.words, 3, "exactly as many ports as may become series do");
    is_u64(captured.number, 1, "and with the last one the limit is said");
    ledger_suspend(book.ledger);
    for (__u32 port = 1; port <= 3; port++)
        bring_port(TCP(port), 1000);
    settle_and_say();
    ok(book.words == 3 && captured.number == 1,
       "series that return are not counted a second time against the limit");
    end();
}

static void test_limit_is_of_one_interface(void) {
    struct ledger_policy policy = {.min_bytes = 0, .max_series = 1, .idle_timeout = NEVER};
    struct pb_counters delta = {.rx_bytes = 100, .rx_packets = 1};
    struct ledger *second;

    begin(0, 2);
    if (ledger_new(&second, "eth1", &policy))
        abort();
    bring_port(TCP(1), 100);
    ledger_account(second, DYNAMIC, TCP(2), 100, &delta);
    settle_and_say();
    is_u64(captured.number, 0, "the limit is each interface's own");
    ledger_update(second, book.now);
    book.words = 0;
    ledger_report(second, on_say, &book);
    ok(said("tcp-2") == 0 && captured.number == 1 && strstr(captured.line[0], "eth1"),
       "and names it");
    ledger_free(second);
    end();
}

/* ---- an interface goes and returns ---- */

static void test_rest(void) {
    begin(1000, 16);
    bring_port(TCP(80), 5000);
    bring_port(TCP(81), 7000);
    bring(PB_SLOT_NONIP, PB_KEYS, 0, 101);
    settle_and_say();
    settle_and_say();
    ledger_suspend(book.ledger);
    settle_and_say();
    is_u64(book.words, 0, "at rest no series says anything");
    ok(!ledger_is_active(book.ledger, TCP(80)), "nor is a port kept");

    bring_port(TCP(80), 3000);
    bring(PB_SLOT_NONIP, PB_KEYS, 0, 103);
    settle_and_say();
    ok(said("tcp-80") == 5000 && said("nonip") == 101,
       "on return a series says its old total first");
    is_u64(said("tcp-81"), SILENT, "one that carries nothing does not return");
    ok(ledger_is_active(book.ledger, TCP(80)) && !ledger_is_active(book.ledger, TCP(81)),
       "a port is kept as soon as its series is up");
    settle_and_say();
    ok(said("tcp-80") == 8000 && said("nonip") == 204, "and what the return brought after it");

    bring_port(TCP(81), 999);
    settle_and_say();
    settle_and_say();
    ok(said("tcp-81") == SILENT && said("tcp-other") == 999,
       "MinBytes is asked of a port that returns");
    bring_port(TCP(81), 1000);
    settle_and_say();
    is_u64(said("tcp-81"), 7000, "when it has it, its series resumes");
    settle_and_say();
    is_u64(said("tcp-81"), 8000, "and goes on");
    end();
}

static void test_rest_while_late(void) {
    begin(0, 16);
    bring_port(TCP(80), 5000);
    settle_and_say();
    ledger_suspend(book.ledger); /* 0 was said, 5000 not yet */
    settle_and_say();
    is_u64(book.words, 0, "a series at rest says nothing, what is late included");
    bring_port(TCP(80), 103);
    settle_and_say();
    settle_and_say();
    is_u64(said("tcp-80"), 5103, "what was late when the interface went is not lost");
    end();

    begin(0, 16);
    bring_port(TCP(80), 5000);
    settle();
    ledger_suspend(book.ledger); /* before its first word */
    bring_port(TCP(80), 103);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "a series that never said anything says 0 first on return");
    settle_and_say();
    is_u64(said("tcp-80"), 5103, "and then everything");
    end();
}

/* ---- selected ports ---- */

static void listening(__u32 key) {
    ledger_listening(book.ledger, key, book.now);
}

static void test_selected(void) {
    begin(10000, 16);
    ok(ledger_select(book.ledger, TCP(443)), "a port can be selected");
    ok(ledger_is_active(book.ledger, TCP(443)), "and is kept at once");
    settle_and_say();
    is_u64(said("tcp-443"), 0, "its series is there from the first read, at 0");
    is_u64(book.words, 1, "and no other");
    for (int reads = 0; reads < 5; reads++)
        settle_and_say();
    is_u64(said("tcp-443"), 0, "it stays, with no traffic at all");
    bring_port(TCP(443), 1);
    settle_and_say();
    is_u64(said("tcp-443"), 1, "and needs no MinBytes");
    end();
}

static void test_selected_with_traffic(void) {
    begin(10000, 16);
    ledger_select(book.ledger, TCP(443));
    bring_port(TCP(443), 101); /* between attaching and the first read */
    settle_and_say();
    is_u64(said("tcp-443"), 0, "a selected port that carries something at once says 0 first");
    settle_and_say();
    is_u64(said("tcp-443"), 101, "and that with the next read");
    end();
}

static void test_selected_ignores_limits(void) {
    begin_policy((struct ledger_policy){
        .min_bytes = 0, .max_series = 2, .top = 1, .idle_timeout = INTERVAL});
    for (__u32 port = 1; port <= 5; port++)
        ledger_select(book.ledger, TCP(port));
    settle_and_say();
    for (int reads = 0; reads < 5; reads++)
        settle_and_say();
    is_u64(book.words, 5, "neither MaxPorts nor TopPorts nor IdleTimeout ends a selected port");
    is_u64(captured.number, 0, "and no limit is said");
    bring_port(TCP(80), 1000);
    bring_port(TCP(81), 900);
    settle_and_say();
    ok(said("tcp-80") == 0 && said("tcp-81") == SILENT, "nor is it one of the TopPorts");
    end();
}

static void test_selected_again(void) {
    begin(0, 16);
    bring_port(TCP(80), 1000);
    settle_and_say();
    settle_and_say();
    ledger_suspend(book.ledger);
    ledger_select(book.ledger, TCP(80)); /* as is done whenever the interface comes */
    bring_port(TCP(80), 103);
    settle_and_say();
    is_u64(said("tcp-80"), 1000, "a selected port that returns says its old total first");
    settle_and_say();
    is_u64(said("tcp-80"), 1103, "and what the return brought after it");
    end();
}

/* ---- listening ports ---- */

#define TIMEOUT (6 * INTERVAL)

static void begin_timeout(__u32 max_series) {
    begin_policy((struct ledger_policy){
        .min_bytes = 10000, .max_series = max_series, .idle_timeout = TIMEOUT});
}

static void test_listening(void) {
    begin_timeout(16);
    listening(TCP(22));
    settle_and_say();
    is_u64(said("tcp-22"), 0, "a listening port is a series at once, at 0");
    ok(ledger_is_active(book.ledger, TCP(22)), "and kept");
    for (int reads = 0; reads < 20; reads++) {
        listening(TCP(22));
        settle_and_say();
    }
    is_u64(said("tcp-22"), 0, "as long as it listens it stays, with no traffic at all");
    listening(TCP(22));
    bring_port(TCP(22), 1);
    settle_and_say();
    is_u64(said("tcp-22"), 1, "and needs no MinBytes");
    end();
}

static void test_listening_with_traffic(void) {
    begin_timeout(16);
    listening(TCP(22));
    bring_port(TCP(22), 101);
    settle_and_say();
    is_u64(said("tcp-22"), 0, "a listening port that carries something at once says 0 first");
    listening(TCP(22));
    settle_and_say();
    is_u64(said("tcp-22"), 101, "and that with the next read");
    end();
}

static void test_socket_closed(void) {
    int reads = 0;

    begin_timeout(16);
    listening(TCP(22));
    bring_port(TCP(22), 101);
    settle_and_say();
    do { /* the socket is closed */
        settle_and_say();
        reads++;
    } while (said("tcp-22") != SILENT && reads < 100);
    is_u64(reads, TIMEOUT / INTERVAL, "IdleTimeout after the socket closed the series ends");
    ok(!ledger_is_active(book.ledger, TCP(22)), "and its port is not kept");

    listening(TCP(22));
    bring_port(TCP(22), 103);
    settle_and_say();
    is_u64(said("tcp-22"), 101, "when it listens again it says its old total first");
    listening(TCP(22));
    settle_and_say();
    is_u64(said("tcp-22"), 204, "and goes on");
    end();
}

static void test_socket_closed_but_busy(void) {
    begin_timeout(16);
    listening(TCP(22));
    settle_and_say();
    for (int reads = 0; reads < 20; reads++) {
        bring(DYNAMIC, TCP(22), 20000, 100); /* in a slot it has held for long */
        settle_and_say();
    }
    settle_and_say();
    is_u64(said("tcp-22") + said("tcp-other"), 2000,
           "a port that is busy without its socket is judged as any busy port");
    is_u64(said("tcp-other"), 100, "what the read of its end brought is in other");
    for (int reads = 0; reads < 6; reads++)
        settle_and_say();
    is_u64(said("tcp-22"), SILENT, "and ends as any, IdleTimeout after its last packet");
    end();
}

static void test_busy_port_listens(void) {
    begin_timeout(1);
    bring_port(TCP(80), 10000);
    settle_and_say();
    is_u64(captured.number, 1, "the one busy port there may be");
    for (int reads = 0; reads < 20; reads++) {
        listening(TCP(80));
        settle_and_say();
    }
    is_u64(said("tcp-80"), 10000, "a busy port that is found to listen stays, with its total");
    end();
}

static void test_listening_limit(void) {
    begin_timeout(3);
    for (__u32 port = 1; port <= 3; port++)
        ok(ledger_listening(book.ledger, TCP(port), book.now), "listening port %u is a series",
           port);
    is_u64(captured.number, 1, "MaxPorts is the limit of listening ports, and is said");
    ok(strstr(captured.line[0], "listening") && strstr(captured.line[0], "3 ") &&
           strstr(captured.line[0], "MaxPorts"),
       "with kind, number and remedy");
    ok(!ledger_listening(book.ledger, TCP(4), book.now), "one port more is refused");
    ok(ledger_listening(book.ledger, TCP(3), book.now), "one that is a series is not");
    is_u64(captured.number, 1, "the limit is said once");
    for (__u32 port = 11; port <= 14; port++)
        bring_port(TCP(port), 10000 + port);
    settle_and_say();
    ok(said("tcp-12") == 0 && said("tcp-11") == SILENT && book.words == 7,
       "as many busy ports may become series beside them");
    is_u64(captured.number, 2, "which is a limit of its own, said too");
    ok(ledger_select(book.ledger, TCP(4)), "a selected port knows no limit");
    end();
}

/* ---- series that end ---- */

static void test_idle(void) {
    int reads = 0;

    begin_timeout(16);
    bring_port(TCP(80), 10000);
    bring_port(TCP(81), 20000);
    bring(PB_SLOT_NONIP, PB_KEYS, 0, 1);
    settle_and_say();
    do {
        bring_port(TCP(81), 1);
        settle_and_say();
        reads++;
    } while (said("tcp-80") != SILENT && reads < 100);
    is_u64(reads, TIMEOUT / INTERVAL, "a busy port ends IdleTimeout after its last packet");
    ok(!ledger_is_active(book.ledger, TCP(80)), "and is not kept");
    ok(said("tcp-81") == 20000 + TIMEOUT / INTERVAL && ledger_is_active(book.ledger, TCP(81)),
       "one with a packet now and then does not");
    is_u64(said("nonip"), 1, "buckets never end");
    bring_port(TCP(80), 9999);
    settle_and_say();
    is_u64(said("tcp-80"), SILENT, "a port that ended needs MinBytes again");
    bring_port(TCP(80), 10001);
    settle_and_say();
    is_u64(said("tcp-80"), 10000, "and then resumes: its old total first");
    settle_and_say();
    ok(said("tcp-80") == 20001 && said("tcp-other") == 9999, "what it had below that is in other");
    end();
}

/* An IdleTimeout below the interval is allowed: each port has its say all the same. */
static void test_idle_at_once(void) {
    begin_policy(
        (struct ledger_policy){.min_bytes = 0, .max_series = 16, .idle_timeout = INTERVAL / 10});
    bring_port(TCP(80), 10000);
    settle_and_say();
    is_u64(said("tcp-80"), 0, "with the shortest IdleTimeout a series begins as any");
    settle_and_say();
    is_u64(said("tcp-80"), 10000, "and says what it carried before it ends");
    settle_and_say();
    is_u64(said("tcp-80"), SILENT, "which it does then");
    end();
}

/* ---- TopPorts ---- */

static void begin_top(__u32 top, __u32 max_series) {
    begin_policy((struct ledger_policy){
        .min_bytes = 1000, .max_series = max_series, .top = top, .idle_timeout = NEVER});
}

static void test_top(void) {
    begin_top(2, 16);
    bring_port(TCP(1), 1000);
    bring_port(TCP(2), 3000);
    bring_port(TCP(3), 2000);
    settle_and_say();
    ok(said("tcp-2") == 0 && said("tcp-3") == 0 && said("tcp-1") == SILENT,
       "TopPorts 2: of three the two busiest are series");
    ok(ledger_is_active(book.ledger, TCP(2)) && !ledger_is_active(book.ledger, TCP(1)),
       "only they are kept");
    bring_port(TCP(2), 3000);
    bring_port(TCP(3), 2000);
    settle_and_say();
    is_u64(said("tcp-other"), 1000, "the third is in other");

    bring_port(TCP(2), 3000);
    bring_port(TCP(3), 2000);
    bring_port(TCP(4), 4000);
    settle_and_say();
    ok(said("tcp-4") == SILENT && said("tcp-3") == 6000,
       "one twice as busy as the weakest, but no more, takes no place");
    bring_port(TCP(2), 3000);
    bring_port(TCP(3), 2000);
    bring_port(TCP(4), 4002);
    settle_and_say();
    ok(said("tcp-4") == 0 && said("tcp-3") == SILENT && said("tcp-2") == 12000,
       "one more than twice as busy does: the weakest's");
    ok(ledger_is_active(book.ledger, TCP(4)) && !ledger_is_active(book.ledger, TCP(3)),
       "and is kept");
    settle_and_say();
    ok(said("tcp-4") == 4002 && said("tcp-other") == 1000 + 4000 + 2000,
       "what the weakest brought in that read is in other");
    is_u64(captured.number, 0, "that is no limit to speak of");
    end();
}

static void test_top_return(void) {
    begin_top(1, 16);
    bring_port(TCP(1), 1000);
    settle_and_say();
    settle_and_say();
    bring_port(TCP(2), 5000);
    settle_and_say();
    ok(said("tcp-1") == SILENT && said("tcp-2") == 0, "a series lost its place");
    for (int reads = 0; reads < 20; reads++)
        settle_and_say();
    bring_port(TCP(1), 4000);
    settle_and_say();
    is_u64(said("tcp-1"), 1000, "busy again, it returns with its old total");
    settle_and_say();
    is_u64(said("tcp-1"), 5000, "and goes on");
    end();
}

static void test_top_pause(void) {
    begin_top(1, 16);
    for (int reads = 0; reads < 3; reads++) {
        bring_port(TCP(1), 100000);
        settle_and_say();
    }
    bring_port(TCP(2), 20000); /* while 1 pauses */
    settle_and_say();
    is_u64(said("tcp-1"), 300000, "a pause of one read is no reason to lose one's place");
    for (int reads = 0; reads < 20; reads++) {
        bring_port(TCP(2), 20000);
        settle_and_say();
    }
    ok(said("tcp-1") == SILENT && said("tcp-2") != SILENT, "a long one is");
    end();
}

/*
 * A series that came up one read ago has yet to say what it brought, so it can't be
 * displaced before it has.
 */
static void test_top_displaces_newcomer(void) {
    begin_top(1, 16);
    bring_port(TCP(1), 1000);
    settle_and_say();
    is_u64(said("tcp-1"), 0, "a series comes up");
    bring_port(TCP(2), 5000);
    settle_and_say();
    is_u64(said("tcp-1"), 1000, "what it brought is said, whoever wants its place");
    bring_port(TCP(2), 7000);
    settle_and_say();
    ok(!ledger_is_active(book.ledger, TCP(1)) && said("tcp-1") == SILENT, "and then no more");
    settle_and_say();
    is_u64(said("tcp-2"), 7000, "the other goes on");
    is_u64(said("tcp-other"), 5000, "and what it brought before its time is in other");
    end();
}

/* Only who can take a place may drive another out of it. */
static void test_top_and_limit(void) {
    begin_top(2, 2);
    bring_port(TCP(1), 1000);
    bring_port(TCP(2), 1000);
    settle_and_say();
    settle_and_say();
    bring_port(TCP(3), 50000);
    settle_and_say();
    is_u64(said("tcp-3"), SILENT, "beyond the limit, no port becomes a series");
    ok(said("tcp-1") != SILENT && said("tcp-2") != SILENT, "nor takes another's place");
    end();
}

static void test_top_counts_busy_only(void) {
    begin_top(1, 16);
    ledger_select(book.ledger, TCP(443));
    listening(TCP(22));
    bring_port(TCP(1), 1000);
    settle_and_say();
    ok(said("tcp-1") == 0 && said("tcp-443") == 0 && said("tcp-22") == 0,
       "selected and listening ports are none of the TopPorts");
    settle_and_say();
    bring_port(TCP(2), 5000);
    settle_and_say();
    ok(said("tcp-1") == SILENT && said("tcp-2") == 0 && said("tcp-443") == 0 && said("tcp-22") == 0,
       "and never give way to one");
    end();
}

/* ---- any sequence, against a model ---- */

/*
 * The model knows no "late" and no order of work. It remembers for each series
 * what was credited up to the read before and in this read. A series that came up
 * in this read says the former, else both.
 */
#define MODEL_PORTS 60

struct model_series {
    struct pb_counters before, now;
    bool up, came_up, exists;
};

struct model_booking {
    __u32 port;
    __u64 held;
    struct pb_counters delta;
};

struct model {
    struct model_series port[MODEL_PORTS];
    struct model_series fixed[PB_FIXED_SLOTS];
    struct model_booking candidate[256];
    unsigned candidates;
    __u64 min_bytes;
    __u32 max_series, series, listening; /* of the latter two, how many there ever were */
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
    series->came_up |= !series->up;
    series->up = series->exists = true;
}

/* A series comes up although it carries nothing. */
static void model_raise(struct model_series *series) {
    series->came_up |= !series->up;
    series->up = series->exists = true;
}

static struct model_series *model_other(struct model *model, __u32 port) {
    return &model->fixed[PB_SLOT_OTHER(model_key(port) / PB_PORTS)];
}

static void model_book(struct model *model, __u32 port, __u64 held,
                       const struct pb_counters *delta) {
    if (model->port[port].up)
        model_credit(&model->port[port], delta);
    else if (held < model->min_bytes)
        model_credit(model_other(model, port), delta);
    else
        model->candidate[model->candidates++] =
            (struct model_booking){.port = port, .held = held, .delta = *delta};
}

/* Picks the busiest again and again: slow and plain. */
static void model_settle(struct model *model) {
    while (model->candidates) {
        unsigned most = 0;
        struct model_booking busiest;
        struct model_series *series;

        for (unsigned i = 1; i < model->candidates; i++)
            if (bytes_of(&model->candidate[i].delta) > bytes_of(&model->candidate[most].delta))
                most = i;
        busiest = model->candidate[most];
        model->candidate[most] = model->candidate[--model->candidates];
        series = &model->port[busiest.port];
        if (!series->exists && model->series == model->max_series) {
            model_credit(model_other(model, busiest.port), &busiest.delta);
        } else {
            model->series += !series->exists;
            model_credit(series, &busiest.delta);
        }
    }
}

static struct pb_counters model_word(const struct model_series *series) {
    struct pb_counters word = series->before;

    if (!series->came_up)
        add(&word, &series->now);
    return word;
}

static void model_next(struct model_series *series) {
    add(&series->before, &series->now);
    series->now = (struct pb_counters){0};
    series->came_up = false;
}

struct verdict {
    __u32 reads, limits;
    __u32 missing, extra, wrong, fell, keeps_wrong, total_wrong, end_wrong;
    __u32 warnings_wrong;
};

/* One life of a ledger. */
struct life {
    struct random random;
    struct model model;
    struct word last_port[MODEL_PORTS], last_fixed[PB_FIXED_SLOTS]; /* of each series */
    bool patient; /* before a rest there is a read without packets, as the monitor has it */
    __u32 serial;
};

static bool is_less(const struct pb_counters *a, const struct pb_counters *b) {
    return a->rx_bytes < b->rx_bytes || a->rx_packets < b->rx_packets ||
           a->tx_bytes < b->tx_bytes || a->tx_packets < b->tx_packets;
}

/* Compares one series with what was said. Returns how many words that explains. */
static unsigned judge(struct verdict *verdict, const struct model_series *series, const char *name,
                      struct word *last, struct pb_counters *sum) {
    struct pb_counters expected = model_word(series);
    const struct word *found = NULL;

    for (unsigned i = 0; i < book.words; i++)
        if (!strcmp(book.word[i].instance, name))
            found = &book.word[i];
    verdict->missing += series->up && !found;
    verdict->extra += !series->up && found;
    if (found) {
        verdict->wrong += memcmp(&found->total, &expected, sizeof(expected)) != 0;
        verdict->fell += is_less(&found->total, &last->total);
        *last = *found;
    }
    add(sum, &last->total);
    if (series->came_up)
        add(sum, &series->now); /* what is late */
    return found != NULL;
}

static void judge_all(struct verdict *verdict, struct life *life) {
    static const char *const transports[] = {"tcp", "udp", "sctp"};
    struct pb_counters sum = {0};
    unsigned words = 0;
    char name[SERIES_NAME_SIZE];

    for (__u32 port = 0; port < MODEL_PORTS; port++) {
        __u32 key = model_key(port);

        snprintf(name, sizeof(name), "%s-%u", transports[key / PB_PORTS], key % PB_PORTS);
        words += judge(verdict, &life->model.port[port], name, &life->last_port[port], &sum);
        verdict->keeps_wrong += ledger_is_active(book.ledger, key) != life->model.port[port].up;
    }
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++) {
        series_name(name, slot, PB_KEYS);
        words += judge(verdict, &life->model.fixed[slot], name, &life->last_fixed[slot], &sum);
    }
    verdict->extra += words != book.words; /* or twice */
    /* Without patience some of what is late is at rest. */
    verdict->total_wrong += life->patient && memcmp(&sum, &life->model.all, sizeof(sum)) != 0;
    verdict->reads++;
}

/* Never twice as many bytes, so that "the busiest" is well defined. */
static struct pb_counters random_delta(struct life *life) {
    struct random *random = &life->random;
    __u32 size = random_below(random, random_once_in(random, 3) ? 40 : 4) * 65536 + life->serial++;
    __u32 sent = random_below(random, size + 1);

    return (struct pb_counters){size - sent, random_below(random, 9), sent,
                                random_below(random, 9) + 1};
}

static void life_book_fixed(struct life *life, __u32 slot) {
    struct pb_counters delta = random_delta(life);

    add(&life->model.all, &delta);
    ledger_account(book.ledger, slot, PB_KEYS, 0, &delta);
    model_credit(&life->model.fixed[slot], &delta);
}

static void life_book_port(struct life *life, __u32 port, __u64 more_held) {
    struct pb_counters delta = random_delta(life);
    __u64 held = bytes_of(&delta) + more_held;

    if (life->model.min_bytes && random_once_in(&life->random, 10))
        held = life->model.min_bytes - random_below(&life->random, 2); /* the edge */
    add(&life->model.all, &delta);
    ledger_account(book.ledger, DYNAMIC + port, model_key(port), held, &delta);
    model_book(&life->model, port, held, &delta);
}

static void life_select(struct life *life, __u32 port) {
    ledger_select(book.ledger, model_key(port));
    model_raise(&life->model.port[port]);
}

static void life_listen(struct life *life, __u32 port) {
    listening(model_key(port));
    if (!life->model.port[port].exists) {
        if (life->model.listening == life->model.max_series)
            return;
        life->model.listening++;
    }
    model_raise(&life->model.port[port]);
}

/* The end of a read, and the model's step to the next. */
static void life_read(struct verdict *verdict, struct life *life) {
    model_settle(&life->model);
    settle();
    say();
    judge_all(verdict, life);
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        model_next(&life->model.port[port]);
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        model_next(&life->model.fixed[slot]);
}

static void life_rest(struct verdict *verdict, struct life *life) {
    if (life->patient)
        life_read(verdict, life);
    ledger_suspend(book.ledger);
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        life->model.port[port].up = false;
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        life->model.fixed[slot].up = false;
}

/* policed: with selected and listening ports, too. */
static void random_life(struct verdict *verdict, __u64 seed, __u64 min_bytes, __u32 max_series,
                        bool policed) {
    static struct life life; /* large */
    struct pb_counters sum = {0};

    life = (struct life){.random.state = seed, .patient = seed % 2, .serial = 1};
    life.model.min_bytes = min_bytes;
    life.model.max_series = max_series;
    begin(min_bytes, max_series);
    for (int reads = 0; reads < 120; reads++) {
        if (policed && random_once_in(&life.random, 6))
            life_listen(&life, random_below(&life.random, MODEL_PORTS));
        if (policed && random_once_in(&life.random, 10))
            life_select(&life, random_below(&life.random, MODEL_PORTS));
        for (__u32 n = random_below(&life.random, 12); n; n--) {
            if (random_once_in(&life.random, 12))
                life_book_fixed(&life, 1 + random_below(&life.random, PB_FIXED_SLOTS - 1));
            else if (random_once_in(&life.random, 5))
                life_book_fixed(&life, 1 + random_below(&life.random, 2 * PB_TRANSPORTS));
            else
                life_book_port(&life, random_below(&life.random, MODEL_PORTS),
                               random_once_in(&life.random, 3) * (min_bytes / 2));
        }
        life_read(verdict, &life);
        if (random_once_in(&life.random, 25))
            life_rest(verdict, &life);
    }

    /* Everything returns and has its say; then what was said is what was booked. */
    for (__u32 slot = 1; slot < PB_FIXED_SLOTS; slot++)
        life_book_fixed(&life, slot);
    for (__u32 port = 0; port < MODEL_PORTS; port++)
        if (life.model.port[port].exists)
            while (!life.model.port[port].up) {
                life_book_port(&life, port, min_bytes);
                model_settle(&life.model);
                settle();
            }
    life_read(verdict, &life);
    life_read(verdict, &life);
    for (unsigned i = 0; i < book.words; i++)
        add(&sum, &book.word[i].total);
    verdict->end_wrong += memcmp(&sum, &life.model.all, sizeof(sum)) != 0;
    verdict->limits += captured.number;
    verdict->warnings_wrong += captured.number != (unsigned)(life.model.series == max_series) +
                                                      (life.model.listening == max_series);
    end();
}

static void test_random(void) {
    static const struct {
        __u64 min_bytes;
        __u32 max_series;
        bool policed;
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
        struct verdict verdict = {0};
        char what[64];

        snprintf(what, sizeof(what), "MinBytes %llu, %u series at most%s", policies[i].min_bytes,
                 policies[i].max_series, policies[i].policed ? ", with listeners" : "");
        for (__u64 seed = 1; seed <= 20; seed++)
            random_life(&verdict, seed, policies[i].min_bytes, policies[i].max_series,
                        policies[i].policed);
        is_u64(verdict.missing, 0, "%s: each series that is up says its total", what);
        is_u64(verdict.extra, 0, "%s: no other does, and none twice", what);
        is_u64(verdict.wrong, 0, "%s: each total is exact, late amounts one word later", what);
        is_u64(verdict.fell, 0, "%s: no total ever falls", what);
        is_u64(verdict.keeps_wrong, 0, "%s: the ports of series that are up are kept", what);
        is_u64(verdict.total_wrong, 0, "%s: at each read, said and late are what was booked", what);
        is_u64(verdict.end_wrong, 0, "%s: at the end, what was said is what was booked", what);
        is_u64(verdict.warnings_wrong, 0, "%s: the limit is said once, when it is reached", what);
        ok((verdict.limits != 0) == (policies[i].max_series < MODEL_PORTS), "%s: %s", what,
           policies[i].max_series < MODEL_PORTS ? "some reached it" : "none reached it");
        diag("%u reads", verdict.reads);
    }
}

/*
 * With TopPorts and IdleTimeout, who is up when is a matter of taste; what is not:
 * totals never fall, TopPorts is kept, and two reads after the traffic everything
 * was said, by series that are up or ended.
 */
static void test_random_coming_and_going(void) {
    static struct word last[MODEL_PORTS + PB_FIXED_SLOTS];
    unsigned fell = 0, wrong = 0, crowded = 0, reads = 0, ended = 0;

    for (__u64 seed = 1; seed <= 40; seed++) {
        __u32 top = seed % 4 ? (__u32)(seed % 4) * 3 : 0, series = 0;
        struct random random = {.state = seed};
        struct pb_counters all = {0};

        begin_policy((struct ledger_policy){.min_bytes = seed % 3 * 5000,
                                            .max_series = seed % 5 ? 40 : 10,
                                            .top = top,
                                            .idle_timeout = (1 + seed % 4) * INTERVAL / 2});
        memset(last, 0, sizeof(last));
        for (int n = 0; n < 200; n++) {
            bool rest = n % 5 >= 3; /* two reads without packets: all is said after them */
            unsigned up = 0;

            if (!rest && random_once_in(&random, 5))
                ledger_listening(book.ledger, PB_KEY(PB_UDP, random_below(&random, 5)), book.now);
            for (__u32 m = rest ? 0 : random_below(&random, 12); m; m--) {
                struct pb_counters delta = {.rx_bytes = 1 + random_below(&random, 30000),
                                            .tx_packets = 1};
                __u32 port = random_below(&random, MODEL_PORTS);

                /* Listening ones are UDP, so that TCP is what TopPorts limits. */
                ledger_account(book.ledger, DYNAMIC,
                               port < 10 ? PB_KEY(PB_UDP, port) : PB_KEY(PB_TCP, port),
                               delta.rx_bytes, &delta);
                add(&all, &delta);
            }
            settle_and_say();
            reads++;
            for (unsigned i = 0; i < book.words; i++) {
                __u32 known = 0;

                while (known < series && strcmp(last[known].instance, book.word[i].instance))
                    known++;
                series += known == series;
                fell += is_less(&book.word[i].total, &last[known].total);
                last[known] = book.word[i];
            }
            for (__u32 port = 10; port < MODEL_PORTS; port++)
                up += ledger_is_active(book.ledger, PB_KEY(PB_TCP, port));
            crowded += top && up > top;
            ended += series > book.words;
            if (n % 5 == 4) {
                struct pb_counters sum = {0};

                for (__u32 known = 0; known < series; known++)
                    add(&sum, &last[known].total);
                wrong += memcmp(&sum, &all, sizeof(sum)) != 0;
            }
        }
        end();
    }
    is_u64(fell, 0, "ports come and go: no total ever falls");
    is_u64(crowded, 0, "ports come and go: never more at a time than TopPorts");
    is_u64(wrong, 0, "ports come and go: two reads after the traffic everything was said");
    ok(ended > reads / 2, "ports come and go: they did");
}

int main(void) {
    test_nothing();
    test_zero_first();
    test_zero_first_carries_on();
    test_all_fields();
    test_fixed();
    test_packets_without_bytes();
    test_min_bytes();
    test_min_bytes_over_reads();
    test_min_bytes_zero();
    test_min_bytes_largest();
    test_other_by_transport();
    test_two_slots_one_port();
    test_limit();
    test_limit_exact();
    test_limit_is_of_one_interface();
    test_rest();
    test_rest_while_late();
    test_selected();
    test_selected_with_traffic();
    test_selected_ignores_limits();
    test_selected_again();
    test_listening();
    test_listening_with_traffic();
    test_socket_closed();
    test_socket_closed_but_busy();
    test_busy_port_listens();
    test_listening_limit();
    test_idle();
    test_idle_at_once();
    test_top();
    test_top_return();
    test_top_pause();
    test_top_displaces_newcomer();
    test_top_and_limit();
    test_top_counts_busy_only();
    test_random();
    test_random_coming_and_going();
    return tap_end();
}
