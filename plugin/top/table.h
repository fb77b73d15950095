/* SPDX-License-Identifier: MIT */
/*
 * The table of tc_portbytes-top: rates by interface and series, summed up and sorted. Names are
 * untrusted: they come from a socket and may hold any byte but NUL.
 *
 * The series "decrypted" is in no sum and not among the rows: its packets were on the wire once,
 * as ESP or AH, and that is in another series. A port in a group has no series of its own.
 */
#ifndef PB_TOP_TABLE_H
#define PB_TOP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#define TOP_NAME 128 /* collectd's DATA_MAX_NAME_LEN, with the terminating NUL */

enum { TOP_RX_BYTES, TOP_RX_PACKETS, TOP_TX_BYTES, TOP_TX_PACKETS, TOP_RATES };

/* Rates: the highest first, then by name. Names: numbers in numeric order. */
enum top_sort { TOP_BY_TOTAL, TOP_BY_IN, TOP_BY_OUT, TOP_BY_PACKETS, TOP_BY_NAME, TOP_SORTS };

/* "total", "in", ...: no two begin with the same letter. */
extern const char *const top_sort_names[TOP_SORTS];

struct top_row {
    char host[TOP_NAME], interface[TOP_NAME], instance[TOP_NAME];
    double rate[TOP_RATES]; /* per second; NaN: unknown */
    double total_bytes;     /* per second, both directions */
    double sort_key;        /* what the table is sorted by; by name: 0 */
    bool is_new;            /* see seen.h */
};

/* An interface with its rows. */
struct top_interface {
    struct top_row sum;   /* the first member, so that one function compares rows and interfaces */
    struct top_row *rows; /* part of the table's */
    size_t row_count;
    double busiest;                  /* the highest total_bytes of a row */
    const struct top_row *decrypted; /* NULL: no such series */
};

struct top_table {
    struct top_row *rows;
    size_t row_count;
    struct top_interface *interfaces;
    size_t interface_count;
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

/* Merges rows of the same series and makes the interfaces. Once, after the last row. */
void top_table_finish(struct top_table *table);

/* Sorts the interfaces and the rows of each. Any number of times, after top_table_finish(). */
void top_table_sort(struct top_table *table, enum top_sort sort);

/*
 * Sums up an interface's rows from `from` on. Unknown rates are left out; a sum of unknown rates
 * only is unknown, a sum of no rows is 0.
 */
void top_sum_rows(double sum[TOP_RATES], const struct top_interface *interface, size_t from);

#endif
