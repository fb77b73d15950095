/* SPDX-License-Identifier: MIT */
/*
 * What outlives the process: BPF maps and links, pinned on bpffs as
 * /sys/fs/bpf/tc_portbytes/NETNS/IFINDEX/NAME, or NETNS/shared/NAME what all interfaces share.
 * NETNS is the inode number of the network namespace. Pins last until reboot, or rm -r.
 *
 * /sys/fs/bpf may be writable by all (mode 1777 is the file system's default), so others can
 * create anything there first. Only real directories that belong to our effective user and that
 * nobody else may write are entered, created or emptied, each opened relative to the one above
 * it; no symbolic link is ever followed. pins_open and pins_sweep name anything else in the log,
 * and all leave it alone.
 *
 * Errors are negative errno. pins_get, pins_put and the removals may be called from any thread,
 * for each interface from one at a time; the others from one thread, alone.
 */
#ifndef PB_PINS_H
#define PB_PINS_H

#include <stdbool.h>

struct pins;

/*
 * The directory of the current network namespace, locked against other processes as long as it
 * is open. With `create` it is created if it is missing (mode 0700), and what is wrong is said in
 * one line of the log. Without it, *out is NULL and 0 is returned if there is none, or if it is not
 * ours, which is logged. -ENOENT: no bpffs is mounted; -EBUSY: another process has it; -EPERM: what
 * is there is not ours.
 */
int pins_open(struct pins **out, bool create);

/* Whether another process has removed the directory, and with it all pins, since it was opened. */
bool pins_are_removed(const struct pins *pins);

/* Removes the directory if it is empty. NULL is allowed. */
void pins_close(struct pins *pins);

/* In place of an interface's index: the directory of what all interfaces share. */
#define PINS_SHARED 0

/*
 * A pin of one interface, in its directory, which pins_put creates. pins_get returns a
 * descriptor, the caller's to close; -ENOENT: there is no such pin, or no directory, and only
 * then. pins_put replaces a pin of the same name. -EPERM: the directory is not ours. After any
 * other error the pin may be there.
 */
int pins_get(const struct pins *pins, int interface, const char *name);
int pins_put(const struct pins *pins, int interface, const char *name, int fd);
void pins_remove(const struct pins *pins, int interface, const char *name);

/*
 * Removes all pins of an interface, and its directory. As by pins_remove, attachments end before it
 * returns unless another process holds them: a grace period each.
 */
void pins_remove_all(const struct pins *pins, int interface);

/* Removes all pins of an interface but its attachments, which go on counting meanwhile. */
void pins_remove_others(const struct pins *pins, int interface);

/*
 * The indices that have a directory of ours, in an array that the caller frees; NULL if there are
 * none. -ENOMEM, or what opening the directory said; outputs are unchanged then.
 */
int pins_list(const struct pins *pins, int **interfaces, unsigned *number);

/*
 * pins_remove_all for every interface that keep() does not want kept. keep NULL: for all, and for
 * PINS_SHARED. Warns of what is nothing of ours.
 */
void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface), void *context);

#endif
