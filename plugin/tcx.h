/* SPDX-License-Identifier: MIT */
/*
 * Attaching by tcx (Linux 6.6): a BPF link for each direction, which ends with the process unless
 * it is pinned.
 */
#ifndef PB_TCX_H
#define PB_TCX_H

#include <stdbool.h>

#include "attachment.h"

extern const struct attach_ops tcx_ops;

/* Whether the kernel has it. True as well if there is no such interface. */
bool tcx_is_supported(int interface);

#endif
