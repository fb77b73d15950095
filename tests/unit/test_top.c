/* SPDX-License-Identifier: MIT */
/*
 * The table of tc_portbytes-top: values become sorted rows with exact sums. Whatever the values and
 * names are, the text is printable and fits the window, and the JSON is valid.
 *
 * Links: plugin/top/print.c plugin/top/seen.c plugin/top/table.c.
 * LDFLAGS: -Wl,--wrap=getservbyport
 */
#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>

#include "random.h"
#include "tap.h"
#include "top/print.h"
#include "top/seen.h"
#include "top/table.h"

/* Instead of /etc/services, which may be missing or differ. */
struct servent *__wrap_getservbyport(int port, const char *transport);

struct servent *__wrap_getservbyport(int port, const char *transport) {
    static struct servent https = {.s_name = "https"}, domain = {.s_name = "domain"},
                          bad = {.s_name = "e\033[2J"};

    if (port == htons(1))
        return &bad;
    return port == htons(443) && !strcmp(transport, "tcp")  ? &https
           : port == htons(53) && !strcmp(transport, "udp") ? &domain
                                                            : NULL;
}

static struct top_table table;
static char *text;
static size_t text_size;

static void reset(void) {
    top_table_free(&table);
    top_table_init(&table, 20000);
}

static void port(const char *host, const char *interface, const char *instance, double rx_bytes,
                 double rx_packets, double tx_bytes, double tx_packets) {
    struct top_row *row = top_table_add(&table, host, interface, instance);

    top_row_set(row, "port_traffic", "rx_bytes", rx_bytes);
    top_row_set(row, "port_traffic", "rx_packets", rx_packets);
    top_row_set(row, "port_traffic", "tx_bytes", tx_bytes);
    top_row_set(row, "port_traffic", "tx_packets", tx_packets);
}

static void sort(enum top_sort order) {
    top_table_finish(&table);
    top_table_sort(&table, order);
}

static const char *as_text(struct top_view view) {
    FILE *to;

    free(text);
    to = open_memstream(&text, &text_size);
    top_print_text(to, &table, &view);
    fclose(to);
    return text;
}

static const char *view_as_json(struct top_view view) {
    FILE *to;

    free(text);
    to = open_memstream(&text, &text_size);
    top_print_json(to, &table, 1.5, &view);
    fclose(to);
    return text;
}

static const char *as_json(size_t ports) {
    return view_as_json((struct top_view){.ports = ports});
}

static const struct top_view plain = {.columns = 63, .ports = 10};

static size_t line_count(const char *output) {
    size_t lines = 0;

    for (; *output; output++)
        lines += *output == '\n';
    return lines;
}

static size_t widest(const char *output) {
    size_t max = 0;

    for (const char *end; (end = strchr(output, '\n')); output = end + 1)
        if ((size_t)(end - output) > max)
            max = end - output;
    return max;
}

static void formats(double value, const char *expected) {
    char got[16];

    top_format_rate(got, sizeof(got), value);
    is_text(got, expected, "%g is shown as %s", value, expected);
}

static void test_format(void) {
    formats(0, "-");
    formats(NAN, "?");
    formats(0.25, "0.25");
    formats(1, "1.00");
    formats(9.996, "10.0");
    formats(999.4, "999");
    formats(999.6, "1.00 k");
    formats(12345, "12.3 k");
    formats(123456, "123 k");
    formats(9.996e6, "10.0 M");
    formats(1.5e9, "1.50 G");
    formats(2e12, "2.00 T");
    formats(1e300, "999 E");
}

