/* SPDX-License-Identifier: MIT */
#include "links.h"

#include <stdlib.h>

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
