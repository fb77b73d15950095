/* SPDX-License-Identifier: MIT */
/*
 * The classifier on one interface, in both directions: attached by tcx where the kernel has it
 * (6.6), else by clsact; kept attached, and detached at the end. Others' programs, filters and
 * qdiscs are left alone.
 *
 * Works in the network namespace of the calling thread. Errors are negative errno and are not
 * logged; what others do that keeps packets from us is. What libbpf prints meanwhile is
 * discarded unless the caller captures it. One thread at a time for each struct attach.
 */
#ifndef PB_ATTACH_H
#define PB_ATTACH_H

#include "attachment.h"

#define ATTACH_REASON_SIZE 128

struct attach_settings {
    const char *name; /* of the interface, for messages */
    int interface;
    struct program *programs[DIRECTIONS]; /* the classifier's; NULL: direction not wanted */
    const struct pins *pins;              /* where attachments are pinned; NULL: nowhere */
};

/*
 * Attaches in each direction that has a program, first in line. What a killed daemon left on the
 * interface is replaced, or removed where there is no program; a running daemon's classifier stays
 * beside ours. Programs and pins must outlive it; many interfaces may share them. On failure
 * nothing is attached and reason[] has a sentence. -EMFILE: no descriptor may be kept for it, see
 * descriptors.h. -ENODEV: there is no such interface.
 *
 * Egress can't be attached by clsact where a qdisc of kind ingress is in its place. That is
 * reported, and no failure; attach_check attaches once that qdisc has gone.
 */
int attach_open(struct attach **out, const struct attach_settings *settings,
                char reason[ATTACH_REASON_SIZE]);

/*
 * Attaches again where it was removed externally. Directions that are attached stay so, also on
 * failure; reason[] has a sentence then.
 */
int attach_restore(struct attach *attach, char reason[ATTACH_REASON_SIZE]);

/*
 * 0: attached in every direction wanted, as far as possible. -ENOENT: removed externally from one,
 * which attach_restore puts back. -ENODEV: the interface has gone. Warns when another program has
 * come in front of ours; it stays there, since two that fight for the first position are worse.
 * `name` is the interface's now.
 */
int attach_check(struct attach *attach, const char *name);

/* Whether it is attached in any direction. */
bool attach_is_counting(const struct attach *attach);

/* Detaches and frees. NULL is allowed. */
void attach_close(struct attach *attach);

/*
 * Frees, and leaves everything attached for the next daemon. Needs pins: a link without one ends
 * with its descriptor.
 */
void attach_disown(struct attach *attach);

/* Removes what killed daemons left on an interface that is not counted. */
void attach_remove_stale(int interface);

#endif
