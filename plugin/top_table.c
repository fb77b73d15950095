/* SPDX-License-Identifier: MIT */
#include "top_table.h"

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS 26
#define ROW_COLUMNS  (NAME_COLUMNS + 9 + 8 + 10 + 8)
#define MOST_BAR     60   /* beyond that the eye loses its line */
#define MOST_RATE    1e18 /* a second: what says more is wrong, and must not become infinite */

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

/* ---- rows and groups ---- */

bool top_open(struct top_table *table, size_t rows) {
    *table = (struct top_table){.rows = calloc(rows + 1, sizeof(*table->rows)),
                                .groups = calloc(rows + 1, sizeof(*table->groups))};
    return table->rows && table->groups;
}

void top_close(struct top_table *table) {
    free(table->rows);
    free(table->groups);
    *table = (struct top_table){0};
}

struct top_row *top_add(struct top_table *table, const char *host, const char *interface,
                        const char *instance) {
    struct top_row *row = &table->rows[table->number++];

    snprintf(row->host, sizeof(row->host), "%s", host);
    snprintf(row->interface, sizeof(row->interface), "%s", interface);
    snprintf(row->instance, sizeof(row->instance), "%s", instance);
    for (unsigned i = 0; i < TOP_RATES; i++)
        row->rate[i] = NAN;
    return row;
}

void top_set(struct top_row *row, const char *type, const char *source, double value) {
    if (!(value >= 0 && value <= MOST_RATE)) /* NaN too */
        return;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        if (!strcmp(type, sources[i].type) && !strcmp(source, sources[i].source))
            row->rate[sources[i].rate] = value;
}

static double or_zero(double rate) {
    return isnan(rate) ? 0 : rate;
}

static double busy(const struct top_row *row) {
    return or_zero(row->rate[TOP_RX_BYTES]) + or_zero(row->rate[TOP_TX_BYTES]);
}

/* The rows from this one on; none: 0. What is not known adds nothing; a sum of such is not known
   either. */
static void sum_up(double sum[TOP_RATES], const struct top_group *group, size_t from) {
    for (unsigned i = 0; i < TOP_RATES; i++) {
        sum[i] = from < group->number ? NAN : 0;
        for (size_t row = from; row < group->number; row++)
            if (!isnan(group->rows[row].rate[i]))
                sum[i] = or_zero(sum[i]) + group->rows[row].rate[i];
    }
}

static int by_name(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;
    int order = strcmp(x->host, y->host);

    order = order ? order : strcmp(x->interface, y->interface);
    return order ? order : strverscmp(x->instance, y->instance);
}

static int by_rate(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;

    return x->busy != y->busy ? (x->busy < y->busy) - (x->busy > y->busy) : by_name(a, b);
}

/*
 * Bytes and packets of a port are value lists of their own with StandardTypes: one row. A rate
 * that is there twice is not added: a server knows port_traffic and if_octets of the same port
 * for a while after its host began or ceased to send StandardTypes.
 */
static void merge(struct top_table *table) {
    struct top_row *last = table->rows;

    for (struct top_row *row = last + 1; row < table->rows + table->number; row++) {
        if (by_name(last, row) != 0)
            *++last = *row;
        for (unsigned rate = 0; rate < TOP_RATES; rate++)
            if (isnan(last->rate[rate]))
                last->rate[rate] = row->rate[rate];
    }
    if (table->number > 0)
        table->number = last - table->rows + 1;
}

static void group(struct top_table *table) {
    struct top_group *last = NULL;

    for (struct top_row *row = table->rows; row < table->rows + table->number; row++) {
        row->busy = busy(row);
        if (!last || strcmp(last->sum.host, row->host) != 0 ||
            strcmp(last->sum.interface, row->interface) != 0) {
            last = &table->groups[table->groups_number++];
            *last = (struct top_group){.sum = *row, .rows = row};
        }
        last->number++;
    }
}

void top_arrange(struct top_table *table) {
    qsort(table->rows, table->number, sizeof(*table->rows), by_name);
    merge(table);
    group(table);
    for (size_t i = 0; i < table->groups_number; i++) {
        struct top_group *each = &table->groups[i];

        sum_up(each->sum.rate, each, 0);
        each->sum.busy = busy(&each->sum);
        qsort(each->rows, each->number, sizeof(*each->rows), by_rate);
    }
    qsort(table->groups, table->groups_number, sizeof(*table->groups), by_rate);
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
    digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(to, size, unit ? "%.*f %c" : "%.*f", digits, value, units[unit]);
}

/*
 * A line; NULL: the titles. The only way out for what has a name in it: printable, and no longer
 * than a line.
 */
static void put(FILE *to, const struct top_view *view, const char *name, const double *rate,
                const char *bar) {
    static const char *const titles[TOP_RATES] = {"in bit/s", "pkt/s", "out bit/s", "pkt/s"};
    char cell[TOP_RATES][16], text[2 * TOP_NAME + ROW_COLUMNS + MOST_BAR];

    for (unsigned i = 0; i < TOP_RATES; i++)
        if (rate) /* bits, packets, bits, packets */
            top_human(cell[i], sizeof(cell[i]), i % 2 ? rate[i] : 8 * rate[i]);
        else
            snprintf(cell[i], sizeof(cell[i]), "%s", titles[i]);
    snprintf(text, sizeof(text), "%-*s%9s%8s%10s%8s%s", NAME_COLUMNS, name, cell[TOP_RX_BYTES],
             cell[TOP_RX_PACKETS], cell[TOP_TX_BYTES], cell[TOP_TX_PACKETS], bar);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    fprintf(to, "%.*s\n", (int)view->columns, text);
}

