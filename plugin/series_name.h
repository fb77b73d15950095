/* SPDX-License-Identifier: MIT */
/*
 * The names of the series: collectd's type instances. Dashboards and alerts refer to them, so they
 * are an interface and never change:
 *
 *     tcp-443, udp-53, sctp-36412              a port
 *     group-NAME                               the ports of a group, see groups.h
 *     tcp-other, udp-other, sctp-other         the ports of a transport without a series
 *     tcp-ephemeral, udp-ephemeral, ...        the ports of a transport that are folded
 *     ip-icmp, ip-gre, ip-253                  an IP protocol without ports, by IANA's keyword in
 *                                              lower case if the plugin knows it, else by number
 *     nonip                                    what is not IP
 *     decrypted                                what ingress sees again after IPsec decrypted it
 *
 * But for those of groups they consist of lower-case letters, digits and dashes: no write plugin
 * has to replace a character. Any thread.
 */
#ifndef PB_SERIES_NAME_H
#define PB_SERIES_NAME_H

#include "tc_portbytes.h"

/* Bytes for the longest name, its terminating null byte included. */
#define SERIES_NAME_SIZE 24

/*
 * Writes the name of a series. slot: a fixed slot (1 to PB_FIXED_SLOTS - 1), in which case key is
 * ignored; or PB_FIXED_SLOTS, and key is a port's (below PB_PORT_KEYS).
 */
void series_name(char name[SERIES_NAME_SIZE], __u32 slot, __u32 key);

#endif
