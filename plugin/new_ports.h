/* SPDX-License-Identifier: MIT */
/*
 * NotifyNewPorts: what one read found that was no series before, for notifications. At most
 * NEW_PORTS_MAX of all interfaces together are named, the others are counted: how many there are is
 * decided by whoever sends.
 *
 * One thread at a time.
 */
#ifndef PB_NEW_PORTS_H
#define PB_NEW_PORTS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "ledger.h"
#include "port_set.h"
#include "series_name.h"

#define NEW_PORTS_MAX 16u

/*
 * Without a saved state every port is new to the daemon, and to an interface that comes later. So
 * what is found in the first reads was there before.
 */
#define NEW_PORTS_FIRST_READS 10u

struct new_port {
    char interface[IFNAMSIZ]; /* as the kernel has it: any bytes */
    char instance[SERIES_NAME_SIZE];
    __u64 bytes;  /* rx + tx, in the read that made it a series */
    __u64 period; /* ns that this read stands for; 0: unknown */
};

/* All zero: none. */
struct new_ports {
    struct new_port port[NEW_PORTS_MAX];
    unsigned number;
    unsigned left_out; /* found beyond these */
};

/*
 * Adds what became a series on the interface with the last ledger_update. To be called before
 * ledger_report. Not among them: selected ports, groups, the series of what is left (other,
 * ephemeral, nonip, decrypted), protocols that every network has or whose ports could not be read,
 * and the ports in `known`.
 */
void new_ports_find(struct new_ports *new_ports, struct ledger *ledger, const char *interface,
                    const struct key_set *known, __u64 period);

/* Nothing of this ledger is to be found later that is a series now. */
void new_ports_skip(struct ledger *ledger);

/* One line of printable ASCII, without a full stop: "tcp-4444 on eth0: new, 1.2 MB in 10 s". */
#define NEW_PORT_MESSAGE 160
void new_port_message(char message[NEW_PORT_MESSAGE], const struct new_port *port);

#endif
