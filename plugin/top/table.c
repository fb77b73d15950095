/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS 26 /* at least; "group-NAME" can have 38 */
#define RATE_COLUMNS (9 + 8 + 10 + 8)
#define BAR_MAX      60   /* longer bars are hard to compare */
#define RATE_MAX     1e18 /* per second; more is bogus, and sums must stay finite */

/* port_traffic is defined in conf/tc_portbytes.db, if_octets and if_packets in types.db(5). */
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

bool top_table_init(struct top_table *table, size_t capacity) {
    *table = (struct top_table){.rows = calloc(capacity + 1, sizeof(*table->rows)),
                                .groups = calloc(capacity + 1, sizeof(*table->groups))};
    return table->rows && table->groups;
}

void top_table_free(struct top_table *table) {
    free(table->rows);
    free(table->groups);
    *table = (struct top_table){0};
}

struct top_row *top_table_add(struct top_table *table, const char *host, const char *interface,
                              const char *instance) {
    struct top_row *row = &table->rows[table->row_count++];

    snprintf(row->host, sizeof(row->host), "%s", host);
    snprintf(row->interface, sizeof(row->interface), "%s", interface);
    snprintf(row->instance, sizeof(row->instance), "%s", instance);
    for (unsigned i = 0; i < TOP_RATES; i++)
        row->rate[i] = NAN;
    return row;
}

bool top_type_is_known(const char *type) {
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        if (!strcmp(type, sources[i].type))
            return true;
    return false;
}

void top_row_set(struct top_row *row, const char *type, const char *source, double value) {
    if (!(value >= 0 && value <= RATE_MAX)) /* false for NaN, too */
        return;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        if (!strcmp(type, sources[i].type) && !strcmp(source, sources[i].source))
            row->rate[sources[i].rate] = value;
}

static double or_zero(double rate) {
    return isnan(rate) ? 0 : rate;
}

static double total_bytes(const struct top_row *row) {
    return or_zero(row->rate[TOP_RX_BYTES]) + or_zero(row->rate[TOP_TX_BYTES]);
}

/* Sums up the rows from `from` on. Unknown rates are left out; a sum of unknown rates only is
   unknown, a sum of no rows is 0. */
static void sum_rows(double sum[TOP_RATES], const struct top_group *group, size_t from) {
    for (unsigned i = 0; i < TOP_RATES; i++) {
        sum[i] = from < group->row_count ? NAN : 0;
        for (size_t row = from; row < group->row_count; row++)
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

    return x->total_bytes != y->total_bytes
               ? (x->total_bytes < y->total_bytes) - (x->total_bytes > y->total_bytes)
               : by_name(a, b);
}

/*
 * Merges rows of the same port. With StandardTypes, bytes and packets are in two value lists. A
 * rate that occurs twice is not added up: after StandardTypes was changed on a host, its collectd
 * server has port_traffic and if_octets of the same port for a while.
 */
static void merge_rows(struct top_table *table) {
    struct top_row *last = table->rows;

    for (struct top_row *row = last + 1; row < table->rows + table->row_count; row++) {
        if (by_name(last, row) != 0)
            *++last = *row;
        for (unsigned rate = 0; rate < TOP_RATES; rate++)
            if (isnan(last->rate[rate]))
                last->rate[rate] = row->rate[rate];
    }
    if (table->row_count > 0)
        table->row_count = last - table->rows + 1;
}

static void make_groups(struct top_table *table) {
    struct top_group *last = NULL;

    for (struct top_row *row = table->rows; row < table->rows + table->row_count; row++) {
        row->total_bytes = total_bytes(row);
        if (!last || strcmp(last->sum.host, row->host) != 0 ||
            strcmp(last->sum.interface, row->interface) != 0) {
            last = &table->groups[table->group_count++];
            *last = (struct top_group){.sum = *row, .rows = row};
        }
        last->row_count++;
    }
}

/* Moves the row "decrypted" behind the others; row_count no longer includes it. */
static void set_decrypted_apart(struct top_group *group) {
    for (struct top_row *row = group->rows; row < group->rows + group->row_count; row++)
        if (!strcmp(row->instance, "decrypted")) {
            struct top_row *last = &group->rows[--group->row_count], decrypted = *row;

            *row = *last;
            *last = decrypted;
            group->decrypted = last;
        }
}

void top_table_sort(struct top_table *table) {
    qsort(table->rows, table->row_count, sizeof(*table->rows), by_name);
    merge_rows(table);
    make_groups(table);
    for (size_t i = 0; i < table->group_count; i++) {
        struct top_group *group = &table->groups[i];

        set_decrypted_apart(group);
        sum_rows(group->sum.rate, group, 0);
        group->sum.total_bytes = total_bytes(&group->sum);
        qsort(group->rows, group->row_count, sizeof(*group->rows), by_rate);
    }
    qsort(table->groups, table->group_count, sizeof(*table->groups), by_rate);
}

/* ---- text ---- */

struct layout {
    unsigned columns, name_columns;
};

void top_format_rate(char *out, size_t size, double value) {
    static const char units[] = " kMGTPE";
    unsigned unit = 0;
    int digits;

    if (isnan(value) || value == 0) {
        snprintf(out, size, "%s", value == 0 ? "-" : "?");
        return;
    }
    while (value >= 999.5 && units[unit + 1]) {
        value /= 1000;
        unit++;
    }
    value = fmin(value, 999);
    digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, size, unit ? "%.*f %c" : "%.*f", digits, value, units[unit]);
}

