/* SPDX-License-Identifier: MIT */
#include "seen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whoever may send values to collectd's network plugin can make ever new series. */
#define ABSENT_MAX 100000

struct seen_series {
    char *name;          /* HOST/INTERFACE/INSTANCE, owned */
    __u64 new_until;     /* 0: never new */
    __u64 absent_since;  /* 0: the last table has it */
    struct top_row *row; /* of the table at hand */
};

static int by_name(const void *a, const void *b) {
    const struct seen_series *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static void free_series(struct seen_series *series, size_t number) {
    for (size_t i = 0; i < number; i++)
        free(series[i].name);
    free(series);
}

/* The rows of a table, by name. NULL: out of memory. */
static struct seen_series *list_rows(struct top_table *table) {
    struct seen_series *list = calloc(table->row_count + 1, sizeof(*list));

    for (size_t i = 0; list && i < table->row_count; i++) {
        struct top_row *row = &table->rows[i];

        list[i].row = row;
        if (asprintf(&list[i].name, "%s/%s/%s", row->host, row->interface, row->instance) < 0) {
            free_series(list, i);
            return NULL;
        }
    }
    if (list)
        qsort(list, table->row_count, sizeof(*list), by_name);
    return list;
}

/* Whether a series that the table does not have is to be remembered. */
static bool is_kept(struct seen_series *series, __u64 now, __u64 period, size_t absent) {
    if (!series->absent_since)
        series->absent_since = now;
    return now - series->absent_since < period && absent < ABSENT_MAX;
}

int seen_update(struct seen *seen, struct top_table *table, __u64 now, __u64 period) {
    struct seen_series *rows = list_rows(table), *old = seen->series, *merged;
    size_t old_number = old ? seen->number : 0, row_number = table->row_count, absent = 0,
           number = 0;
    bool is_first = !old;

    merged = rows ? calloc(old_number + row_number + 1, sizeof(*merged)) : NULL;
    if (!merged || !row_number) { /* collectd may have read nothing yet */
        free_series(rows, rows ? row_number : 0);
        free(merged);
        return merged ? 0 : -ENOMEM;
    }
    for (size_t o = 0, r = 0; o < old_number || r < row_number;) {
        int order = o == old_number ? 1 : r == row_number ? -1 : by_name(&old[o], &rows[r]);

        if (order < 0) {
            if (is_kept(&old[o], now, period, absent)) {
                merged[number++] = old[o];
                absent++;
            } else {
                free(old[o].name);
            }
            o++;
            continue;
        }
        merged[number] = rows[r++];
        merged[number].new_until = is_first ? 0 : now + period;
        if (order == 0) {
            merged[number].new_until = old[o].new_until;
            free(old[o++].name);
        }
        merged[number].row->is_new = now < merged[number].new_until;
        number++;
    }
    free(old);
    free(rows);
    *seen = (struct seen){merged, number};
    return 0;
}

void seen_free(struct seen *seen) {
    free_series(seen->series, seen->number);
    *seen = (struct seen){0};
}
