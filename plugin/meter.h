/* SPDX-License-Identifier: MIT */
/*
 * The classifier on one interface: one BPF object, loaded, attached, read. The
 * only module that talks libbpf.
 *
 * Errors are negative errno. meter_open and meter_attach also say, in one line of
 * the log, what was refused and what to do about it; nothing else here logs an
 * error, but meter_check has a warning. Not thread-safe per meter; different meters are
 * independent.
 */
#ifndef PB_METER_H
#define PB_METER_H

#include <stdbool.h>
#include <stddef.h>

#include "tc_portbytes.h"

struct meter;

struct meter_settings {
    __u32 link_header;             /* bytes before L3, or PB_LINK_UNKNOWN */
    enum pb_port port_in, port_eg; /* which port makes the key, by direction */
    bool ingress, egress;          /* which directions to attach to */
    __u32 slots;                   /* of all kinds, slot 0 included */
    bool silent;                   /* why it can't be loaded or attached has been said before */

    /*
     * A directory on bpffs where the maps and the attachments are pinned, so that they outlive
     * the process; copied. NULL: nothing does. With it `state` bytes of memory go along, of
     * which snapshot.h makes what was committed under `fingerprint`. If that is there the
     * meter goes on with the counters and the shared memory it finds, else it begins anew.
     */
    const char *pins;
    size_t state;
    __u64 fingerprint;
};

/*
 * Loads an object, unattached: `name` is for messages. Needs kernel 5.12,
 * CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. -EPERM and -EOPNOTSUPP mean that no
 * other interface would fare better.
 */
int meter_open(struct meter **out, const char *name, const struct meter_settings *settings);

/* Detaches if attached, leaving others' filters and qdiscs alone. NULL is fine. Pins go. */
void meter_close(struct meter *meter);

/* What is pinned and attached stays when the meter is closed. Nothing without pins. */
void meter_leave(struct meter *meter);

/* The memory of meter_settings.state; NULL without pins. Lives as long as the meter. */
void *meter_state(struct meter *meter);

/* The memory shared with the classifier; lives as long as the meter. */
struct pb_shared *meter_shared(struct meter *meter);

/*
 * Attaches to the interface in the current network namespace, first in line: by
 * tcx where the kernel has it (6.6), else by clsact. Replaces what a killed daemon
 * left there, and goes beside what a living one has. Directions that are attached already stay so;
 * if none was, then on failure none is.
 */
int meter_attach(struct meter *meter, int interface);

/* The attachments go, the counters stay readable. */
void meter_detach(struct meter *meter);

/*
 * 0: attached in each direction wanted. -ENOENT: somebody removed us from one,
 * and meter_attach will put it back. -ENODEV: the interface has gone. Says so when
 * somebody else's classifier has come in front of ours; it stays there. `name` is the
 * interface's now, for this and later messages.
 */
int meter_check(struct meter *meter, const char *name);

/*
 * Removes the clsact filters that killed daemons left on an interface, and their qdisc
 * if nobody uses it. Those of living daemons stay.
 */
void meter_sweep(int interface);

/*
 * The sums over all CPUs of each slot since meter_open into counters: the first
 * `number` slots, at most as many as in the settings. Followed by a full fence, so that what is
 * read from the shared memory afterwards is not older.
 */
void meter_read(const struct meter *meter, struct pb_counters *counters, __u32 number);

/*
 * Waits until no CPU runs a classifier that began before the call, of any meter:
 * an RCU grace period. -ENOSYS, -EINVAL or -EPERM where the kernel can't say.
 */
int meter_grace_period(void);

#endif
