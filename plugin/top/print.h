/* SPDX-License-Identifier: MIT */
/* The table of tc_portbytes-top as text and as JSON. */
#ifndef PB_TOP_PRINT_H
#define PB_TOP_PRINT_H

#include <stdio.h>

#include "table.h"

struct top_view {
    unsigned columns;
    unsigned lines; /* 0: no limit */
    size_t ports;   /* maximum of rows per interface; the others are summed up */
    bool marks_new; /* shows is_new of each row, and how many of the others are */
};

/* Three significant digits and an SI prefix; "-" for 0, "?" for NaN. */
void top_format_rate(char *out, size_t size, double value);

/* Printable ASCII; no line is longer than view->columns. */
void top_print_text(FILE *to, const struct top_table *table, const struct top_view *view);

/*
 * One line of JSON. `time` is in seconds since the Epoch. Of the view, columns and lines do not
 * matter.
 */
void top_print_json(FILE *to, const struct top_table *table, double time,
                    const struct top_view *view);

#endif
