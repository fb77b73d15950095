/* SPDX-License-Identifier: MIT */
/* The rates of tc_portbytes, queried from collectd's unixsock plugin. */
#ifndef PB_TOP_QUERY_H
#define PB_TOP_QUERY_H

#include "options.h"
#include "table.h"

/*
 * Replaces *table by the current rates of the selected hosts and interfaces, sorted. Connects for
 * each call, so a restart of collectd needs no care. Blocks for at most half a minute and uses
 * SIGALRM for that.
 *
 * Negative errno, with *table unchanged: -ETIMEDOUT, -EPROTO (not the protocol of unixsock),
 * -ENOMEM, or what connect(2) returns.
 */
int query_collectd(struct top_table *table, const struct options *options);

#endif
