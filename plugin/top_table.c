/* SPDX-License-Identifier: MIT */
#include "top_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define ROW_COLUMNS 61   /* without the bar */
#define MOST_BAR    60   /* beyond that the eye loses its line */
#define MOST_RATE   1e18 /* a second: what says more is wrong, and must not become infinite */

/* The data sources: those of port_traffic (conf/tc_portbytes.db), of types.db the others. */
static const struct {
    const char *type, *source;
    unsigned rate;
} sources[] = {
    {"port_traffic", "rx_bytes", TOP_RX_BYTES}, {"port_traffic", "rx_packets", TOP_RX_PACKETS},
    {"port_traffic", "tx_bytes", TOP_TX_BYTES}, {"port_traffic", "tx_packets", TOP_TX_PACKETS},
    {"if_octets", "rx", TOP_RX_BYTES},          {"if_octets", "tx", TOP_TX_BYTES},
    {"if_packets", "rx", TOP_RX_PACKETS},       {"if_packets", "tx", TOP_TX_PACKETS},
};

#define SOURCES (sizeof(sources) / sizeof(*sources))

bool top_knows(const char *type) {
    for (size_t i = 0; i < SOURCES; i++)
        if (!strcmp(type, sources[i].type))
            return true;
    return false;
}

/* ---- rows and groups ---- */

static void unknown(double rate[TOP_RATES]) {
    for (unsigned i = 0; i < TOP_RATES; i++)
        rate[i] = NAN;
}

/* What is not known adds nothing; a sum of such is not known either. */
static void add(double sum[TOP_RATES], const double rate[TOP_RATES]) {
    for (unsigned i = 0; i < TOP_RATES; i++)
        if (!isnan(rate[i]))
            sum[i] = isnan(sum[i]) ? rate[i] : sum[i] + rate[i];
}

static double or_zero(double rate) {
    return isnan(rate) ? 0 : rate;
}

static double busy(const double rate[TOP_RATES], bool packets) {
    return packets ? or_zero(rate[TOP_RX_PACKETS]) + or_zero(rate[TOP_TX_PACKETS])
                   : or_zero(rate[TOP_RX_BYTES]) + or_zero(rate[TOP_TX_BYTES]);
}

struct top_row *top_add(struct top_table *table, const char *host, const char *interface,
                        const char *instance) {
    struct top_row *row;

    if (table->number == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        struct top_row *rows = reallocarray(table->rows, room, sizeof(*rows));

        if (!rows)
            return NULL;
        table->rows = rows;
        table->room = room;
    }
    row = &table->rows[table->number++];
    memset(row, 0, sizeof(*row));
    snprintf(row->host, sizeof(row->host), "%s", host);
    snprintf(row->interface, sizeof(row->interface), "%s", interface);
    snprintf(row->instance, sizeof(row->instance), "%s", instance);
    unknown(row->rate);
    return row;
}

void top_set(struct top_row *row, const char *type, const char *source, double value) {
    if (!(value >= 0 && value <= MOST_RATE)) /* NaN too */
        return;
    for (size_t i = 0; i < SOURCES; i++)
        if (!strcmp(type, sources[i].type) && !strcmp(source, sources[i].source))
            row->rate[sources[i].rate] = value;
}

static int compare_interface(const struct top_row *x, const struct top_row *y) {
    int order = strcmp(x->host, y->host);

    return order ? order : strcmp(x->interface, y->interface);
}

static int compare_name(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;
    int order = compare_interface(x, y);

    return order ? order : strcmp(x->instance, y->instance);
}

static int compare_row(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;

    if (x->busy != y->busy)
        return x->busy < y->busy ? 1 : -1;
    return strverscmp(x->instance, y->instance);
}

static int compare_group(const void *a, const void *b) {
    const struct top_group *x = a, *y = b;

    if (x->busy != y->busy)
        return x->busy < y->busy ? 1 : -1;
    return compare_interface(x->rows, y->rows);
}

