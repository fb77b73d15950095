/* SPDX-License-Identifier: MIT */
/* What classifier.c and counters.c share; no other file includes it. */
#ifndef PB_CLASSIFIER_PRIVATE_H
#define PB_CLASSIFIER_PRIVATE_H

#include "classifier.h"
#include "state_map.h"

/* The maps that all programs share. */
enum shared_map { MAP_ROWS, MAP_SHARED_MEMORY, MAP_RING_LOCK, MAP_FRAGMENTS, SHARED_MAPS };

/* The programs for one kind of link layer, and one row or all. */
struct kind {
    struct kind *next;
    __u32 l2_len;
    __u32 row;
    struct program programs[DIRECTIONS];
};

struct classifier {
    struct classifier_settings settings; /* slots: of one lane of the counters */
    struct kind *kinds;
    int maps[SHARED_MAPS];
    struct pb_shared *shared;
    __u32 id;
    bool resumed;
    struct state_map state;
    struct counters *counters; /* of all interfaces */
};

/* How many counters an interface has, in all lanes. */
__u32 number_of_counters(const struct classifier_settings *settings);

/* A map of so many, all of which are alike. Its descriptor, or a negative errno. */
int make_counters_map(const struct classifier_settings *settings);

#endif
