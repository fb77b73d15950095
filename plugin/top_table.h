/* SPDX-License-Identifier: MIT */
/*
 * The table of tc_portbytes-top: rates by interface and port, sorted and summed up, as text and
 * as JSON. Names come from a socket: they are not believed to be printable.
 */
#ifndef PB_TOP_TABLE_H
#define PB_TOP_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TOP_NAME 64 /* the client library's LCC_NAME_LEN */

enum { TOP_RX_BYTES, TOP_RX_PACKETS, TOP_TX_BYTES, TOP_TX_PACKETS, TOP_RATES };

struct top_row {
    char host[TOP_NAME], interface[TOP_NAME], instance[TOP_NAME];
    double rate[TOP_RATES]; /* a second; NaN: not known */
    double busy;            /* what it is sorted by: bytes, in and out */
};

/* An interface: its rows, busiest first. */
struct top_group {
    struct top_row sum; /* the first member, so that rows and groups are sorted alike */
    struct top_row *rows;
    size_t number;
};

struct top_table {
    struct top_row *rows;
    size_t number;
    struct top_group *groups; /* busiest first */
    size_t groups_number;
};

struct top_view {
    unsigned columns;
    unsigned lines; /* 0: as many as it takes */
    size_t ports;   /* of an interface at most; the others are summed up */
};

/* An empty table with room for so many rows; false: no memory. */
bool top_open(struct top_table *table, size_t rows);

void top_close(struct top_table *table);

/* A new row, no rate of it known. */
struct top_row *top_add(struct top_table *table, const char *host, const char *interface,
                        const char *instance);

/* What a data source of this type says; an unknown one or a senseless value is nothing. */
void top_set(struct top_row *row, const char *type, const char *source, double value);

/* Once, after the last row: makes the groups. */
void top_arrange(struct top_table *table);

/* Three digits and a unit; "-" is 0, "?" is NaN. */
void top_human(char *to, size_t size, double value);

void top_text(FILE *to, const struct top_table *table, const struct top_view *view);

/* One line. `time` is in seconds since 1970. */
void top_json(FILE *to, const struct top_table *table, double time, size_t ports);

#endif
