/* SPDX-License-Identifier: MIT */
/*
 * The counters of one interface, by slot and CPU: a map that the classifier finds by the
 * interface's row, see tc_portbytes.h.
 *
 * Errors are negative errno and are not logged. One thread for all but counters_read and
 * counters_state, which may be called from any.
 */
#ifndef PB_COUNTERS_H
#define PB_COUNTERS_H

#include "classifier.h"

struct counters;

/* As classifier_pins, for one interface. */
struct counters_pins {
    const struct pins *pins;
    size_t state_size;
    __u64 fingerprint;
};

/*
 * Makes the counters of an interface, zero, or resumes those that are pinned; no program finds them
 * yet. With pins that can't be resumed all of the interface's are removed but its attachments.
 * -EBUSY: another interface has its row, and others have all spare ones.
 */
int counters_open(struct counters **out, struct classifier *classifier, int interface,
                  const struct counters_pins *pins);

/* They must not be published, or the classifier be closed next. Pins stay. NULL is allowed. */
void counters_close(struct counters *counters);

/* From now on the classifier finds them. Waits for a grace period, one for all from 6.8 on. */
int counters_publish(struct counters *const *counters, unsigned number);

/* From now on it doesn't. Waits for a grace period. Allowed, too, if they aren't published. */
void counters_withdraw(struct counters *counters);

/* A spare row, or PB_ROW_BY_INDEX. For classifier_programs. */
__u32 counters_row(const struct counters *counters);

/* The memory of counters_pins.state_size; NULL without pins. Lives as long as the counters. */
void *counters_state(struct counters *counters);

/* The memory that the kernel takes for the counters of one interface, in bytes. */
__u64 counters_size(const struct classifier_settings *settings);

/*
 * The sums over all CPUs of the slots in list[], into sums[slot]. Followed by a full fence: what is
 * read from the shared memory afterwards is not older.
 */
void counters_read(const struct counters *counters, const __u32 *list, __u32 number,
                   struct pb_counters *sums);

#endif
