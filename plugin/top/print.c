/* SPDX-License-Identifier: MIT */
#include "print.h"

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS 26 /* at least; "[GROUP]" can have 34 */
#define MARK_COLUMNS 2  /* in front of a name: whether it is new */
#define RATE_COLUMNS (9 + 8 + 10 + 8)
#define BAR_MAX      60 /* longer bars are hard to compare */
#define BAR_GAP      "  "
#define BAR_TITLE    "in #, out -"

/* ---- text ---- */

struct layout {
    unsigned columns, name_columns;
    bool marks_new;
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

/* The name of a group, from series_name.h; NULL: the series is none. */
static const char *group_name(const char *instance) {
    static const char prefix[] = "group-";

    return strncmp(instance, prefix, strlen(prefix)) == 0 ? instance + strlen(prefix) : NULL;
}

/* A port's is that of its series; that of a group is in brackets, which no other series has. */
static void display_name(char *out, size_t size, const char *instance) {
    const char *group = group_name(instance);

    snprintf(out, size, group ? "[%s]" : "%s", group ? group : instance);
}

/* The longest name, as far as the rates still fit the window. */
static unsigned name_columns(const struct top_table *table, const struct top_view *view) {
    size_t marks = view->marks_new ? MARK_COLUMNS : 0, longest = NAME_COLUMNS;
    char name[TOP_NAME];

    for (size_t i = 0; i < table->row_count; i++) {
        display_name(name, sizeof(name), table->rows[i].instance);
        longest = max(longest, strlen(name));
    }
    longest = min(longest + marks, view->columns > RATE_COLUMNS ? view->columns - RATE_COLUMNS : 0);
    return max(NAME_COLUMNS + marks, longest);
}

/* Columns of the longest possible bar. */
static size_t bar_columns(const struct layout *layout) {
    size_t used = layout->name_columns + RATE_COLUMNS + strlen(BAR_GAP);

    return layout->columns > used ? min(layout->columns - used, BAR_MAX) : 0;
}

/* What a group is, if that fits, and a port's service. */
static const char *note_of(const char *name, const char *instance) {
    if (!group_name(instance))
        return service_name(instance);
    return strlen(name) + strlen(" group") <= NAME_COLUMNS ? "group" : "";
}

/* A port or group with its bar, ingress then egress; `scale` is the rate of the longest bar. */
static void print_row(FILE *to, const struct layout *layout, const struct top_row *row,
                      double scale) {
    const char *mark = !layout->marks_new ? "" : row->is_new ? "+ " : "  ";
    double ingress = isnan(row->rate[TOP_RX_BYTES]) ? 0 : row->rate[TOP_RX_BYTES];
    char name[TOP_NAME], text[2 * TOP_NAME], bar[sizeof(BAR_GAP) + BAR_MAX] = BAR_GAP;

    display_name(name, sizeof(name), row->instance);
    snprintf(text, sizeof(text), "%s%-14s %s", mark, name, note_of(name, row->instance));
    text[layout->name_columns] = '\0';
    if (scale > 0) { /* the quotients are at most 1, however small the rates are */
        size_t length = bar_columns(layout);

        memset(bar + strlen(BAR_GAP), '-', lround(row->total_bytes / scale * length));
        memset(bar + strlen(BAR_GAP), '#', lround(ingress / scale * length));
    }
    print_line(to, layout, text, row->rate, bar[strlen(BAR_GAP)] ? bar : "");
}

static size_t count_new(const struct top_interface *interface, size_t from) {
    size_t number = 0;

    for (size_t i = from; i < interface->row_count; i++)
        number += interface->rows[i].is_new;
    return number;
}

/* What the rows from `from` on are together. */
static void print_rest(FILE *to, const struct layout *layout, const struct top_interface *interface,
                       size_t from) {
    size_t number = interface->row_count - from, number_new = count_new(interface, from);
    double rest[TOP_RATES];
    char name[64];

    top_sum_rows(rest, interface, from);
    if (layout->marks_new && number_new)
        snprintf(name, sizeof(name), "and %zu more, %zu new", number, number_new);
    else
        snprintf(name, sizeof(name), "and %zu more", number);
    print_line(to, layout, name, rest, "");
}

static void print_interface(FILE *to, const struct layout *layout,
                            const struct top_interface *interface, size_t ports) {
    size_t shown = min(interface->row_count, ports);
    char name[2 * TOP_NAME + sizeof(" on ")];

    snprintf(name, sizeof(name), "%s on %s", interface->sum.interface, interface->sum.host);
    print_line(to, layout, name, NULL,
               bar_columns(layout) < strlen(BAR_TITLE) ? "" : BAR_GAP BAR_TITLE);
    for (size_t i = 0; i < shown; i++)
        print_row(to, layout, &interface->rows[i], interface->busiest);
    if (shown < interface->row_count)
        print_rest(to, layout, interface, shown);
    print_line(to, layout, "sum", interface->sum.rate, "");
    if (interface->decrypted)
        print_line(to, layout, "decrypted, not in the sum", interface->decrypted->rate, "");
}

void top_print_text(FILE *to, const struct top_table *table, const struct top_view *view) {
    const struct layout layout = {view->columns, name_columns(table, view), view->marks_new};
    size_t overhead = 4; /* lines per interface: heading, rest, sum, an empty one */
    size_t interfaces = table->interface_count, ports = view->ports;
    char text[64];

    for (size_t i = 0; i < interfaces; i++)
        if (table->interfaces[i].decrypted)
            overhead = 5;
    if (view->lines && interfaces) {
        size_t each = view->lines / (overhead + 1);

        interfaces = min(interfaces, each ? each : 1);
        each = view->lines / interfaces;
        ports = min(ports, each > overhead ? each - overhead : 1);
    }
    for (size_t i = 0; i < interfaces; i++) {
        fputs(i ? "\n" : "", to);
        print_interface(to, &layout, &table->interfaces[i], ports);
    }
    snprintf(text, sizeof(text), "and %zu more interfaces", table->interface_count - interfaces);
    if (interfaces < table->interface_count)
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
    static const char *const names[TOP_RATES] = {[TOP_RX_BYTES] = "rx_bytes",
                                                 [TOP_RX_PACKETS] = "rx_packets",
                                                 [TOP_TX_BYTES] = "tx_bytes",
                                                 [TOP_TX_PACKETS] = "tx_packets"};

    for (unsigned i = 0; i < TOP_RATES; i++) {
        fprintf(to, "%s\"%s\":", i ? "," : "", names[i]);
        fprintf(to, isnan(rate[i]) ? "null" : "%.10g", rate[i]);
    }
}

static void json_row(FILE *to, const struct top_row *row, const struct top_view *view) {
    fputc('{', to);
    json_string(to, "instance", row->instance);
    if (view->marks_new)
        fprintf(to, "\"new\":%s,", row->is_new ? "true" : "false");
    json_rates(to, row->rate);
    fputc('}', to);
}

static void json_interface(FILE *to, const struct top_interface *interface,
                           const struct top_view *view) {
    size_t shown = min(interface->row_count, view->ports);
    double rest[TOP_RATES];

    fputc('{', to);
    json_string(to, "host", interface->sum.host);
    json_string(to, "interface", interface->sum.interface);
    json_rates(to, interface->sum.rate);
    fputs(",\"ports\":[", to);
    for (size_t i = 0; i < shown; i++) {
        fputs(i ? "," : "", to);
        json_row(to, &interface->rows[i], view);
    }
    fprintf(to, "],\"rest\":{\"number\":%zu,", interface->row_count - shown);
    if (view->marks_new)
        fprintf(to, "\"new\":%zu,", count_new(interface, shown));
    top_sum_rows(rest, interface, shown);
    json_rates(to, rest);
    if (interface->decrypted) {
        fputs("},\"decrypted\":{", to);
        json_rates(to, interface->decrypted->rate);
    }
    fputs("}}", to);
}

void top_print_json(FILE *to, const struct top_table *table, double time,
                    const struct top_view *view) {
    fprintf(to, "{\"time\":%.3f,\"interfaces\":[", time);
    for (size_t i = 0; i < table->interface_count; i++) {
        fputs(i ? "," : "", to);
        json_interface(to, &table->interfaces[i], view);
    }
    fputs("]}\n", to);
}
