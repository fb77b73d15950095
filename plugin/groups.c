/* SPDX-License-Identifier: MIT */
#include "groups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "group-"

const char *groups_name(const struct groups *groups, __u32 group) {
    return groups->instances[group] + strlen(PREFIX);
}

__u32 groups_find(const struct groups *groups, const char *name) {
    __u32 group = 0;

    while (group < groups->number && strcmp(groups_name(groups, group), name) != 0)
        group++;
    return group;
}

int groups_add(struct groups *groups, const char *name) {
    size_t size = sizeof(PREFIX) + strlen(name);
    char *instance;

    if (groups->number == GROUPS_MAX)
        return -ENOSPC;
    if (!groups->instances)
        groups->instances = calloc(GROUPS_MAX, sizeof(groups->instances[0]));
    if (!groups->of)
        groups->of = calloc(PB_PORT_KEYS, sizeof(groups->of[0]));
    instance = groups->instances && groups->of ? malloc(size) : NULL;
    if (!instance)
        return -ENOMEM;
    snprintf(instance, size, PREFIX "%s", name);
    groups->instances[groups->number++] = instance;
    return 0;
}

void groups_remove_last(struct groups *groups) {
    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        if (groups->of[key] == groups->number)
            groups->of[key] = 0;
    free(groups->instances[--groups->number]);
}

void groups_free(struct groups *groups) {
    while (groups->number)
        free(groups->instances[--groups->number]);
    free(groups->instances);
    free(groups->of);
    *groups = (struct groups){0};
}
