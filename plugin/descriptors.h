/* SPDX-License-Identifier: MIT */
/*
 * File descriptors that are kept for long, of which there are two for each interface: they are
 * moved above the soft limit, where they take none that another plugin of collectd could have had,
 * and where no select() meets them. The soft limit (RLIMIT_NOFILE) is raised for that, and the
 * same afterwards.
 *
 * That is impossible where the hard limit is no higher, and not done where the soft limit is so
 * high that it would be of no use. Such a descriptor stays below the soft limit, if those of this
 * module that do are then at most half of what others leave, and a little less, since some of
 * theirs are open for a moment only.
 *
 * Any thread; but nothing else in the process may change RLIMIT_NOFILE at the same time, and a
 * child that another thread forks at that moment inherits the raised soft limit.
 */
#ifndef PB_DESCRIPTORS_H
#define PB_DESCRIPTORS_H

/*
 * Moves a descriptor and closes the original: returns the new one, close-on-exec, or the same.
 * -EMFILE: it may not be kept, and was closed. A negative fd, which may be a negative errno, is
 * returned as it is.
 */
int descriptor_keep(int fd);

/* Closes one that descriptor_keep returned. A negative fd is ignored. */
void descriptor_close(int fd);

#endif