static void test_order(void) {
    port("h", "eth0", "tcp-80", 100, 9, 50, 1);
    port("h", "eth1", "udp-53", 4000, 1, 4000, 1);
    port("h", "eth0", "tcp-443", 10, 1, 900, 2);
    port("h", "eth0", "tcp-9", 0, 0, 0, 0);
    port("h", "eth0", "tcp-10", 0, 0, 0, 0);
    sort(TOP_BY_TOTAL);
    is_u64(table.interface_count, 2, "a group for each interface");
    is_text(table.interfaces[0].rows->interface, "eth1", "the busiest interface is first");
    is_text(table.interfaces[1].rows[0].instance, "tcp-443", "the busiest port is first");
    is_text(table.interfaces[1].rows[1].instance, "tcp-80", "then the next");
    is_text(table.interfaces[1].rows[2].instance, "tcp-9",
            "equal ones by name, numbers in numeric order");
    is_text(as_text(plain),
            "eth1 on h                  in bit/s   pkt/s out bit/s   pkt/s\n"
            "udp-53         domain        32.0 k    1.00    32.0 k    1.00\n"
            "sum                          32.0 k    1.00    32.0 k    1.00\n"
            "\n"
            "eth0 on h                  in bit/s   pkt/s out bit/s   pkt/s\n"
            "tcp-443        https           80.0    1.00    7.20 k    2.00\n"
            "tcp-80                          800    9.00       400    1.00\n"
            "tcp-9                             -       -         -       -\n"
            "tcp-10                            -       -         -       -\n"
            "sum                             880    10.0    7.60 k    3.00\n",
            "the text; the sum of an interface is the sum of its ports");
    reset();
}

static void test_rest(void) {
    port("h", "eth0", "tcp-1", 8, 1, 80, 2);
    port("h", "eth0", "tcp-2", 4, 3, 40, 4);
    port("h", "eth0", "tcp-3", 2, 5, 20, 6);
    sort(TOP_BY_TOTAL);
    is_text(as_json(1),
            "{\"time\":1.500,\"interfaces\":[{\"host\":\"h\",\"interface\":\"eth0\","
            "\"rx_bytes\":14,\"rx_packets\":9,\"tx_bytes\":140,\"tx_packets\":12,"
            "\"ports\":[{\"instance\":\"tcp-1\","
            "\"rx_bytes\":8,\"rx_packets\":1,\"tx_bytes\":80,\"tx_packets\":2}],"
            "\"rest\":{\"number\":2,"
            "\"rx_bytes\":6,\"rx_packets\":8,\"tx_bytes\":60,\"tx_packets\":10}}]}\n",
            "ports that are not shown are summed up");
    ok(strstr(as_json(3), "\"rest\":{\"number\":0,\"rx_bytes\":0,") != NULL, "an empty rest is 0");
    ok(strstr(as_text((struct top_view){.columns = 63, .ports = 0}),
              "\nand 3 more                      112    9.00    1.12 k    12.0\n"
              "sum                             112    9.00    1.12 k    12.0\n") != NULL,
       "so they are in the text, with no port shown at all");
    ok(strstr(as_text((struct top_view){.columns = 63, .ports = 1}),
              "\nand 2 more                     48.0    8.00       480    10.0\n") != NULL,
       "or one port shown, which the rest leaves out");
    reset();
}

static void test_decrypted(void) {
    port("h", "eth0", "decrypted", 7000, 70, 0, 0);
    port("h", "eth0", "ip-esp", 80, 8, 40, 4);
    port("h", "eth0", "tcp-1", 2, 5, 20, 6);
    port("h", "eth1", "tcp-1", 500, 5, 20, 6);
    port("h", "eth2", "decrypted", 8000, 9, 0, 0);
    sort(TOP_BY_TOTAL);
    is_text(table.interfaces[0].sum.interface, "eth1", "decrypted does not rank an interface");
    is_text(as_text(plain),
            "eth1 on h                  in bit/s   pkt/s out bit/s   pkt/s\n"
            "tcp-1          e?[2J         4.00 k    5.00       160    6.00\n"
            "sum                          4.00 k    5.00       160    6.00\n"
            "\n"
            "eth0 on h                  in bit/s   pkt/s out bit/s   pkt/s\n"
            "ip-esp                          640    8.00       320    4.00\n"
            "tcp-1          e?[2J           16.0    5.00       160    6.00\n"
            "sum                             656    13.0       480    10.0\n"
            "decrypted, not in the sum    56.0 k    70.0         -       -\n"
            "\n"
            "eth2 on h                  in bit/s   pkt/s out bit/s   pkt/s\n"
            "sum                               -       -         -       -\n"
            "decrypted, not in the sum    64.0 k    9.00         -       -\n",
            "but has a line below the sum, which leaves it out");
    ok(strstr(as_json(1), "\"rx_bytes\":82,\"rx_packets\":13,\"tx_bytes\":60,\"tx_packets\":10,"
                          "\"ports\":[{\"instance\":\"ip-esp\",") != NULL,
       "in JSON the sums of an interface leave it out, too");
    ok(strstr(text,
              "\"rest\":{\"number\":1,"
              "\"rx_bytes\":2,\"rx_packets\":5,\"tx_bytes\":20,\"tx_packets\":6},"
              "\"decrypted\":{"
              "\"rx_bytes\":7000,\"rx_packets\":70,\"tx_bytes\":0,\"tx_packets\":0}}") != NULL,
       "so does the rest, and it is an object of its own");
    reset();
}

