/* SPDX-License-Identifier: MIT */
/* The value of a Port option: a range of port numbers in one or more transports. */
#ifndef PB_PORT_OPTION_H
#define PB_PORT_OPTION_H

#include <stdbool.h>

#include "tc_portbytes.h"

struct port_option {
    __u32 first, last;             /* 1 <= first <= last <= 65535, host byte order */
    bool transport[PB_TRANSPORTS]; /* by enum pb_transport; at least one */
};

/* "tcp", "udp", "sctp". */
const char *port_transport_name(enum pb_transport transport);

/*
 * Parses "443", "8000-8999" or a service name, optionally preceded by "tcp/", "udp/" or "sctp/".
 * Without a transport: TCP and UDP. 0, or -EINVAL with *out unchanged. Not thread-safe: looks
 * services up by getservbyname(3).
 */
int port_option_parse(struct port_option *out, const char *text);

/* The same for numbers, which collectd's configuration parser has as double. TCP and UDP. */
int port_option_from_numbers(struct port_option *out, double first, double last);

#endif
