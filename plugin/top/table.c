/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX 1e18 /* per second; more is bogus, and sums must stay finite */

const char *const top_sort_names[TOP_SORTS] = {
    [TOP_BY_TOTAL] = "total",     [TOP_BY_IN] = "in",     [TOP_BY_OUT] = "out",
    [TOP_BY_PACKETS] = "packets", [TOP_BY_NAME] = "name",
};

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

/* ---- rows and interfaces ---- */

bool top_table_init(struct top_table *table, size_t capacity) {
    *table = (struct top_table){.rows = calloc(capacity + 1, sizeof(*table->rows)),
                                .interfaces = calloc(capacity + 1, sizeof(*table->interfaces))};
    return table->rows && table->interfaces;
}

void top_table_free(struct top_table *table) {
    free(table->rows);
    free(table->interfaces);
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

void top_sum_rows(double sum[TOP_RATES], const struct top_interface *interface, size_t from) {
    for (unsigned i = 0; i < TOP_RATES; i++) {
        sum[i] = from < interface->row_count ? NAN : 0;
        for (size_t row = from; row < interface->row_count; row++)
            if (!isnan(interface->rows[row].rate[i]))
                sum[i] = or_zero(sum[i]) + interface->rows[row].rate[i];
    }
}

static int by_name(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;
    int order = strcmp(x->host, y->host);

    order = order ? order : strcmp(x->interface, y->interface);
    return order ? order : strverscmp(x->instance, y->instance);
}

static int by_key(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;

    return x->sort_key != y->sort_key ? (x->sort_key < y->sort_key) - (x->sort_key > y->sort_key)
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

static void make_interfaces(struct top_table *table) {
    struct top_interface *last = NULL;

    for (struct top_row *row = table->rows; row < table->rows + table->row_count; row++) {
        row->total_bytes = total_bytes(row);
        if (!last || strcmp(last->sum.host, row->host) != 0 ||
            strcmp(last->sum.interface, row->interface) != 0) {
            last = &table->interfaces[table->interface_count++];
            *last = (struct top_interface){.sum = *row, .rows = row};
        }
        last->row_count++;
    }
}

/* Moves the row "decrypted" behind the others; row_count no longer includes it. */
static void set_decrypted_apart(struct top_interface *interface) {
    for (struct top_row *row = interface->rows; row < interface->rows + interface->row_count; row++)
        if (!strcmp(row->instance, "decrypted")) {
            struct top_row *last = &interface->rows[--interface->row_count], decrypted = *row;

            *row = *last;
            *last = decrypted;
            interface->decrypted = last;
        }
}

void top_table_finish(struct top_table *table) {
    qsort(table->rows, table->row_count, sizeof(*table->rows), by_name);
    merge_rows(table);
    make_interfaces(table);
    for (size_t i = 0; i < table->interface_count; i++) {
        struct top_interface *interface = &table->interfaces[i];

        set_decrypted_apart(interface);
        top_sum_rows(interface->sum.rate, interface, 0);
        interface->sum.total_bytes = total_bytes(&interface->sum);
        for (size_t row = 0; row < interface->row_count; row++)
            interface->busiest = fmax(interface->busiest, interface->rows[row].total_bytes);
    }
}

/* By name all keys are the same. */
static double sort_key(const struct top_row *row, enum top_sort sort) {
    switch (sort) {
    case TOP_BY_TOTAL:
        return row->total_bytes;
    case TOP_BY_IN:
        return or_zero(row->rate[TOP_RX_BYTES]);
    case TOP_BY_OUT:
        return or_zero(row->rate[TOP_TX_BYTES]);
    case TOP_BY_PACKETS:
        return or_zero(row->rate[TOP_RX_PACKETS]) + or_zero(row->rate[TOP_TX_PACKETS]);
    default:
        return 0;
    }
}

void top_table_sort(struct top_table *table, enum top_sort sort) {
    for (size_t i = 0; i < table->interface_count; i++) {
        struct top_interface *interface = &table->interfaces[i];

        for (size_t row = 0; row < interface->row_count; row++)
            interface->rows[row].sort_key = sort_key(&interface->rows[row], sort);
        qsort(interface->rows, interface->row_count, sizeof(*interface->rows), by_key);
        interface->sum.sort_key = sort_key(&interface->sum, sort);
    }
    qsort(table->interfaces, table->interface_count, sizeof(*table->interfaces), by_key);
}
