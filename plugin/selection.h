/* SPDX-License-Identifier: MIT */
/*
 * Which interfaces the operator wants, in the words and with the meaning of
 * collectd's ignorelist: names, or /extended regular expressions/, which either
 * are all there is (the default) or are left out (inverted by IgnoreSelected).
 */
#ifndef PB_SELECTION_H
#define PB_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

struct selection;

/* An empty selection. NULL: no memory. */
struct selection *selection_new(void);
void selection_free(struct selection *selection); /* NULL is fine */

/*
 * Adds a name or a /regex/. -EINVAL: not a regular expression, what is wrong with
 * it is in reason; or an empty pattern. -ENOMEM.
 */
int selection_add(struct selection *selection, const char *pattern, char *reason, size_t size);

/* true: the patterns name what is left out. */
void selection_invert(struct selection *selection, bool ignore_selected);

/* Whether it has any pattern: if not, selection_wants says yes to everything. */
bool selection_is_empty(const struct selection *selection);

bool selection_wants(const struct selection *selection, const char *name);

/* The n-th plain name of an uninverted selection, NULL behind the last. */
const char *selection_name(const struct selection *selection, unsigned n);

#endif
