/* SPDX-License-Identifier: MIT */
/*
 * What the plugin asks the kernel over netlink. Errors are negative errno. Works
 * in the network namespace of the calling thread. A struct netlink is used by one
 * thread at a time.
 */
#ifndef PB_NETLINK_H
#define PB_NETLINK_H

#include <net/if.h>
#include <stdbool.h>

/* One interface as RTM_NEWLINK describes it. */
struct netlink_link {
    int index;
    unsigned flags;      /* IFF_UP, IFF_LOOPBACK, ... */
    unsigned short type; /* ARPHRD_ETHER, ... */
    bool enslaved;       /* to a bridge, bond or team, which shows its traffic */
    char name[IFNAMSIZ];
};

struct netlink;

/* Subscribes to changes of links. */
int netlink_open(struct netlink **out);
void netlink_close(struct netlink *netlink); /* NULL is fine */

/* Readable when links may have changed since the last netlink_links. */
int netlink_fd(const struct netlink *netlink);

/*
 * All links as they are now. The array is the caller's to free. Changes that were
 * announced before are swallowed, so that a burst of them costs one call.
 */
int netlink_links(struct netlink *netlink, struct netlink_link **links, unsigned *number);

/* One socket that waits for whoever comes: TCP listening, or UDP bound and unconnected. */
struct netlink_listener {
    unsigned key;   /* PB_KEY of its transport and port */
    bool loopback;  /* bound to a loopback address: not to be reached from elsewhere */
    bool confirmed; /* the caller's */
};

/*
 * All listeners of this network namespace, IPv4 and IPv6, the kernel's own (WireGuard)
 * too; a port may be there more than once. The array is the caller's to free.
 */
int netlink_listeners(struct netlink_listener **listeners, unsigned *number);

/* 1: the interface's clsact has a filter in some direction, 0: none. */
int netlink_has_filters(int interface);

/* One filter of an interface's clsact. */
struct netlink_filter {
    unsigned priority, handle;
    unsigned program; /* id of a BPF program; 0: a filter of another kind */
    char name[32];    /* as whoever attached the program called it, cut short */
};

/*
 * The filters of one direction, in the order in which packets meet them; without those
 * that only a jump to another chain reaches. None where there is no clsact, or no such
 * interface. The array is the caller's to free.
 */
int netlink_filters(int interface, bool egress, struct netlink_filter **filters, unsigned *number);

#endif