/*
 * A line of the table; `rate` NULL: the column titles. All lines with names from the socket are
 * printed here, where bytes that are not printable ASCII are replaced and the line is truncated.
 */
static void print_line(FILE *to, const struct layout *layout, const char *name, const double *rate,
                       const char *bar) {
    static const char *const titles[TOP_RATES] = {"in bit/s", "pkt/s", "out bit/s", "pkt/s"};
    char cell[TOP_RATES][16], text[2 * TOP_NAME + NAME_COLUMNS + RATE_COLUMNS + BAR_MAX];

    for (unsigned i = 0; i < TOP_RATES; i++)
        if (rate) /* even: bytes, shown as bits; odd: packets */
            top_format_rate(cell[i], sizeof(cell[i]), i % 2 ? rate[i] : 8 * rate[i]);
        else
            snprintf(cell[i], sizeof(cell[i]), "%s", titles[i]);
    snprintf(text, sizeof(text), "%-*s%9s%8s%10s%8s%s", (int)layout->name_columns, name,
             cell[TOP_RX_BYTES], cell[TOP_RX_PACKETS], cell[TOP_TX_BYTES], cell[TOP_TX_PACKETS],
             bar);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    fprintf(to, "%.*s\n", (int)layout->columns, text);
}

/* The service of an instance such as "tcp-443" by services(5); "" if there is none. The number in
   "group-443" or "ip-132" is not a port. */
static const char *service_name(const char *instance) {
    const struct servent *service;
    char transport[8];
    unsigned port;
    int length = 0;

    if (sscanf(instance, "%7[a-z]-%5u%n", transport, &port, &length) != 2 || instance[length] ||
        (strcmp(transport, "tcp") != 0 && strcmp(transport, "udp") != 0 &&
         strcmp(transport, "sctp") != 0))
        return "";
    service = getservbyport(htons((unsigned short)port), transport);
    return service && port <= 65535 ? service->s_name : "";
}

