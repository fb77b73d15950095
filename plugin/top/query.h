/* SPDX-License-Identifier: MIT */
/* The rates of tc_portbytes, queried from collectd's unixsock plugin. */
#ifndef PB_TOP_QUERY_H
#define PB_TOP_QUERY_H

#include "options.h"
#include "table.h"

#define QUERY_MAX 100000 /* series in one query */

/*
 * Replaces *table by the current rates of the selected hosts and interfaces, finished but not
 * sorted. Connects for each call, so a restart of collectd needs no care. Blocks for at most 20
 * seconds.
 *
 * Negative errno, with *table unchanged: -EPROTO (not the protocol of unixsock), -E2BIG (more than
 * QUERY_MAX series are selected), -ENOMEM, or one of unixsock.h's.
 */
int query_collectd(struct top_table *table, const struct options *options);

#endif
