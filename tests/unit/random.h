/* SPDX-License-Identifier: MIT */
/* The same numbers in every run (splitmix64), so that a failure can be reproduced. */
#ifndef PB_RANDOM_H
#define PB_RANDOM_H

#include <stdbool.h>

#include <linux/types.h>

struct random {
    __u64 state;
};

static inline __u64 random_next(struct random *random) {
    __u64 z = random->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* 0 to limit - 1 */
static inline __u32 random_below(struct random *random, __u32 limit) {
    return (__u32)((random_next(random) >> 32) * limit >> 32);
}

/* True in one of `times` calls, on average. */
static inline bool random_once_in(struct random *random, __u32 times) {
    return random_below(random, times) == 0;
}

#endif