/* Bytes and packets of a port are value lists of their own with StandardTypes: one row. */
static void merge(struct top_table *table) {
    size_t number = 0;

    for (size_t i = 0; i < table->number; i++)
        if (number > 0 && !compare_name(&table->rows[number - 1], &table->rows[i]))
            add(table->rows[number - 1].rate, table->rows[i].rate);
        else
            table->rows[number++] = table->rows[i];
    table->number = number;
}

/* The group that begins with this row. */
static struct top_group group_of(struct top_row *rows, size_t most, bool packets) {
    struct top_group group = {.rows = rows};

    unknown(group.sum);
    while (group.number < most && !compare_interface(rows, &rows[group.number])) {
        struct top_row *row = &rows[group.number++];

        row->busy = busy(row->rate, packets);
        add(group.sum, row->rate);
    }
    group.busy = busy(group.sum, packets);
    qsort(rows, group.number, sizeof(*rows), compare_row);
    return group;
}

int top_arrange(struct top_table *table, bool packets) {
    if (table->number == 0)
        return 0;
    table->groups = calloc(table->number, sizeof(*table->groups));
    if (!table->groups)
        return -ENOMEM;
    qsort(table->rows, table->number, sizeof(*table->rows), compare_name);
    merge(table);
    for (size_t row = 0; row < table->number;) {
        struct top_group *next = &table->groups[table->groups_number++];

        *next = group_of(&table->rows[row], table->number - row, packets);
        row += next->number;
    }
    qsort(table->groups, table->groups_number, sizeof(*table->groups), compare_group);
    return 0;
}

void top_free(struct top_table *table) {
    free(table->rows);
    free(table->groups);
    memset(table, 0, sizeof(*table));
}

/* The sum of the rows from this one on; none: 0. */
static void sum_up(double sum[TOP_RATES], const struct top_group *group, size_t from) {
    for (unsigned i = 0; i < TOP_RATES; i++)
        sum[i] = from < group->number ? NAN : 0;
    for (size_t i = from; i < group->number; i++)
        add(sum, group->rows[i].rate);
}

/* ---- names ---- */

/*
 * All services, read once: getservbyport() reads the file from its beginning each time, which
 * with thousands of ports takes longer than all the rest.
 */
static const char *service_of(unsigned transport, unsigned port) {
    static const char *names[3][65536];
    static const char *const transports[3] = {"tcp", "udp", "sctp"};
    static bool loaded;

    if (!loaded) {
        const struct servent *entry;

        loaded = true;
        setservent(1);
        while ((entry = getservent()))
            for (unsigned t = 0; t < 3; t++) {
                const char **name = &names[t][ntohs((unsigned short)entry->s_port)];

                if (!*name && !strcmp(entry->s_proto, transports[t]))
                    *name = strdup(entry->s_name); /* kept; without memory just no name */
            }
        endservent();
    }
    return names[transport][port];
}

/* NULL: it is no port, or has no name. */
static const char *service(const char *instance) {
    static const char *const formats[3] = {"tcp-%5[0-9]%n", "udp-%5[0-9]%n", "sctp-%5[0-9]%n"};

    for (unsigned transport = 0; transport < 3; transport++) {
        char digits[6];
        unsigned long port;
        int length = 0;

        if (sscanf(instance, formats[transport], digits, &length) != 1 || instance[length])
            continue;
        port = strtoul(digits, NULL, 10);
        return port < 65536 ? service_of(transport, port) : NULL;
    }
    return NULL;
}

/* The service's name, or for what is no port a word about what it is. */
static const char *meaning(const char *instance) {
    const char *name = service(instance), *tail = strrchr(instance, '-');

    if (name)
        return name;
    if (!strcmp(instance, "nonip"))
        return "ARP, ...";
    if (tail && !strcmp(tail, "-ephemeral"))
        return "clients";
    if (tail && !strcmp(tail, "-other"))
        return "little used";
    return "";
}

void top_plain(char *to, size_t size, const char *from) {
    size_t i;

    for (i = 0; from[i] && i + 1 < size; i++)
        to[i] = (from[i] >= ' ' && from[i] <= '~') ? from[i] : '?';
    to[i] = '\0';
}

