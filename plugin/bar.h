/* SPDX-License-Identifier: MIT */
/*
 * The bar: how many bytes a port must carry to become a series. It doubles with every eighth of
 * max_ports series that have begun lately, and "lately" has a half-life of a week. So there is
 * always a place for a port that carries enough, where a limit would leave none for those that
 * come late; and whoever wants to fill the places must double what he sends for each next eighth.
 *
 * Pure: the same answer for the same arguments. Any thread.
 */
#ifndef PB_BAR_H
#define PB_BAR_H

#include <linux/types.h>

#define BAR_HALF_LIFE 604800000000000ull /* ns: a week */

/* All zero: none has begun. It may be copied and saved. */
struct bar {
    double begun; /* series that have begun, each halved for every half-life since */
    __u64 at;     /* as of this time: ns of a clock, always the same one */
};

/*
 * Lets the time up to `now` pass. A clock that went back: no time has passed, and it counts from
 * there.
 */
void bar_pass(struct bar *bar, __u64 now);

/*
 * max(min_bytes, 1) * 2^floor(8 * begun / max_ports), at most 2^64 - 1. min_bytes: at most 2^53;
 * max_ports: not 0.
 */
__u64 bar_bytes(const struct bar *bar, __u64 min_bytes, __u32 max_ports);

#endif