/* With a digit more the name of a group has 32 characters, the most there can be. */
#define GROUP "rtp.media_1-0123456789-01234567"

static void test_groups(void) {
    port("h", "eth0", "group-" GROUP "9", 6, 1, 4, 1);
    port("h", "eth0", "group-" GROUP "8", 8, 1, 1, 1);
    port("h", "eth0", "group-1", 7, 1, 1, 1);
    port("h", "eth0", "ip-1", 6, 1, 1, 1);
    port("h", "eth0", "tcp-1", 5, 1, 1, 1);
    port("h", "eth0", "group-tcp-443", 4, 1, 1, 1);
    sort(TOP_BY_TOTAL);
    as_text((struct top_view){.columns = 80, .ports = 9});
    ok(strstr(text, "\n[" GROUP "9] ") && strstr(text, "\n[" GROUP "8] "),
       "the longest names of groups are whole, and in brackets");
    ok(strstr(text, "eth0 on h                          in bit/s   pkt/s out bit/s   pkt/s\n"
                    "[" GROUP "9]     48.0    1.00      32.0    1.00  #####----\n") != NULL,
       "the columns are still aligned, and the bar has the rest of the line");
    ok(strstr(text, "\nsum                                     288    6.00      72.0    6.00\n") !=
           NULL,
       "a group is in the sum as a port is");
    as_text((struct top_view){.columns = 66, .ports = 9});
    ok(strstr(text, "\n[rtp.media_1-0123456789-0123456     48.0    1.00      32.0    1.00\n") !=
           NULL,
       "in a narrow window the names give way to the rates");
    ok(strstr(text, "\n[1]            group ") && strstr(text, "\n[tcp-443]      group ") &&
           strstr(text, "\nip-1       ") && strstr(text, "\ntcp-1          e?[2J ") &&
           !strstr(strstr(text, "e?[2J") + 1, "e?[2J") && !strstr(text, "https"),
       "a number in the name of a group or a protocol is not a port");
    ok(strstr(as_json(9), "{\"instance\":\"group-" GROUP "9\",") != NULL, "the names in JSON");
    reset();

    port("h", "eth0", "group-123456789012345678", 6, 1, 4, 1);
    port("h", "eth0", "group-1234567890123456789", 5, 1, 4, 1);
    sort(TOP_BY_TOTAL);
    as_text(plain);
    ok(strstr(text, "\n[123456789012345678] group ") && strstr(text, "\n[1234567890123456789]  "),
       "\"group\" is whole or not there");
    reset();
}

/* The order of the interfaces, and that of the rows of eth0. */
static void in_order(enum top_sort order, const char *expected) {
    char got[256] = "";

    top_table_sort(&table, order);
    for (size_t i = 0; i < table.interface_count; i++)
        strcat(strcat(got, table.interfaces[i].sum.interface), " ");
    for (size_t i = 0; i < table.interface_count; i++)
        if (!strcmp(table.interfaces[i].sum.interface, "eth0"))
            for (size_t row = 0; row < table.interfaces[i].row_count; row++)
                strcat(strcat(got, table.interfaces[i].rows[row].instance), " ");
    is_text(got, expected, "sorted by %s", top_sort_names[order]);
}