/* "tcp 443", "IP icmp", "not IP" */
static void label(char *to, size_t size, const char *instance) {
    char *dash;

    top_plain(to, size, strcmp(instance, "nonip") ? instance : "not IP");
    if (!strncmp(to, "ip-", 3)) {
        to[0] = 'I';
        to[1] = 'P';
    }
    dash = strchr(to, '-');
    if (dash)
        *dash = ' ';
}

/* ---- text ---- */

void top_human(char *to, size_t size, double value) {
    static const char units[] = " kMGTPE";
    unsigned unit = 0;
    int digits;

    if (isnan(value) || value == 0) {
        snprintf(to, size, "%s", value == 0 ? "-" : "?");
        return;
    }
    while (value >= 999.5 && units[unit + 1]) {
        value /= 1000;
        unit++;
    }
    value = fmin(value, 999);
    digits = value < 9.995 && (unit || value < 1) ? 2 : value < 99.95 && unit ? 1 : 0;
    snprintf(to, size, unit ? "%.*f %c" : "%.*f", digits, value, units[unit]);
}

static void repeat(FILE *to, const char *text, long times) {
    while (times-- > 0)
        fputs(text, to);
}

/* What comes in, then what goes out; the longest is `most`. */
static void bar(FILE *to, const struct top_view *view, const double rate[TOP_RATES], double most) {
    double in = or_zero(rate[view->packets ? TOP_RX_PACKETS : TOP_RX_BYTES]);
    double out = or_zero(rate[view->packets ? TOP_TX_PACKETS : TOP_TX_BYTES]);
    unsigned width = view->columns > ROW_COLUMNS + 2 ? view->columns - ROW_COLUMNS - 2 : 0;
    long cells, both;

    if (most <= 0)
        return;
    if (width > MOST_BAR)
        width = MOST_BAR;
    cells = lround(in / most * width);
    both = lround((in + out) / most * width);
    if (both == 0)
        return;
    fputs("  ", to);
    fputs(view->colour ? "\033[32m" : "", to);
    repeat(to, view->utf8 ? "█" : "#", cells);
    fputs(view->colour ? "\033[34m" : "", to);
    repeat(to, view->utf8 ? "▒" : "-", both - cells);
    fputs(view->colour ? "\033[m" : "", to);
}

/* A line without its end and bar. */
static void line(FILE *to, const struct top_view *view, const char *name, const char *what,
                 const double rate[TOP_RATES]) {
    char text[128], number[TOP_RATES][16];

    for (unsigned i = 0; i < TOP_RATES; i++)
        top_human(number[i], sizeof(number[i]),
                  i == TOP_RX_BYTES || i == TOP_TX_BYTES ? 8 * rate[i] : rate[i]);
    snprintf(text, sizeof(text), "%-14.14s %-11.11s%9s%8s%10s%8s", name, what, number[TOP_RX_BYTES],
             number[TOP_RX_PACKETS], number[TOP_TX_BYTES], number[TOP_TX_PACKETS]);
    fprintf(to, "%.*s", (int)view->columns, text);
}

static void heading(FILE *to, const struct top_view *view, const char *interface) {
    char name[TOP_NAME], text[ROW_COLUMNS + 1];

    top_plain(name, sizeof(name), interface);
    snprintf(text, sizeof(text), "%-26.26s%9s%8s%10s%8s", name, "in bit/s", "pkt/s", "out bit/s",
             "pkt/s");
    fprintf(to, "%s%.*s%s\n", view->colour ? "\033[1m" : "", (int)view->columns, text,
            view->colour ? "\033[m" : "");
}