/* The service's name; none: "". */
static const char *service(const char *instance) {
    const struct servent *known;
    char transport[8];
    unsigned port;
    int length = 0;

    if (sscanf(instance, "%7[a-z]-%5u%n", transport, &port, &length) != 2 || instance[length])
        return "";
    known = getservbyport(htons((unsigned short)port), transport);
    return known && port <= 65535 ? known->s_name : "";
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* With a bar: what comes in, then what goes out; the longest is `most`. */
static void put_port(FILE *to, const struct top_view *view, const struct top_row *row,
                     double most) {
    size_t room = view->columns > ROW_COLUMNS + 2 ? view->columns - ROW_COLUMNS - 2 : 0;
    double unit = most > 0 ? most : 1, in = or_zero(row->rate[TOP_RX_BYTES]);
    char name[2 * TOP_NAME], bar[2 + MOST_BAR + 1] = "  ";

    snprintf(name, sizeof(name), "%-14s %s", row->instance, service(row->instance));
    name[NAME_COLUMNS] = '\0';
    room = least(room, MOST_BAR);
    memset(bar + 2, '-', lround(row->busy / unit * room)); /* a quotient never over 1 */
    memset(bar + 2, '#', lround(in / unit * room));
    put(to, view, name, row->rate, bar[2] ? bar : "");
}

static void put_group(FILE *to, const struct top_view *view, const struct top_group *group,
                      size_t ports) {
    size_t shown = least(group->number, ports);
    char name[2 * TOP_NAME + sizeof(" on ")];
    double rest[TOP_RATES];

    snprintf(name, sizeof(name), "%s on %s", group->sum.interface, group->sum.host);
    put(to, view, name, NULL, "");
    for (size_t i = 0; i < shown; i++)
        put_port(to, view, &group->rows[i], group->rows->busy);
    if (shown < group->number) {
        snprintf(name, sizeof(name), "and %zu more", group->number - shown);
        sum_up(rest, group, shown);
        put(to, view, name, rest, "");
    }
    put(to, view, "sum", group->sum.rate, "");
}

void top_text(FILE *to, const struct top_table *table, const struct top_view *view) {
    const size_t frame = 4; /* lines that are no port: heading, rest, sum, an empty one */
    size_t groups = table->groups_number, ports = view->ports;
    char text[64];

    if (view->lines && groups) {
        size_t each = view->lines / (frame + 1);

        groups = least(groups, each ? each : 1);
        each = view->lines / groups;
        ports = least(ports, each > frame ? each - frame : 1);
    }
    for (size_t i = 0; i < groups; i++) {
        fputs(i ? "\n" : "", to);
        put_group(to, view, &table->groups[i], ports);
    }
    snprintf(text, sizeof(text), "and %zu more interfaces", table->groups_number - groups);
    if (groups < table->groups_number)
        fprintf(to, "%.*s\n", (int)view->columns, text);
}

/* ---- JSON (RFC 8259) ---- */

/* A byte that is not ASCII becomes the character of that number: which encoding the name has
   isn't known, and this way the document is valid in any case. */
static void json_string(FILE *to, const char *name, const char *text) {
    fprintf(to, "\"%s\":\"", name);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c > '~')
            fprintf(to, "\\u%04x", *c);
        else
            fprintf(to, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    fputs("\",", to);
}

static void json_rates(FILE *to, const double rate[TOP_RATES]) {
    for (unsigned i = 0; i < TOP_RATES; i++) { /* names: port_traffic's, in this order */
        fprintf(to, "%s\"%s\":", i ? "," : "", sources[i].source);
        fprintf(to, isnan(rate[i]) ? "null" : "%.10g", rate[i]);
    }
}

static void json_group(FILE *to, const struct top_group *group, size_t ports) {
    size_t shown = least(group->number, ports);
    double rest[TOP_RATES];

    fputc('{', to);
    json_string(to, "host", group->sum.host);
    json_string(to, "interface", group->sum.interface);
    json_rates(to, group->sum.rate);
    fputs(",\"ports\":[", to);
    for (size_t i = 0; i < shown; i++) {
        fputs(i ? ",{" : "{", to);
        json_string(to, "instance", group->rows[i].instance);
        json_rates(to, group->rows[i].rate);
        fputc('}', to);
    }
    fprintf(to, "],\"rest\":{\"number\":%zu,", group->number - shown);
    sum_up(rest, group, shown);
    json_rates(to, rest);
    fputs("}}", to);
}

void top_json(FILE *to, const struct top_table *table, double time, size_t ports) {
    fprintf(to, "{\"time\":%.3f,\"interfaces\":[", time);
    for (size_t i = 0; i < table->groups_number; i++) {
        fputs(i ? "," : "", to);
        json_group(to, &table->groups[i], ports);
    }
    fputs("]}\n", to);
}
