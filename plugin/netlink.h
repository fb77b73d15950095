/* SPDX-License-Identifier: MIT */
/*
 * Queries of the kernel over netlink: links and routes (rtnetlink), listening sockets and those of
 * netlink (sock_diag), IPsec (xfrm), the clsact qdisc and its filters (rtnetlink).
 *
 * All functions return 0 or a negative errno unless stated otherwise; on failure outputs are
 * unchanged. They see the network namespace of the calling thread; a struct netlink that of the
 * thread that opened it. A struct netlink is used by one thread at a time; the functions without
 * one open a socket for each call and may be called from any thread.
 */
#ifndef PB_NETLINK_H
#define PB_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>

#include <linux/types.h>

/* ---- links ---- */

/* A network interface, by RTM_NEWLINK. Indices are 0 where there is none. */
struct netlink_link {
    int index;
    int master;          /* of which it is a port */
    int below;           /* to which it hands its packets; 0 also for another network namespace */
    unsigned flags;      /* IFF_UP, IFF_LOOPBACK, ... */
    unsigned short type; /* ARPHRD_ETHER, ... */
    bool card;           /* hardware, or what a hypervisor passes off as such */
    bool xen_backend;    /* the host's end of a Xen guest's card; no card itself */
    bool representor;    /* of a function of an SR-IOV card, in a switch; no card itself */
    bool l3;             /* made by tun, without a link layer */
    char name[IFNAMSIZ];
    char kind[16];        /* "veth", "bridge", ...; "" for most drivers; truncated */
    char master_kind[16]; /* that of the master */
    char *altnames; /* more names, each terminated, ended by an empty one; NULL: none; owned */

    /* For the caller's use, all 0. */
    bool wanted;            /* to be counted */
    unsigned char left_out; /* why it is not: enum default_rule_reason */
    bool attached;
};

struct netlink;

/* Opens a socket that is notified of changes of links. */
int netlink_open(struct netlink **out);
void netlink_close(struct netlink *netlink); /* NULL is allowed */

/* For poll(): readable if links may have changed since the last netlink_links(). Owned by netlink.
 */
int netlink_fd(const struct netlink *netlink);

/*
 * All links as of now, in an array to be freed by netlink_links_free; NULL if there are none.
 * Discards the pending notifications, which the array includes: a burst of changes costs one call.
 */
int netlink_links(struct netlink *netlink, struct netlink_link **links, unsigned *number);

/* NULL is allowed. Here, so that those who only look at links need no netlink. */
static inline void netlink_links_free(struct netlink_link *links, unsigned number) {
    for (unsigned n = 0; n < number; n++)
        free(links[n].altnames);
    free(links);
}

/*
 * The interfaces to which the default route of a family (AF_INET, AF_INET6) leads, at most
 * `capacity` of them. Returns how many, 0 or a negative errno if there is no such route, or if
 * what is for no network in particular takes a more specific one. One look-up: a router has a
 * million routes.
 */
int netlink_default_route(int family, int *interfaces, unsigned capacity);

/* ---- listening sockets ---- */

/* A TCP or SCTP socket in state LISTEN, or a UDP socket that is bound and not connected. */
struct netlink_listener {
    unsigned key;  /* PB_KEY of its transport and port */
    bool loopback; /* bound to a loopback address: unreachable from other hosts */
    bool kernel;   /* no process has it: WireGuard's, VXLAN's, ... */
};

/*
 * All such sockets, IPv4 and IPv6, in an array that the caller frees; NULL if there are none. A
 * port may occur more than once. Those of SCTP only if the kernel has its module loaded.
 */
int netlink_listeners(struct netlink_listener **listeners, unsigned *number);

/* ---- sockets of netlink ---- */

/*
 * Whether any process here has a netlink socket of the protocol with exactly these multicast groups
 * (bit 0: group 1; not 0). When in doubt, yes. Asking may load the module netlink_diag.
 */
bool netlink_has_member(int protocol, __u32 groups);

/* ---- IPsec ---- */

/*
 * Whether the network namespace has IPsec states. Loads no module, unless others have opened a
 * thousand netlink sockets. When in doubt, yes: the kernel tells only who has CAP_NET_ADMIN, and
 * not if it has PF_KEY alone.
 */
bool netlink_has_ipsec(void);

/* ---- clsact ---- */

/*
 * The kind of the qdisc in the place that clsact takes: "clsact" or "ingress"; "" if there is none.
 * -ENODEV: there is no such interface.
 */
int netlink_ingress_qdisc(int interface, char kind[IFNAMSIZ]);

struct netlink_filter {
    unsigned priority, handle;
    unsigned program; /* id of the BPF program; 0: not a BPF filter */
    char name[32];    /* given by whoever attached the BPF program; truncated */
};

/*
 * The filters of one direction in the order in which they run, in an array that the caller frees.
 * Chain 0 only: others are reached by an explicit goto. NULL if there are none, no clsact qdisc, or
 * no such interface.
 */
int netlink_filters(int interface, bool egress, struct netlink_filter **filters, unsigned *number);

#endif
