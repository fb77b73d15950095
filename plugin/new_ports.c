/* SPDX-License-Identifier: MIT */
#include "new_ports.h"

#include <netinet/in.h>
#include <stdio.h>

#include "clock.h"
#include "escape.h"

struct search {
    struct new_ports *found;
    const char *interface;
    const struct key_set *known;
    __u64 period;
};

/* Whether the first packet of a fixed series is worth telling. */
static bool is_notable(__u32 slot) {
    if (slot < PB_SLOT_IP(0) || slot >= PB_SLOT_IP(PB_PROTOCOLS))
        return false;
    switch (slot - PB_SLOT_IP(0)) {
    case IPPROTO_ICMP: /* every network has these three */
    case IPPROTO_IGMP:
    case IPPROTO_ICMPV6:
    case IPPROTO_TCP: /* packets cut short, and later fragments */
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
        return false;
    default:
        return true;
    }
}

static void add(void *context, __u32 slot, __u32 key, __u64 bytes) {
    const struct search *search = context;
    struct new_ports *found = search->found;
    struct new_port *port;

    if (slot < PB_FIXED_SLOTS ? !is_notable(slot) : key_set_has(search->known, key))
        return;
    if (found->number == NEW_PORTS_MAX) {
        found->left_out++;
        return;
    }
    port = &found->port[found->number++];
    snprintf(port->interface, sizeof(port->interface), "%s", search->interface);
    series_name(port->instance, slot, key);
    port->bytes = bytes;
    port->period = search->period;
}

void new_ports_find(struct new_ports *new_ports, struct ledger *ledger, const char *interface,
                    const struct key_set *known, __u64 period) {
    struct search search = {
        .found = new_ports, .interface = interface, .known = known, .period = period};

    ledger_for_each_new(ledger, add, &search);
}

static void ignore(void *context, __u32 slot, __u32 key, __u64 bytes) {
    (void)context, (void)slot, (void)key, (void)bytes;
}

void new_ports_skip(struct ledger *ledger) {
    ledger_for_each_new(ledger, ignore, NULL);
}

/* ---- the message ---- */

static void format_bytes(char *out, size_t size, __u64 bytes) {
    static const char units[] = "kMGTPE";
    double value = bytes / 1000.0;
    unsigned unit = 0;

    if (bytes < 1000) {
        snprintf(out, size, "%llu B", bytes);
        return;
    }
    for (; value >= 999.95; unit++) /* which %.1f would make 1000.0 */
        value /= 1000;
    snprintf(out, size, "%.1f %cB", value, units[unit]);
}

static void format_period(char *out, size_t size, __u64 period) {
    double seconds = (double)period / SECOND;

    out[0] = '\0';
    if (period)
        snprintf(out, size, seconds < 9.95 ? " in %.1f s" : " in %.0f s", seconds);
}

void new_port_message(char message[NEW_PORT_MESSAGE], const struct new_port *port) {
    char interface[4 * IFNAMSIZ + 1], bytes[16], period[32];

    escape(interface, sizeof(interface), port->interface);
    format_bytes(bytes, sizeof(bytes), port->bytes);
    format_period(period, sizeof(period), port->period);
    snprintf(message, NEW_PORT_MESSAGE, "%s on %s: new, %s%s", port->instance, interface, bytes,
             period);
}
