/* SPDX-License-Identifier: MIT */
/* All network interfaces, as of one moment. */
#ifndef PB_LINKS_H
#define PB_LINKS_H

#include "netlink.h"

/* All links as netlink.h lists them. All 0: none. */
struct links {
    struct netlink_link *link;
    unsigned number;
};

/* Its memory; it has none then. */
void links_free(struct links *links);

/* By index, which links_find needs. */
void links_sort(struct links *links);

/* NULL: no such link. */
struct netlink_link *links_find(const struct links *links, int index);

/* NULL: no such link, or it is not `wanted`. */
const struct netlink_link *links_find_wanted(const struct links *links, int index);

/* Whether a link has this name, alternative ones included. */
bool links_have_name(const struct links *links, const char *name);

#endif
