/* SPDX-License-Identifier: MIT */
/* The ports that one Port option selects: a range of port numbers in one or more transports. */
#ifndef PB_PORT_RANGE_H
#define PB_PORT_RANGE_H

#include <stdbool.h>

#include "tc_portbytes.h"

struct port_range {
    __u32 first, last;             /* 1 <= first <= last <= 65535, host byte order */
    bool transport[PB_TRANSPORTS]; /* by enum pb_transport; at least one */
};

/*
 * Parses "443", "8000-8999" or a service name, optionally preceded by "tcp/", "udp/" or "sctp/".
 * Without a transport: TCP and UDP. 0, or -EINVAL with *out unchanged. Not thread-safe: looks
 * services up by getservbyname(3).
 */
int port_range_parse(struct port_range *out, const char *text);

/* The same for numbers, which collectd's configuration parser has as double. TCP and UDP. */
int port_range_from_numbers(struct port_range *out, double first, double last);

#endif