static void test_sort(void) {
    port("h", "eth0", "tcp-9", 100, 1, 900, 1);
    port("h", "eth0", "tcp-80", 500, 2, 510, 3);
    port("h", "eth0", "tcp-443", 300, 90, NAN, 80);
    port("h", "eth0", "group-web", 10, 60, 20, NAN);
    port("h", "eth0", "decrypted", 9999, 9999, 9999, 9999);
    port("h", "eth1", "udp-53", 800, 1000, 900, 1);
    port("h", "eth2", "udp-53", 1500, 10, 0, 9);
    top_table_finish(&table);
    in_order(TOP_BY_NAME, "eth0 eth1 eth2 group-web tcp-9 tcp-80 tcp-443 ");
    in_order(TOP_BY_TOTAL, "eth0 eth1 eth2 tcp-80 tcp-9 tcp-443 group-web ");
    in_order(TOP_BY_IN, "eth2 eth0 eth1 tcp-80 tcp-443 tcp-9 group-web ");
    in_order(TOP_BY_OUT, "eth0 eth1 eth2 tcp-9 tcp-80 group-web tcp-443 ");
    in_order(TOP_BY_PACKETS, "eth1 eth0 eth2 tcp-443 group-web tcp-80 tcp-9 ");
    in_order(TOP_BY_NAME, "eth0 eth1 eth2 group-web tcp-9 tcp-80 tcp-443 ");
    ok(strstr(
           as_text((struct top_view){.columns = 83, .ports = 2}),
           "eth0 on h                  in bit/s   pkt/s out bit/s   pkt/s  in #, out -\n"
           "[web]          group           80.0    60.0       160       ?  -\n"
           "tcp-9                           800    1.00    7.20 k    1.00  ##------------------\n"
           "and 2 more                   6.40 k    92.0    4.08 k    83.0\n"
           "sum                          7.28 k     153    11.4 k    84.0\n"
           "decrypted, not in the sum    80.0 k  10.0 k    80.0 k  10.0 k\n"),
       "in any order the busiest has the longest bar, shown or not, and decrypted is apart");
    reset();
}

static bool has_rates(const struct top_row *row, double rx_bytes, double rx_packets,
                      double tx_bytes, double tx_packets) {
    return row->rate[TOP_RX_BYTES] == rx_bytes && row->rate[TOP_RX_PACKETS] == rx_packets &&
           row->rate[TOP_TX_BYTES] == tx_bytes && row->rate[TOP_TX_PACKETS] == tx_packets;
}

static void standard_types(void) {
    struct top_row *row = top_table_add(&table, "h", "eth0", "tcp-443");

    top_row_set(row, "if_packets", "rx", 3);
    top_row_set(row, "if_packets", "tx", 4);
    port("h", "eth0", "udp-53", 1, 1, 1, 1);
    row = top_table_add(&table, "h", "eth0", "tcp-443");
    top_row_set(row, "if_octets", "rx", 300);
    top_row_set(row, "if_octets", "tx", 400);
    top_row_set(row, "if_octets", "rx_bytes", 9);
    top_row_set(row, "if_errors", "rx", 9);
}

static void test_standard_types(void) {
    standard_types();
    sort(TOP_BY_TOTAL);
    is_u64(table.interfaces[0].row_count, 2, "bytes and packets of a port are one row");
    is_text(table.interfaces[0].rows->instance, "tcp-443", "named after it");
    ok(has_rates(table.interfaces[0].rows, 300, 3, 400, 4),
       "with all four rates, and no other data source or type");
    reset();

    port("h", "eth0", "tcp-443", 300, 3, 400, 4);
    standard_types();
    sort(TOP_BY_TOTAL);
    ok(has_rates(&table.interfaces[0].sum, 301, 4, 401, 5),
       "a port that a server has in both types is counted once");
    reset();
}

static void test_unknown(void) {
    port("h", "eth0", "tcp-1", NAN, INFINITY, -1, 1e19);
    port("h", "eth0", "tcp-2", 5, NAN, 6, NAN);
    sort(TOP_BY_TOTAL);
    ok(strstr(as_json(10), "\"rx_bytes\":5,\"rx_packets\":null,\"tx_bytes\":6,\"tx_packets\":null,"
                           "\"ports\":[{\"instance\":\"tcp-2\"") != NULL,
       "a sum leaves unknown rates out; a sum of unknown rates only is unknown");
    ok(strstr(text, "\"tcp-1\",\"rx_bytes\":null,\"rx_packets\":null,\"tx_bytes\":null,"
                    "\"tx_packets\":null}") != NULL,
       "NaN, infinite, negative and implausible values are null");
    ok(strstr(as_text(plain), "    ?       ?         ?       ?\n") != NULL, "and ? in the text");
    reset();
    sort(TOP_BY_TOTAL);
    is_text(as_json(10), "{\"time\":1.500,\"interfaces\":[]}\n", "no series at all");
    is_text(as_text(plain), "", "no series, no text");
}

static bool is_plain(const char *output) {
    for (; *output; output++)
        if (*output != '\n' && (*output < ' ' || *output > '~'))
            return false;
    return true;
}

