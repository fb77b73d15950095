/* SPDX-License-Identifier: MIT */
/*
 * Whether the daemon that loaded a program still runs. A filter of clsact outlives its daemon, so
 * it can't tell whether that was killed or is counting beside us; of a program of tcx only the id
 * is seen without CAP_SYS_ADMIN, and not whose it is. Hence a daemon holds a sign for each program
 * that it attached: a socket of NETLINK_FIB_LOOKUP whose multicast groups are the bits of the
 * program's id. It ends with the process, however that ends, and is visible to all who see the
 * interface, being in the same network namespace.
 *
 * Only who has CAP_NET_ADMIN there may join a group of that protocol: netlink_bind() in
 * net/netlink/af_netlink.c refuses others, since nl_fib_lookup_init() in net/ipv4/fib_frontend.c
 * doesn't set NL_CFG_F_NONROOT_RECV. So nobody else can give the sign, before or after the daemon
 * does, nor keep it from doing so, and who has the capability could remove the filter as well. The
 * kernel sends nothing to these groups, nor may others without the capability.
 *
 * What remains to a user without it: where the kernel has no netlink_diag, to open and close so
 * many sockets that a look is in doubt, and a killed daemon's filter stays until the next one.
 */
#ifndef PB_ALIVE_H
#define PB_ALIVE_H

#include <stdbool.h>

#include "program.h"

/*
 * Before each attachment of the program: who sees it must find its owner. The first call begins
 * it, later ones do nothing. Any thread. Negative errno.
 */
int alive_begin(struct program *program);

/*
 * After the last attachment of the program was removed, or left to the next daemon: for whoever
 * unloads the program. Does nothing if it was not begun.
 */
void alive_end(struct program *program);

/* By a program's id. When in doubt, true: never remove a filter that may be in use. */
bool alive_is(__u32 program);

#endif
