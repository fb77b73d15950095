/* SPDX-License-Identifier: MIT */
/* For tests without groups: slots by two numbers, folding by range. */
#ifndef PB_SLOTS_SHORT_H
#define PB_SLOTS_SHORT_H

#include "slots.h"

static inline struct slots_layout layout_of(__u32 dynamic, __u32 reserved) {
    return (struct slots_layout){.dynamic = dynamic, .reserved = reserved};
}

/* first > last: none. */
static inline void fold_range(struct slots *slots, __u32 first, __u32 last) {
    struct port_set ports = {0};

    port_set_add_range(&ports, first, last);
    slots_fold(slots, &ports);
}

#endif