static void test_names(void) {
    port("h\"\\\n", "eth\033[2J", "tcp-\xff\x7f", 1, 1, 1, 1);
    port("h\"\\\n", "eth\033[2J", "tcp-1", 2, 1, 1, 1);
    port("\x9b", "eth0", "udp-\b", 1, 1, 1, 1);
    sort(TOP_BY_TOTAL);
    ok(strstr(as_json(10), "{\"host\":\"h\\\"\\\\\\u000a\",\"interface\":\"eth\\u001b[2J\"") !=
           NULL,
       "quotes, backslashes and control characters are escaped");
    ok(strstr(text, "\"tcp-\\u00ff\\u007f\"") && is_plain(text), "so are bytes that are not ASCII");
    ok(strstr(as_text(plain), "eth?[2J on h\"\\? ") && strstr(text, "\ntcp-??  ") &&
           strstr(text, "\ntcp-1          e?[2J ") && is_plain(text),
       "none of them reaches a terminal, not from services(5) either");
    reset();

    port("h", "eth0", "tcp-443x", 9, 1, 1, 1);
    port("h", "eth0", "tcp-65979", 8, 1, 1, 1); /* 65536 + 443 */
    port("h", "eth0", "tcp-", 7, 1, 1, 1);
    port("h", "eth0", "", 6, 1, 1, 1);
    port("h", "eth0", "udp-443", 6, 1, 1, 1);
    sort(TOP_BY_TOTAL);
    ok(!strstr(as_text(plain), "https"),
       "only a valid port number of the right transport has a service name");
    reset();

    port("h", "eth0", "ip-rsvp-e2e-ignore", 5, 1, 1, 1);
    sort(TOP_BY_TOTAL);
    ok(strstr(as_text(plain), "\nip-rsvp-e2e-ignore             40.0 ") != NULL,
       "a long name is not truncated");
    reset();
}

static void test_hosts(void) {
    port("b", "eth0", "tcp-1", 1, 1, 1, 1);
    port("a.with-a-name.that-is-long.example.org", "eth0", "tcp-1", 1, 1, 1, 1);
    sort(TOP_BY_TOTAL);
    is_u64(table.interface_count, 2, "interfaces of the same name on two hosts are two groups");
    ok(!strncmp(as_text(plain), "eth0 on a.with-a-name.that-is-long.example.org ", 47) &&
           strstr(text, "\n\neth0 on b "),
       "each with its host");
    reset();
}

static void test_bars(void) {
    struct top_view view = {.columns = 73, .ports = 9};

    port("h", "eth0", "tcp-1", 60, 1, 40, 1);
    port("h", "eth0", "tcp-2", 0, 1, 50, 1);
    port("h", "eth0", "tcp-3", 0, 0, 1, 1);
    sort(TOP_BY_TOTAL);
    as_text(view);
    ok(strstr(text, "  ######----\n") && strstr(text, "0  -----\n") && widest(text) == 73,
       "the busiest port's bar fills the line, egress after ingress");
    view.columns = 300;
    ok(widest(as_text(view)) == 61 + 2 + 60, "up to 60 columns");
    view.columns = 63;
    ok(widest(as_text(view)) == 61 && !strchr(text, '#'), "without space for one there is no bar");
    reset();

    port("h", "eth0", "tcp-1", 3e-308, 1, 0, 1);
    sort(TOP_BY_TOTAL);
    view.columns = 73;
    ok(strstr(as_text(view), "  ##########\n") != NULL,
       "the smallest possible rate has a full bar, too");
    reset();
}

/* ---- what is new ---- */

static struct seen seen;

/* The ports of eth0 in a table at this time: which of them are new. */
static const char *new_at(__u64 now, const char *ports) {
    static char got[64];

    reset();
    for (const char *p = ports; *p; p++) {
        char instance[] = {'t', 'c', 'p', '-', *p, '\0'};

        port("h", "eth0", instance, *p, 1, 1, 1);
    }
    top_table_finish(&table);
    ok(!seen_update(&seen, &table, now, 300), "an update at %llu", (unsigned long long)now);
    top_table_sort(&table, TOP_BY_NAME);
    *got = '\0';
    for (size_t i = 0; i < table.row_count; i++)
        if (table.rows[i].is_new)
            strcat(got, strchr(table.rows[i].instance, '-') + 1);
    return got;
}

