/* SPDX-License-Identifier: MIT */
/* How many ports become series. */
#include "ledger_private.h"
#include "log_event.h"

static const char *const kinds[] = {[DYNAMIC] = "busy", [LISTENING] = "listening"};

static __u64 bytes_needed(const struct ledger *ledger, enum kind kind) {
    const struct ledger_policy *policy = &ledger->policy;
    const struct bar *bar = &ledger->limits[kind].bar;

    if (kind == LISTENING && bar->begun < policy->max_ports / 2.0)
        return 0; /* a packet is enough */
    return bar_bytes(bar, policy->min_bytes, policy->max_ports);
}

static __u64 names_max(const struct ledger *ledger) {
    return (__u64)LEDGER_NAMES_MAX * ledger->policy.max_ports;
}

bool ledger_may_begin(const struct ledger *ledger, enum kind kind, __u64 slot_bytes,
                      bool has_record) {
    if (has_record) /* it listens, or has carried min_bytes */
        return true;
    return ledger->limits[kind].names < names_max(ledger) &&
           slot_bytes >= bytes_needed(ledger, kind);
}

/* Once for each half-life: it may rise and fall all the time. */
static void log_raised(struct ledger *ledger, enum kind kind) {
    struct limit *limit = &ledger->limits[kind];
    __u64 bytes = bytes_needed(ledger, kind), now = limit->bar.at;

    if (bytes <= ledger->policy.min_bytes || bytes <= 1 ||
        (limit->logged_at && now < limit->logged_at + BAR_HALF_LIFE))
        return;
    limit->logged_at = now;
    pb_log_event(
        LOG_NOTICE,
        "%s: %.0f %s ports have become series lately; the next one needs %llu bytes, and with "
        "each further eighth of MaxPorts (%u) twice as many. If these ports matter, select them "
        "with Port or raise MaxPorts; else raise MinBytes.",
        ledger->interface, limit->bar.begun, kinds[kind], bytes, ledger->policy.max_ports);
}

void ledger_begun(struct ledger *ledger, enum kind kind) {
    struct limit *limit = &ledger->limits[kind];

    limit->bar.begun++;
    log_raised(ledger, kind);
    if (++limit->names == names_max(ledger))
        pb_log_event(
            LOG_WARNING,
            "%s: %u %s ports have become series, which is %u times MaxPorts: no other one will. "
            "Select the ports that matter with Port, or raise MinBytes or MaxPorts.",
            ledger->interface, limit->names, kinds[kind], LEDGER_NAMES_MAX);
}
