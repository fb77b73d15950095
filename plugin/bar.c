/* SPDX-License-Identifier: MIT */
#include "bar.h"

#include <math.h>

void bar_pass(struct bar *bar, __u64 now) {
    if (now > bar->at)
        bar->begun *= exp2(-(double)(now - bar->at) / (double)BAR_HALF_LIFE);
    bar->at = now;
}

__u64 bar_bytes(const struct bar *bar, __u64 min_bytes, __u32 max_ports) {
    double doublings = floor(8 * bar->begun / max_ports);
    __u64 bytes = min_bytes ? min_bytes : 1;

    if (!(doublings <= __builtin_clzll(bytes))) /* of the leading zero bits one goes for each */
        return ~0ull;
    return bytes << (unsigned)doublings;
}