static void test_new(void) {
    is_text(new_at(0, ""), "", "nothing is new in an empty table");
    is_text(new_at(1, "135"), "", "nor in the first one with rows");
    is_text(new_at(11, "1235"), "2", "a series that comes up later is");
    is_text(new_at(310, "12345"), "24", "for as long as was asked");
    is_text(new_at(311, "12345"), "4", "and no longer");
    is_text(new_at(400, "1345"), "4", "one that ends");
    is_text(new_at(699, "1345"), "", "and is absent for less than that");
    is_text(new_at(699, "12345"), "", "is not new when it comes again");
    is_text(new_at(700, "1345"), "", "one that ends");
    is_text(new_at(1000, "1345"), "", "and is absent for as long as that");
    is_text(new_at(1001, "12345"), "2", "is new again");
    is_text(new_at(9000, ""), "", "without collectd's answers no time passes for what is absent:");
    is_text(new_at(9001, "12345"), "", "all that were in the last one are known");
    is_text(new_at(9002, "123"), "", "one that ends and comes again while it is new");
    is_text(new_at(9003, "1236"), "6", "stays new");
    is_text(new_at(9010, "123"), "", "no longer");
    is_text(new_at(9302, "1236"), "6", "than it would have been");
    is_text(new_at(9303, "1236"), "", "otherwise");
    seen_free(&seen);

    new_at(1, "1");
    reset();
    port("h", "eth0", "tcp-1", 4, 1, 0, 1);
    port("h", "eth0", "tcp-4444", 1, 1, 1, 1);
    port("h", "eth0", "group-web", 2, 1, 1, 1);
    port("h", "eth1", "tcp-1", 2, 1, 1, 1);
    port("g", "eth0", "tcp-1", 1, 1, 1, 1);
    top_table_finish(&table);
    seen_update(&seen, &table, 2, 300);
    top_table_sort(&table, TOP_BY_TOTAL);
    as_text((struct top_view){.columns = 90, .ports = 9, .marks_new = true});
    ok(strstr(
           text,
           "eth0 on h                    in bit/s   pkt/s out bit/s   pkt/s  in #, out -\n"
           "  tcp-1          e?[2J           32.0    1.00         -    1.00  ####################"
           "#####\n"
           "+ [web]          group           16.0    1.00      8.00    1.00  #############------"
           "\n"
           "+ tcp-4444                       8.00    1.00      8.00    1.00  ######-------\n"
           "sum                              56.0    3.00      16.0    3.00\n") != NULL,
       "what is new has a mark in front");
    ok(strstr(text, "eth1 on h ") && strstr(text, "eth0 on g ") &&
           strstr(strstr(text, "eth1 on h "), "\n+ tcp-1 ") &&
           strstr(strstr(text, "eth0 on g "), "\n+ tcp-1 "),
       "a port is known by its host and interface");
    ok(strstr(as_text((struct top_view){.columns = 90, .ports = 2, .marks_new = true}),
              "\nand 1 more, 1 new ") &&
           strstr(as_text((struct top_view){.columns = 90, .ports = 0, .marks_new = true}),
                  "\nand 3 more, 2 new "),
       "those that are not shown are counted");
    ok(!strpbrk(as_text((struct top_view){.columns = 60, .ports = 1}), "+,") &&
           !strstr(as_json(1), "\"new\""),
       "unless asked for there is nothing about it");
    view_as_json((struct top_view){.ports = 2, .marks_new = true});
    ok(strstr(text, "\"ports\":[{\"instance\":\"tcp-1\",\"new\":false,\"rx_bytes\":4,") &&
           strstr(text, "{\"instance\":\"group-web\",\"new\":true,\"rx_bytes\":2,") &&
           strstr(text, "\"rest\":{\"number\":1,\"new\":1,"),
       "in JSON they have a member");
    seen_free(&seen);
    reset();
}

