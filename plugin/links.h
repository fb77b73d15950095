/* SPDX-License-Identifier: MIT */
/* All network interfaces, as of one moment. */
#ifndef PB_LINKS_H
#define PB_LINKS_H

#include "netlink.h"

/* All links as netlink.h lists them; the array is the caller's. */
struct links {
    struct netlink_link *link;
    unsigned number;
};

/* By index, which links_find needs. */
void links_sort(struct links *links);

/* NULL: no such link. */
struct netlink_link *links_find(const struct links *links, int index);

#endif
