/* SPDX-License-Identifier: MIT */
/*
 * Groups of ports, each of which is one series. A port is in one group at most.
 *
 * One thread at a time while groups are added, any after that.
 */
#ifndef PB_GROUPS_H
#define PB_GROUPS_H

#include "tc_portbytes.h"

#define GROUPS_MAX     256
#define GROUP_NAME_MAX 32 /* characters */

/* What stands for a group where a key is expected; behind those of tc_portbytes.h. */
#define GROUP_KEY(group) (PB_KEYS + (group))

/* All zero: none. */
struct groups {
    __u32 number;
    char **instances; /* by group: "group-NAME", see series_name.h; owned */
    __u16 *of;        /* by key of a port: 1 + its group, 0: none; owned */
};

/* The group of a port, or groups->number. */
static inline __u32 groups_of(const struct groups *groups, __u32 key) {
    return groups->number && groups->of[key] ? groups->of[key] - 1u : groups->number;
}

/* The name of a group: what the instance has behind "group-". */
const char *groups_name(const struct groups *groups, __u32 group);

/* The group with this name, or groups->number. */
__u32 groups_find(const struct groups *groups, const char *name);

/* Adds a group without ports: the last one. -ENOMEM; -ENOSPC: there are GROUPS_MAX. */
int groups_add(struct groups *groups, const char *name);

/* Removes the last group. */
void groups_remove_last(struct groups *groups);

/* All are gone then. May be repeated. */
void groups_free(struct groups *groups);

#endif