static void block(FILE *to, const struct top_view *view, const struct top_group *group,
                  size_t ports) {
    size_t shown = group->number < ports ? group->number : ports;

    heading(to, view, group->rows->interface);
    for (size_t i = 0; i < shown; i++) {
        const struct top_row *row = &group->rows[i];
        char name[TOP_NAME], what[TOP_NAME];

        label(name, sizeof(name), row->instance);
        top_plain(what, sizeof(what), meaning(row->instance));
        line(to, view, name, what, row->rate);
        bar(to, view, row->rate, group->rows->busy);
        fputc('\n', to);
    }
    if (shown < group->number) {
        char name[32];
        double rest[TOP_RATES];

        snprintf(name, sizeof(name), "and %zu more", group->number - shown);
        sum_up(rest, group, shown);
        line(to, view, name, "", rest);
        fputc('\n', to);
    }
    line(to, view, "sum", "", group->sum);
    fputc('\n', to);
}

static bool has_several_hosts(const struct top_table *table) {
    for (size_t i = 1; i < table->groups_number; i++)
        if (strcmp(table->groups[i].rows->host, table->groups[0].rows->host) != 0)
            return true;
    return false;
}

void top_text(FILE *to, const struct top_table *table, const struct top_view *view) {
    bool hosts = has_several_hosts(table);
    size_t groups = table->groups_number, ports = view->ports;
    size_t frame = hosts ? 5 : 4; /* lines that are no port: host, heading, rest, sum, empty */

    if (view->lines && groups) {
        size_t most = view->lines / (frame + 1), each;

        if (groups > most)
            groups = most ? most : 1;
        each = view->lines / groups;
        each = each > frame ? each - frame : 1;
        if (ports > each)
            ports = each;
    }
    for (size_t i = 0; i < groups; i++) {
        char host[TOP_NAME];

        top_plain(host, sizeof(host), table->groups[i].rows->host);
        if (i)
            fputc('\n', to);
        if (hosts)
            fprintf(to, "%.*s\n", (int)view->columns, host);
        block(to, view, &table->groups[i], ports);
    }
    if (groups < table->groups_number)
        fprintf(to, "and %zu more interfaces\n", table->groups_number - groups);
}

/* ---- JSON (RFC 8259) ---- */

/* A byte that is not ASCII becomes the character of that number: which encoding the name has
   isn't known, and this way the document is valid in any case. */
static void json_string(FILE *to, const char *text) {
    if (!text) {
        fputs("null", to);
        return;
    }
    fputc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c > '~')
            fprintf(to, "\\u%04x", *c);
        else
            fprintf(to, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    fputc('"', to);
}

static void json_rates(FILE *to, const double rate[TOP_RATES]) {
    for (unsigned i = 0; i < TOP_RATES; i++) {
        fprintf(to, ",\"%s\":", sources[i].source); /* port_traffic's, in this order */
        if (isnan(rate[i]))
            fputs("null", to);
        else
            fprintf(to, "%.10g", rate[i]);
    }
}

static void json_group(FILE *to, const struct top_group *group, size_t ports) {
    size_t shown = group->number < ports ? group->number : ports;
    double rest[TOP_RATES];

    fputs("{\"host\":", to);
    json_string(to, group->rows->host);
    fputs(",\"interface\":", to);
    json_string(to, group->rows->interface);
    json_rates(to, group->sum);
    fputs(",\"ports\":[", to);
    for (size_t i = 0; i < shown; i++) {
        const char *instance = group->rows[i].instance;

        fputs(i ? ",{\"instance\":" : "{\"instance\":", to);
        json_string(to, instance);
        fputs(",\"service\":", to);
        json_string(to, service(instance));
        json_rates(to, group->rows[i].rate);
        fputc('}', to);
    }
    fprintf(to, "],\"rest\":{\"number\":%zu", group->number - shown);
    sum_up(rest, group, shown);
    json_rates(to, rest);
    fputs("}}", to);
}

void top_json(FILE *to, const struct top_table *table, double time, size_t ports) {
    fprintf(to, "{\"time\":%.3f,\"interfaces\":[", time);
    for (size_t i = 0; i < table->groups_number; i++) {
        if (i)
            fputc(',', to);
        json_group(to, &table->groups[i], ports);
    }
    fputs("]}\n", to);
}
