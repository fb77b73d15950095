/* SPDX-License-Identifier: MIT */
/*
 * Makes what is attached equal to what is wanted, as links come, change and go.
 *
 * One thread, the attacher's. Errors are negative errno.
 */
#ifndef PB_RECONCILE_H
#define PB_RECONCILE_H

#include "attacher.h"

/*
 * All links, sorted and marked by policy; to be freed by links_free. What is wrong is logged, and
 * links unchanged then.
 */
int reconcile_list(struct attacher *attacher, struct links *links);

/* Begins to read all interfaces that are pinned and wanted. What is wrong is logged. */
int reconcile_resume(struct attacher *attacher, const struct links *links);

/* The last error of a link that is wanted and could not be attached; it was logged. */
int reconcile(struct attacher *attacher, struct progress *progress);

#endif
