/* SPDX-License-Identifier: MIT */
/*
 * A loaded program, as it is attached to any number of interfaces. Types only.
 */
#ifndef PB_PROGRAM_H
#define PB_PROGRAM_H

#include <linux/types.h>

enum direction { INGRESS, EGRESS, DIRECTIONS };

static const char *const direction_names[DIRECTIONS] = {[INGRESS] = "ingress", [EGRESS] = "egress"};

struct program {
    int fd; /* negative: this direction is not counted */
    __u32 id;
    int alive; /* the socket that says so, see alive.h; -1: none */
};

#endif