static size_t min(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t max(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The longest name, as far as the rates still fit the window. */
static unsigned name_columns(const struct top_table *table, unsigned columns) {
    size_t longest = NAME_COLUMNS;

    for (size_t i = 0; i < table->row_count; i++)
        longest = max(longest, strlen(table->rows[i].instance));
    return max(NAME_COLUMNS, min(longest, columns > RATE_COLUMNS ? columns - RATE_COLUMNS : 0));
}

/* A port with its bar, ingress then egress; `scale` is the rate of the longest possible bar. */
static void print_port(FILE *to, const struct layout *layout, const struct top_row *row,
                       double scale) {
    size_t used = layout->name_columns + RATE_COLUMNS + 2;
    size_t length = layout->columns > used ? layout->columns - used : 0;
    double ingress = or_zero(row->rate[TOP_RX_BYTES]);
    char name[2 * TOP_NAME], bar[2 + BAR_MAX + 1] = "  ";

    snprintf(name, sizeof(name), "%-14s %s", row->instance, service_name(row->instance));
    name[layout->name_columns] = '\0';
    length = min(length, BAR_MAX);
    if (scale > 0) { /* the quotients are at most 1, however small the rates are */
        memset(bar + 2, '-', lround(row->total_bytes / scale * length));
        memset(bar + 2, '#', lround(ingress / scale * length));
    }
    print_line(to, layout, name, row->rate, bar[2] ? bar : "");
}

static void print_group(FILE *to, const struct layout *layout, const struct top_group *group,
                        size_t ports) {
    size_t shown = min(group->row_count, ports);
    char name[2 * TOP_NAME + sizeof(" on ")];
    double rest[TOP_RATES];

    snprintf(name, sizeof(name), "%s on %s", group->sum.interface, group->sum.host);
    print_line(to, layout, name, NULL, "");
    for (size_t i = 0; i < shown; i++)
        print_port(to, layout, &group->rows[i], group->rows->total_bytes);
    if (shown < group->row_count) {
        snprintf(name, sizeof(name), "and %zu more", group->row_count - shown);
        sum_rows(rest, group, shown);
        print_line(to, layout, name, rest, "");
    }
    print_line(to, layout, "sum", group->sum.rate, "");
    if (group->decrypted)
        print_line(to, layout, "decrypted, not in the sum", group->decrypted->rate, "");
}

void top_print_text(FILE *to, const struct top_table *table, const struct top_view *view) {
    const struct layout layout = {view->columns, name_columns(table, view->columns)};
    size_t overhead = 4; /* lines per interface: heading, rest, sum, an empty one */
    size_t groups = table->group_count, ports = view->ports;
    char text[64];

    for (size_t i = 0; i < groups; i++)
        if (table->groups[i].decrypted)
            overhead = 5;
    if (view->lines && groups) {
        size_t each = view->lines / (overhead + 1);

        groups = min(groups, each ? each : 1);
        each = view->lines / groups;
        ports = min(ports, each > overhead ? each - overhead : 1);
    }
    for (size_t i = 0; i < groups; i++) {
        fputs(i ? "\n" : "", to);
        print_group(to, &layout, &table->groups[i], ports);
    }
    snprintf(text, sizeof(text), "and %zu more interfaces", table->group_count - groups);
    if (groups < table->group_count)
        fprintf(to, "%.*s\n", (int)view->columns, text);
}

/* ---- JSON (RFC 8259) ---- */

/* A byte that is not ASCII becomes the code point of that number: the encoding of names is unknown,
   and the document must be valid. */
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
    for (unsigned i = 0; i < TOP_RATES;
         i++) { /* sources[] begins with port_traffic, in this order */
        fprintf(to, "%s\"%s\":", i ? "," : "", sources[i].source);
        fprintf(to, isnan(rate[i]) ? "null" : "%.10g", rate[i]);
    }
}

static void json_group(FILE *to, const struct top_group *group, size_t ports) {
    size_t shown = min(group->row_count, ports);
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
    fprintf(to, "],\"rest\":{\"number\":%zu,", group->row_count - shown);
    sum_rows(rest, group, shown);
    json_rates(to, rest);
    if (group->decrypted) {
        fputs("},\"decrypted\":{", to);
        json_rates(to, group->decrypted->rate);
    }
    fputs("}}", to);
}

void top_print_json(FILE *to, const struct top_table *table, double time, size_t ports) {
    fprintf(to, "{\"time\":%.3f,\"interfaces\":[", time);
    for (size_t i = 0; i < table->group_count; i++) {
        fputs(i ? "," : "", to);
        json_group(to, &table->groups[i], ports);
    }
    fputs("]}\n", to);
}
