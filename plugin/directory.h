/* SPDX-License-Identifier: MIT */
/*
 * Directories below one that others may write. Only a real directory that belongs to our effective
 * user and that nobody else may write is entered, relative to the one above it; no symbolic link is
 * ever followed.
 *
 * Errors are negative errno. Any thread.
 */
#ifndef PB_DIRECTORY_H
#define PB_DIRECTORY_H

#include <stdbool.h>

/*
 * Opens `name` below `parent`: a descriptor, the caller's. -ENOENT: it is not there; -EPERM: it is
 * there, and is no directory of ours. With `create` it is created (mode 0700) if it is not there.
 */
int directory_open(int parent, const char *name, bool create);

/*
 * Calls each() for every entry of a directory but "." and "..", until one returns an error: that,
 * or what reading the directory said.
 */
int directory_for_each(int directory, int (*each)(void *context, const char *name), void *context);

#endif
