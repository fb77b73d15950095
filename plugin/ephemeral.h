/* SPDX-License-Identifier: MIT */
/*
 * The ephemeral ports: those of clients' sockets, of which nobody wants a series each. Which they
 * are on this host is in files below /proc/sys/net, see Documentation/networking/ip-sysctl.rst.
 *
 * Any thread; the files are those of the calling thread's network namespace.
 */
#ifndef PB_EPHEMERAL_H
#define PB_EPHEMERAL_H

#include <stdbool.h>

#include "port_set.h"

struct ephemeral {
    /* What the kernel gives to sockets of this host: ip_local_port_range, which is 32768 to 60999
     * if that can't be read, less ip_local_reserved_ports. */
    struct port_set local;
    /* These and, if this host forwards, all from 32768 up but the reserved ones: the ports that
     * other hosts' kernels give to sockets whose packets pass here. */
    struct port_set passing;
};

/* The text of these files; NULL: it can't be read. */
struct ephemeral_files {
    const char *range;    /* net.ipv4.ip_local_port_range: "32768 60999" */
    const char *reserved; /* net.ipv4.ip_local_reserved_ports: "8080,9148,30000-32767" */
    const char *forward4; /* net.ipv4.ip_forward: "0" */
    const char *forward6; /* net.ipv6.conf.all.forwarding; not there without IPv6 */
};

/* Text that is not as the kernel writes it counts as if it could not be read. */
void ephemeral_parse(struct ephemeral *out, const struct ephemeral_files *files);

/* As of now. */
void ephemeral_read(struct ephemeral *out);

/* Where the far end's range matters, which nobody knows: RFC 6335's and Linux's, together. */
void ephemeral_remote(struct port_set *out);

#endif
