/* SPDX-License-Identifier: MIT */
#include "links.h"

#include <stdlib.h>
#include <string.h>

void links_free(struct links *links) {
    netlink_links_free(links->link, links->number);
    *links = (struct links){0};
}

static int by_index(const void *a, const void *b) {
    int left = ((const struct netlink_link *)a)->index;
    int right = ((const struct netlink_link *)b)->index;

    return (left > right) - (left < right);
}

void links_sort(struct links *links) {
    if (links->number)
        qsort(links->link, links->number, sizeof(*links->link), by_index);
}

struct netlink_link *links_find(const struct links *links, int index) {
    const struct netlink_link key = {.index = index};

    return links->number ? bsearch(&key, links->link, links->number, sizeof(*links->link), by_index)
                         : NULL;
}

const struct netlink_link *links_find_wanted(const struct links *links, int index) {
    const struct netlink_link *link = links_find(links, index);

    return link && link->wanted ? link : NULL;
}

static bool has_name(const struct netlink_link *link, const char *name) {
    if (!strcmp(link->name, name))
        return true;
    for (const char *other = link->altnames; other && *other; other += strlen(other) + 1)
        if (!strcmp(other, name))
            return true;
    return false;
}

bool links_have_name(const struct links *links, const char *name) {
    for (unsigned n = 0; n < links->number; n++)
        if (has_name(&links->link[n], name))
            return true;
    return false;
}
