/* SPDX-License-Identifier: MIT */
/*
 * The ports of this network namespace that have a listening socket. One thread at a time.
 *
 * TCP and SCTP: a listening socket. UDP has none: there it is one that is bound and not connected,
 * as a client's is, too, until it has sent its query. It is taken for a server's if it was there at
 * the read before and its port is not one that the kernel gives to clients; or if it is the
 * kernel's own (WireGuard, VXLAN).
 */
#ifndef PB_LISTENERS_H
#define PB_LISTENERS_H

#include <stdbool.h>

#include "log_limit.h"
#include "netlink.h"
#include "port_set.h"

/* All zero: none known yet. */
struct listeners {
    struct netlink_listener *found; /* sorted, each port once or, for loopback, twice; owned */
    unsigned number;
    struct key_set reachable[2]; /* from other hosts; through loopback: these, and more */
    struct log_limit failure;
};

/*
 * Lists the sockets. If that fails those known stay, and a warning is logged. clients: the ports
 * that the kernel gives to sockets. now: monotonic ns. Call it once for each read.
 */
void listeners_update(struct listeners *listeners, const struct port_set *clients, __u64 now);
void listeners_free(struct listeners *listeners);

/*
 * Whether the port is a listening one that can be reached through an interface: one bound to a
 * loopback address only through loopback itself. key: below PB_PORT_KEYS.
 */
bool listeners_has(const struct listeners *listeners, bool loopback, __u32 key);

/* Calls each() for every such port, in ascending order. */
void listeners_for_each(const struct listeners *listeners, bool loopback,
                        void (*each)(void *context, __u32 key), void *context);

#endif
