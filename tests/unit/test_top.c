/* SPDX-License-Identifier: MIT */
/*
 * The table of tc_portbytes-top: values become sorted rows with exact sums. Whatever the values and
 * names are, the text is printable and fits the window, and the JSON is valid.
 *
 * Links: plugin/top/table.c.
 * LDFLAGS: -Wl,--wrap=getservbyport
 */
#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>

#include "random.h"
#include "tap.h"
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

static const char *as_text(struct top_view view) {
    FILE *to;

    free(text);
    to = open_memstream(&text, &text_size);
    top_print_text(to, &table, &view);
    fclose(to);
    return text;
}

static const char *as_json(size_t ports) {
    FILE *to;

    free(text);
    to = open_memstream(&text, &text_size);
    top_print_json(to, &table, 1.5, ports);
    fclose(to);
    return text;
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
    top_table_sort(&table);
    is_u64(table.group_count, 2, "a group for each interface");
    is_text(table.groups[0].rows->interface, "eth1", "the busiest interface is first");
    is_text(table.groups[1].rows[0].instance, "tcp-443", "the busiest port is first");
    is_text(table.groups[1].rows[1].instance, "tcp-80", "then the next");
    is_text(table.groups[1].rows[2].instance, "tcp-9",
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
    top_table_sort(&table);
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
    top_table_sort(&table);
    is_text(table.groups[0].sum.interface, "eth1", "decrypted does not rank an interface");
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

/* With a digit more, "group-" and a name of 32 characters, the longest. */
#define GROUP "group-rtp.media_1-0123456789-01234567"

static void test_groups(void) {
    port("h", "eth0", GROUP "9", 6, 1, 4, 1);
    port("h", "eth0", GROUP "8", 8, 1, 1, 1);
    port("h", "eth0", "group-1", 7, 1, 1, 1);
    port("h", "eth0", "ip-1", 6, 1, 1, 1);
    port("h", "eth0", "tcp-1", 5, 1, 1, 1);
    top_table_sort(&table);
    as_text((struct top_view){.columns = 80, .ports = 9});
    ok(strstr(text, "\n" GROUP "9 ") && strstr(text, "\n" GROUP "8 "),
       "the longest names of groups are whole");
    ok(strstr(text,
              "eth0 on h                              in bit/s   pkt/s out bit/s   pkt/s\n" GROUP
              "9     48.0    1.00      32.0    1.00  ###--\n") != NULL,
       "the columns are still aligned, and the bar has the rest of the line");
    as_text((struct top_view){.columns = 70, .ports = 9});
    ok(strstr(text, "\ngroup-rtp.media_1-0123456789-012345     48.0    1.00      32.0    1.00\n") !=
           NULL,
       "in a narrow window the names give way to the rates");
    ok(strstr(text, "\ngroup-1     ") && strstr(text, "\nip-1       ") &&
           strstr(text, "\ntcp-1          e?[2J ") && !strstr(strstr(text, "e?[2J") + 1, "e?[2J"),
       "a number in the name of a group or a protocol is not a port");
    ok(strstr(as_json(9), "{\"instance\":\"" GROUP "9\",") != NULL, "the names in JSON");
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
    top_table_sort(&table);
    is_u64(table.groups[0].row_count, 2, "bytes and packets of a port are one row");
    is_text(table.groups[0].rows->instance, "tcp-443", "named after it");
    ok(has_rates(table.groups[0].rows, 300, 3, 400, 4),
       "with all four rates, and no other data source or type");
    reset();

    port("h", "eth0", "tcp-443", 300, 3, 400, 4);
    standard_types();
    top_table_sort(&table);
    ok(has_rates(&table.groups[0].sum, 301, 4, 401, 5),
       "a port that a server has in both types is counted once");
    reset();
}

static void test_unknown(void) {
    port("h", "eth0", "tcp-1", NAN, INFINITY, -1, 1e19);
    port("h", "eth0", "tcp-2", 5, NAN, 6, NAN);
    top_table_sort(&table);
    ok(strstr(as_json(10), "\"rx_bytes\":5,\"rx_packets\":null,\"tx_bytes\":6,\"tx_packets\":null,"
                           "\"ports\":[{\"instance\":\"tcp-2\"") != NULL,
       "a sum leaves unknown rates out; a sum of unknown rates only is unknown");
    ok(strstr(text, "\"tcp-1\",\"rx_bytes\":null,\"rx_packets\":null,\"tx_bytes\":null,"
                    "\"tx_packets\":null}") != NULL,
       "NaN, infinite, negative and implausible values are null");
    ok(strstr(as_text(plain), "    ?       ?         ?       ?\n") != NULL, "and ? in the text");
    reset();
    top_table_sort(&table);
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
    top_table_sort(&table);
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
    top_table_sort(&table);
    ok(!strstr(as_text(plain), "https"),
       "only a valid port number of the right transport has a service name");
    reset();

    port("h", "eth0", "ip-rsvp-e2e-ignore", 5, 1, 1, 1);
    top_table_sort(&table);
    ok(strstr(as_text(plain), "\nip-rsvp-e2e-ignore             40.0 ") != NULL,
       "a long name is not truncated");
    reset();
}

static void test_hosts(void) {
    port("b", "eth0", "tcp-1", 1, 1, 1, 1);
    port("a.with-a-name.that-is-long.example.org", "eth0", "tcp-1", 1, 1, 1, 1);
    top_table_sort(&table);
    is_u64(table.group_count, 2, "interfaces of the same name on two hosts are two groups");
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
    top_table_sort(&table);
    as_text(view);
    ok(strstr(text, "  ######----\n") && strstr(text, "0  -----\n") && widest(text) == 73,
       "the busiest port's bar fills the line, egress after ingress");
    view.columns = 300;
    ok(widest(as_text(view)) == 61 + 2 + 60, "up to 60 columns");
    view.columns = 63;
    ok(widest(as_text(view)) == 61 && !strchr(text, '#'), "without space for one there is no bar");
    reset();

    port("h", "eth0", "tcp-1", 3e-308, 1, 0, 1);
    top_table_sort(&table);
    view.columns = 73;
    ok(strstr(as_text(view), "  ##########\n") != NULL,
       "the smallest possible rate has a full bar, too");
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
        top_table_sort(&table);
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
    top_table_sort(&table);
    for (size_t i = 1; i < table.row_count; i++)
        wrong += table.rows[i - 1].total_bytes < table.rows[i].total_bytes;
    is_u64(wrong, 0, "20,000 series are sorted");
    ok(table.groups[0].sum.rate[TOP_RX_BYTES] == sum, "and summed up exactly");
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
    test_lines();
    test_many();
    top_table_free(&table);
    free(text);
    return tap_end();
}
