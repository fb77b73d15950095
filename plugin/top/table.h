/* SPDX-License-Identifier: MIT */
/*
 * The table of tc_portbytes-top: rates by interface and port, sorted and summed up, as text and as
 * JSON. Names are untrusted: they come from a socket and may hold any byte but NUL.
 *
 * The series "decrypted" is in no sum and not among the ports: its packets were on the wire once,
 * as ESP or AH, and that is in another series.
 */
#ifndef PB_TOP_TABLE_H
#define PB_TOP_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TOP_NAME 128 /* collectd's DATA_MAX_NAME_LEN, with the terminating NUL */

enum { TOP_RX_BYTES, TOP_RX_PACKETS, TOP_TX_BYTES, TOP_TX_PACKETS, TOP_RATES };

struct top_row {
    char host[TOP_NAME], interface[TOP_NAME], instance[TOP_NAME];
    double rate[TOP_RATES]; /* per second; NaN: unknown */
    double total_bytes;     /* per second, both directions; the sort key */
};

/* An interface with its rows, busiest first. */
struct top_group {
    struct top_row sum;   /* the first member, so that one function compares rows and groups */
    struct top_row *rows; /* part of the table's */
    size_t row_count;
    const struct top_row *decrypted; /* NULL: no such series */
};

struct top_table {
    struct top_row *rows;
    size_t row_count;
    struct top_group *groups; /* busiest first */
    size_t group_count;
};

struct top_view {
    unsigned columns;
    unsigned lines; /* 0: no limit */
    size_t ports;   /* maximum per interface; the others are summed up */
};

/* An empty table with space for this many rows. False: out of memory; free it all the same. */
bool top_table_init(struct top_table *table, size_t capacity);

/* Leaves an empty table without space. */
void top_table_free(struct top_table *table);

/* Adds a row whose rates are unknown. At most `capacity` times; names are truncated to TOP_NAME. */
struct top_row *top_table_add(struct top_table *table, const char *host, const char *interface,
                              const char *instance);

/* Whether any of its data sources is a rate of the table. */
bool top_type_is_known(const char *type);

/* Sets a rate from a data source of this type. Ignores unknown sources and implausible values. */
void top_row_set(struct top_row *row, const char *type, const char *source, double value);

/* Sorts the rows and makes the groups. Once, after the last row. */
void top_table_sort(struct top_table *table);

/* Three significant digits and an SI prefix; "-" for 0, "?" for NaN. */
void top_format_rate(char *out, size_t size, double value);

/* Printable ASCII; no line is longer than view->columns. */
void top_print_text(FILE *to, const struct top_table *table, const struct top_view *view);

/* One line of JSON. `time` is in seconds since the Epoch; `ports` as in struct top_view. */
void top_print_json(FILE *to, const struct top_table *table, double time, size_t ports);

#endif