/* Against the definition: the times at which each of some series was in the table. */
static void test_new_random(void) {
    enum { SERIES = 40, PERIOD = 7, ROUNDS = 3000 };
    static unsigned absent_for[SERIES], new_until[SERIES];
    struct random random = {.state = 11};
    unsigned wrong = 0, marks = 0;

    for (unsigned i = 0; i < SERIES; i++)
        absent_for[i] = PERIOD + 1; /* unknown */
    for (unsigned now = 1; now < ROUNDS; now++) {
        bool expected[SERIES] = {0}, first = now == 1;

        reset();
        for (unsigned i = 0; i < SERIES; i++) {
            char instance[16];

            snprintf(instance, sizeof(instance), "tcp-%u", i);
            if (random_below(&random, 1 + i % 9) && !(first && i == 0)) {
                absent_for[i]++;
                continue;
            }
            port("h", "eth0", instance, i, 1, 1, 1);
            if (absent_for[i] > PERIOD)
                new_until[i] = first ? 0 : now + PERIOD;
            absent_for[i] = 0;
            expected[i] = now < new_until[i];
            marks += expected[i];
        }
        top_table_finish(&table);
        top_table_sort(&table, now % TOP_SORTS);
        seen_update(&seen, &table, now, PERIOD);
        for (size_t row = 0; row < table.row_count; row++)
            wrong +=
                table.rows[row].is_new != expected[strtoul(table.rows[row].instance + 4, NULL, 10)];
    }
    is_u64(wrong, 0, "series that come and go at random");
    ok(marks > 1000, "of which some are new (%u)", marks);
    seen_free(&seen);
    reset();
}

/* A network client of collectd's can make ever new series. */
static void test_new_bounded(void) {
    size_t most = 0;

    for (unsigned now = 1; now < 10; now++) {
        reset();
        for (unsigned i = 0; i < 20000; i++) {
            char instance[16];

            snprintf(instance, sizeof(instance), "tcp-%u-%u", now, i);
            port("h", "eth0", instance, 1, 1, 1, 1);
        }
        top_table_finish(&table);
        seen_update(&seen, &table, now, 300);
        if (seen.number > most)
            most = seen.number;
    }
    is_u64(most, 120000, "of series that have ended 100,000 are remembered");
    seen_free(&seen);
    reset();
}

/* Any number of interfaces and ports, in any window. */
static void test_lines(void) {
    unsigned wrong = 0, wide = 0, empty = 0;

    for (unsigned interfaces = 1; interfaces < 9; interfaces++) {
        for (unsigned i = 0; i < interfaces; i++)
            for (unsigned p = 0; p <= i * 3; p++) {
                char host[8], interface[16], instance[16];

                snprintf(host, sizeof(host), "h%u", i % (interfaces > 4 ? 2 : 1));
                snprintf(interface, sizeof(interface), "eth%u", i);
                snprintf(instance, sizeof(instance), "tcp-%u", p);
                port(host, interface, instance, p, p, p, p);
                if (p == 0 && interfaces % 2 == 0)
                    port(host, interface, "decrypted", 1, 1, 0, 0);
            }
        sort(TOP_BY_TOTAL);
        for (unsigned lines = 6; lines < 100; lines++) {
            as_text((struct top_view){.columns = 80, .lines = lines, .ports = (size_t)-1});
            wrong += line_count(text) > lines;
            empty += !strstr(text, "\ntcp-");
            as_text((struct top_view){.columns = lines, .lines = 6, .ports = 9});
            wide += widest(text) > lines;
        }
        reset();
    }
    is_u64(wrong, 0, "no table has more lines than the window");
    is_u64(wide, 0, "or more columns");
    is_u64(empty, 0, "each shows at least one port");
}

static void test_many(void) {
    struct random random = {.state = 7};
    unsigned wrong = 0;
    double sum = 0;

    for (unsigned i = 0; i < 20000; i++) {
        char instance[16];
        double bytes = random_below(&random, 1000);

        snprintf(instance, sizeof(instance), "tcp-%u", i);
        port("h", "eth0", instance, bytes, 0, 0, 0);
        sum += bytes;
    }
    sort(TOP_BY_TOTAL);
    for (size_t i = 1; i < table.row_count; i++)
        wrong += table.rows[i - 1].total_bytes < table.rows[i].total_bytes;
    is_u64(wrong, 0, "20,000 series are sorted");
    ok(table.interfaces[0].sum.rate[TOP_RX_BYTES] == sum, "and summed up exactly");
    as_json((size_t)-1);
    ok(text_size > table.row_count * 50, "and printed");
    reset();
}

int main(void) {
    reset();
    test_format();
    test_order();
    test_rest();
    test_decrypted();
    test_groups();
    test_standard_types();
    test_unknown();
    test_names();
    test_hosts();
    test_bars();
    test_sort();
    test_new();
    test_new_random();
    test_new_bounded();
    test_lines();
    test_many();
    top_table_free(&table);
    free(text);
    return tap_end();
}
