/* SPDX-License-Identifier: MIT */
/*
 * The ports of this network namespace that have a listening socket. One thread at a time.
 */
#ifndef PB_LISTENERS_H
#define PB_LISTENERS_H

#include <stdbool.h>

#include <linux/types.h>

#include "log_limit.h"
#include "netlink.h"

/* All zero: none known yet. */
struct listeners {
    struct netlink_listener *found; /* sorted; owned */
    unsigned number;
    struct log_limit failure;
};

/*
 * Lists the sockets. If that fails those known stay, and a warning is logged. now: monotonic ns.
 * Call it once for each read: a UDP socket is taken for a server's only if it was there at the
 * read before, too.
 */
void listeners_update(struct listeners *listeners, __u64 now);
void listeners_free(struct listeners *listeners);

/*
 * Calls each() for every listening port that can be reached through an interface: one bound to a
 * loopback address only through loopback itself. A port may come more than once.
 */
void listeners_for_each(const struct listeners *listeners, bool loopback,
                        void (*each)(void *context, __u32 key), void *context);

/* Whether it calls each() for the key. */
bool listeners_has(const struct listeners *listeners, bool loopback, __u32 key);

#endif
