/* SPDX-License-Identifier: MIT */
/*
 * A connection to collectd's unixsock plugin, collectd-unixsock(5): lines out, lines in. Nothing
 * that comes in is trusted: time and memory are bounded whatever it is.
 *
 * Errors are negative errno: -ETIMEDOUT; -EPROTO: a line is longer than any of collectd's;
 * -ECONNRESET: closed before all was received; or what socket(2), connect(2), send(2) and recv(2)
 * return. SIGPIPE is not raised.
 */
#ifndef PB_TOP_UNIXSOCK_H
#define PB_TOP_UNIXSOCK_H

#include <stddef.h>

#include <linux/types.h>

/* collectd has names of 127 bytes at most, five of which make a series. */
#define UNIXSOCK_LINE 1024

struct unixsock {
    int fd;
    __u64 deadline; /* monotonic ns, for all that is done with it */
    size_t begin, end;
    char buffer[4 * UNIXSOCK_LINE]; /* received from begin to end */
};

/* path: of at most 107 bytes. timeout: seconds. On failure there is nothing to close. */
int unixsock_open(struct unixsock *socket, const char *path, unsigned timeout);
void unixsock_close(struct unixsock *socket);

/* Sends all of a text. */
int unixsock_send(struct unixsock *socket, const char *text);

/*
 * Receives a line; *line has no newline and is valid until the next call. A null byte in it ends
 * it early.
 */
int unixsock_receive(struct unixsock *socket, const char **line);

#endif
