/* SPDX-License-Identifier: MIT */
#include "interfaces.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

/* Removed interfaces that are remembered; of more, the one removed longest ago is forgotten. */
#define REMOVED_MAX 256

/* ---- what the kernel says ---- */

struct port_range interfaces_ephemeral(const struct settings *settings) {
    char text[64];
    FILE *file = policy_uses_local_range(settings)
                     ? fopen("/proc/sys/net/ipv4/ip_local_port_range", "re")
                     : NULL;
    const char *line = file ? fgets(text, sizeof(text), file) : NULL;

    if (file)
        fclose(file);
    return policy_ephemeral(settings, line);
}

static void update_ephemeral(struct interfaces *interfaces) {
    struct port_range *known = &interfaces->env.ephemeral;
    struct port_range now = interfaces_ephemeral(interfaces->env.settings);

    if (now.first == known->first && now.last == known->last)
        return;
    *known = now;
    for (struct interface *i = interfaces->first; i; i = i->next)
        interface_fold(i, now);
}

static void update_listeners(struct interfaces *interfaces) {
    if (interfaces->env.settings->listening_ports)
        listeners_update(&interfaces->env.listeners, monotonic());
}

/* ---- interface names ---- */

int interfaces_init(struct interfaces *interfaces, const struct settings *settings) {
    __u32 slots = policy_classifier(settings, ARPHRD_ETHER).slots;

    *interfaces = (struct interfaces){.env = {.settings = settings}};
    interfaces->env.ephemeral = interfaces_ephemeral(settings);
    interfaces->env.counters = calloc(slots, sizeof(*interfaces->env.counters));
    if (!interfaces->env.counters)
        return -ENOMEM;
    update_listeners(interfaces);
    return 0;
}

void interfaces_free(struct interfaces *interfaces, bool keep) {
    struct interface *next;

    for (struct interface *i = interfaces->first; i; i = next) {
        next = i->next;
        interface_free(i, keep);
    }
    listeners_free(&interfaces->env.listeners);
    free(interfaces->env.counters);
}

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

/* The interface that was removed longest ago, if there are more than are remembered. */
static struct interface **find_surplus(struct interfaces *interfaces) {
    struct interface **oldest = NULL;
    unsigned number = 0;

    for (struct interface **i = &interfaces->first; *i; i = &(*i)->next) {
        if (!(*i)->removed_at || (*i)->final_reports)
            continue;
        number++;
        if (!oldest || (*i)->removed_at < (*oldest)->removed_at)
            oldest = i;
    }
    return number > REMOVED_MAX ? oldest : NULL;
}

static void forget_surplus(struct interfaces *interfaces) {
    struct interface **place, *interface;

    while ((place = find_surplus(interfaces))) {
        interface = *place;
        *place = interface->next;
        interface_free(interface, false);
    }
}

/* ---- links ---- */

const struct netlink_link *links_find(const struct links *links, int index) {
    for (unsigned i = 0; i < links->number; i++)
        if (links->link[i].index == index)
            return &links->link[i];
    return NULL;
}

struct renamed {
    struct instance *instance;
    const struct netlink_link *link; /* its new name */
};

/*
 * Detaches from interfaces that were removed or aren't wanted any more, and takes the instances of
 * renamed ones into renamed[], which has room for all. Returns how many were renamed.
 */
static unsigned detach_old(struct interfaces *interfaces, const struct links *links,
                           struct renamed *renamed) {
    unsigned number = 0;
    bool detached = false;

    for (struct interface *i = interfaces->first; i; i = i->next) {
        const struct netlink_link *link;

        if (!i->instance)
            continue;
        link = links_find(links, instance_index(i->instance));
        if (!link || !policy_wants(interfaces->env.settings, link)) {
            interface_detach(i);
            detached = true;
        } else if (strcmp(link->name, i->name) != 0) {
            renamed[number].instance = interface_pass(i, &interfaces->env);
            renamed[number++].link = link;
        }
    }
    /* No CPU counts after this: the last read misses nothing. */
    if (detached)
        classifier_grace_period();
    for (struct interface *i = interfaces->first; i; i = i->next) {
        if (!i->instance || !i->removed_at)
            continue;
        interface_stop(i, &interfaces->env);
        pb_log(LOG_INFO, "%s: stopped counting (interface removed or no longer selected).",
               i->name);
    }
    return number;
}

int interfaces_follow(struct interfaces *interfaces, const struct links *links) {
    struct renamed *renamed;
    unsigned number = 0;

    for (const struct interface *i = interfaces->first; i; i = i->next)
        number += i->instance != NULL;
    renamed = calloc(number ? number : 1, sizeof(*renamed));
    if (!renamed)
        return -ENOMEM;
    number = detach_old(interfaces, links, renamed);
    for (unsigned i = 0; i < number; i++) {
        struct interface *interface = interfaces_find_or_create(interfaces, renamed[i].link->name);

        if (interface)
            interface_take(interface, &interfaces->env, renamed[i].instance, renamed[i].link);
        else
            instance_close(renamed[i].instance, false);
    }
    free(renamed);
    return 0;
}

/* ---- reading ---- */

/* Unlinks the victims of all interfaces, and waits once for all. */
static void unlink_victims(struct interfaces *interfaces, __u64 interval) {
    __u64 now = monotonic(), until = now;
    __u32 waiting = 0;

    for (struct interface *i = interfaces->first; i; i = i->next)
        waiting += interface_unlink_slots(i, now);
    if (!waiting)
        return;
    /* Refused (nohz_full, a seccomp filter): time passes instead, an interval alone is no bound. */
    if (classifier_grace_period()) {
        __u64 wait = interval > SECOND ? interval : SECOND;

        until = now > wait ? now - wait : 0; /* the machine may be up for less than that */
    }
    for (struct interface *i = interfaces->first; i; i = i->next)
        interface_quiesce_slots(i, until);
}

void interfaces_read(struct interfaces *interfaces, __u64 interval, interface_report_fn *report,
                     void *context) {
    update_ephemeral(interfaces);
    update_listeners(interfaces);
    unlink_victims(interfaces, interval);
    for (struct interface *i = interfaces->first; i; i = i->next) {
        if (i->instance)
            interface_read(i, &interfaces->env);
        interface_report(i, report, context);
    }
    forget_surplus(interfaces);
}
