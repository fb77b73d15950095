/* SPDX-License-Identifier: MIT */
/*
 * Selects interfaces by name, with the semantics of collectd's ignorelist (collectd.conf(5),
 * "IGNORELISTS"; collectd does not export its own): plain names and /extended regular expressions/.
 * They are what is selected, or, inverted by IgnoreSelected, what is not.
 *
 * Not thread-safe while it is changed; then any number of threads may read.
 */
#ifndef PB_SELECTION_H
#define PB_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

struct selection;

/* An empty selection; NULL: out of memory. */
struct selection *selection_new(void);
void selection_free(struct selection *selection); /* NULL is allowed */

/*
 * Adds a name, or a regular expression in slashes; `pattern` is copied. On failure the selection is
 * unchanged: -EINVAL if it is empty or no valid expression, with the cause in `reason` (terminated,
 * truncated to `size`), or -ENOMEM.
 */
int selection_add(struct selection *selection, const char *pattern, char *reason, size_t size);

/* true: the patterns name what is not selected. No effect while there are no patterns. */
void selection_invert(struct selection *selection, bool ignore_selected);

/* Whether it has no patterns. */
bool selection_is_empty(const struct selection *selection);

/*
 * Whether it selects the interface, by any of its names: `name`, and those of `others`, each
 * terminated, ended by an empty one; NULL: none. An empty selection selects all.
 */
bool selection_wants(const struct selection *selection, const char *name, const char *others);

/*
 * The n-th plain name, from 0; NULL if there are fewer, or if the selection is inverted.
 * Owned by the selection.
 */
const char *selection_name(const struct selection *selection, unsigned n);

#endif
