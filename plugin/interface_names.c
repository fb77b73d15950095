/* SPDX-License-Identifier: MIT */
/* Which interfaces are known by name, and which of them are reported. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "interfaces.h"
#include "log.h"

struct interface *interfaces_find(const struct interfaces *interfaces, const char *name) {
    for (struct interface *i = interfaces->first; i; i = i->next)
        if (!strcmp(i->name, name))
            return i;
    return NULL;
}

struct interface *interfaces_find_or_create(struct interfaces *interfaces, const char *name) {
    struct interface *interface = interfaces_find(interfaces, name);

    if (interface)
        return interface;
    interface = interface_new(name, interfaces->env.settings);
    if (interface) {
        interface->next = interfaces->first;
        interfaces->first = interface;
    }
    return interface;
}

unsigned interfaces_number(const struct interfaces *interfaces) {
    unsigned number = 0;

    for (const struct interface *i = interfaces->first; i; i = i->next)
        number += i->instance != NULL;
    return number;
}

/* ---- new ones ---- */

/* An Interface line has it as it is, so the administrator has counted it already. */
static bool is_configured(const struct interface *interface, const struct settings *settings) {
    const char *name;

    for (unsigned n = 0; (name = selection_name(settings->interfaces, n)); n++)
        if (!strcmp(name, interface->name))
            return true;
    return false;
}

static bool has_series(const struct interface *interface, const struct settings *settings) {
    return settings->ports_number || settings->groups.number || !ledger_is_zero(interface->ledger);
}

bool interfaces_admit(struct interfaces *interfaces, struct interface *interface) {
    const struct settings *settings = interfaces->env.settings;

    if (interface->admitted || !has_series(interface, settings))
        return true;
    if (is_configured(interface, settings)) {
        interface->admitted = true;
    } else if (interfaces->names.begun < INTERFACES_NAMES_MAX) {
        interfaces->names.begun++;
        interface->admitted = true;
    } else if (log_limit_pass(&interfaces->names_failure, monotonic())) {
        pb_log(LOG_WARNING,
               "%s has no series: %u interfaces with other names have had some lately. Name the "
               "interfaces that matter with Interface, or select fewer.",
               interface->name, INTERFACES_NAMES_MAX);
    }
    return interface->admitted;
}

/* ---- former ones ---- */

static bool has_link(const struct links *links, const char *name) {
    for (unsigned n = 0; n < links->number; n++)
        if (!strcmp(links->link[n].name, name))
            return true;
    return false;
}

static bool is_former(const struct interface *interface) {
    return !interface->instance && interface->removed_at && !interface->final_reports;
}

/* One whose total is to be there when it returns. */
static bool is_remembered(const struct interface *interface) {
    return is_former(interface) && interface->admitted && !ledger_is_zero(interface->ledger);
}

static int by_time(const void *a, const void *b) {
    const __u64 left = *(const __u64 *)a, right = *(const __u64 *)b;

    return (left > right) - (left < right);
}

/* Of those remembered the ones that were removed up to this time are too many. */
static __u64 last_surplus(const struct interfaces *interfaces) {
    unsigned number = 0, n = 0;
    __u64 *times, last = 0;

    for (const struct interface *i = interfaces->first; i; i = i->next)
        number += is_remembered(i);
    if (number <= INTERFACES_FORMER_MAX)
        return 0;
    times = malloc(number * sizeof(*times));
    if (!times)
        return 0; /* then they are too many for a while */
    for (const struct interface *i = interfaces->first; i; i = i->next)
        if (is_remembered(i))
            times[n++] = i->removed_at;
    qsort(times, number, sizeof(*times), by_time);
    last = times[number - INTERFACES_FORMER_MAX - 1];
    free(times);
    return last;
}

/* One that has a link can't be attached: when to try again, and to say so, is remembered. */
static bool is_forgettable(const struct interface *interface, const struct links *links,
                           __u64 surplus) {
    return is_former(interface) &&
           (interface->removed_at <= surplus || !is_remembered(interface)) &&
           !has_link(links, interface->name);
}

void interfaces_forget(struct interfaces *interfaces, const struct links *links) {
    struct interface **place = &interfaces->first, *interface;
    const __u64 surplus = last_surplus(interfaces);

    while ((interface = *place)) {
        if (!is_forgettable(interface, links, surplus)) {
            place = &interface->next;
            continue;
        }
        *place = interface->next;
        if (interfaces->next_check == interface)
            interfaces->next_check = interface->next;
        interface_free(interface, false);
    }
}
