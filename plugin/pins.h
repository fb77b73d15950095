/* SPDX-License-Identifier: MIT */
/*
 * The directories on bpffs in which maps and links outlive the process:
 * /sys/fs/bpf/tc_portbytes/NETNS/IFINDEX, where NETNS is the inode number of the network
 * namespace. They end with the boot, or by rm -r.
 *
 * Errors are negative errno. Not thread-safe.
 */
#ifndef PB_PINS_H
#define PB_PINS_H

#include <stdbool.h>

struct pins;

/*
 * The directory of the current network namespace, with make made if it is not there (mode
 * 0700); without, *out is NULL if it is not there, or not to be had. As long as it is open it
 * is locked: one process at a time. Says in one line of the log what is wrong. -EBUSY: another
 * process has it.
 */
int pins_open(struct pins **out, bool make);

/* NULL is fine. The directory goes if it is empty. */
void pins_close(struct pins *pins);

/* The directory of one interface; it need not be there. */
#define PINS_PATH 64
void pins_path(const struct pins *pins, int interface, char path[PINS_PATH]);

/* Removes a directory of an interface and what is pinned in it. */
void pins_remove(const char *path);

/* Removes those directories whose interface keep() does not name; NULL: all. */
void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface), void *context);

#endif
