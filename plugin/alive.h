/* SPDX-License-Identifier: MIT */
/*
 * Whether the daemon that loaded a program still runs. A filter of clsact outlives its daemon, so
 * it can't tell whether that was killed or is counting beside us; of a program of tcx only the id
 * is seen without CAP_SYS_ADMIN, and not whose it is. Hence a daemon holds a socket with an
 * abstract name for each program that it attached: it ends with the process, however that ends,
 * leaves no file, and is visible to all who see the interface, being in the same network
 * namespace. Anybody there can take such a name, and so hide from us that a program is foreign, or
 * that a filter was left over.
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
