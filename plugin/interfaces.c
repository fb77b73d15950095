/* SPDX-License-Identifier: MIT */
#include "interfaces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "clock.h"
#include "libbpf_log.h"
#include "log.h"
#include "log_event.h"
#include "pins.h"
#include "snapshot.h"

/* ---- what the kernel says ---- */

/* Which ports are folded, and which of them clients' sockets have. */
static void update_ephemeral(struct interface_env *env) {
    struct port_set folded;

    ephemeral_read(&env->ephemeral);
    policy_folded(env->settings, &env->ephemeral, &folded);
    if (memcmp(&folded, &env->folded, sizeof(folded)) != 0) {
        env->folded = folded;
        slots_fold(env->slots, &folded);
    }
}

static void update_listeners(struct interface_env *env) {
    if (env->settings->listening_ports)
        listeners_update(&env->listeners, &env->ephemeral.local, monotonic());
}

/* Until the namespace has IPsec for the first time, no packet costs a look for its state. */
static void update_ipsec(const struct interfaces *interfaces) {
    struct pb_shared *shared = classifier_shared(interfaces->env.classifier);

    if (interfaces->env.settings->ingress && !shared->ipsec && netlink_has_ipsec())
        __atomic_store_n(&shared->ipsec, 1, __ATOMIC_RELAXED);
}

/* ---- what all interfaces share ---- */

static void save_slots(const struct interface_env *env) {
    size_t size = policy_slots_state_size(env->settings);
    void *memory = classifier_state(env->classifier);

    if (!memory)
        return;
    slots_save(env->slots, snapshot_begin(memory, size));
    snapshot_commit(memory, size, env->fingerprint);
}

static int open_classifier(struct interface_env *env, const struct classifier_settings *settings) {
    const struct classifier_pins pins = {
        .pins = env->pins,
        .state_size = policy_slots_state_size(env->settings),
        .fingerprint = env->fingerprint,
    };
    char reason[LOAD_ERROR_SIZE];
    int error;

    log_capture_begin();
    error = classifier_open(&env->classifier, settings, env->pins ? &pins : NULL, reason);
    if (error)
        pb_log(LOG_ERR, "classifier: %s", reason);
    log_capture_end("classifier", error ? LOG_NOTICE : -1);
    return error;
}

static const void *saved_slots(const struct interface_env *env) {
    return snapshot_latest(classifier_state(env->classifier),
                           policy_slots_state_size(env->settings), env->fingerprint);
}

/* What is pinned, but can't be worked with, is made anew. */
static int open_valid_classifier(struct interface_env *env,
                                 const struct classifier_settings *settings) {
    int error = open_classifier(env, settings);

    if (error || !classifier_resumed(env->classifier) ||
        slots_saved_is_valid(classifier_shared(env->classifier), policy_slots(env->settings),
                             saved_slots(env)))
        return error;
    classifier_close(env->classifier);
    env->classifier = NULL;
    pins_remove_all(env->pins, PINS_SHARED);
    return open_classifier(env, settings);
}

/* Selected ports have their slots from the start to the end, also while there is no interface. */
static void reserve_selected(const struct interface_env *env) {
    for (__u32 i = 0; i < env->settings->ports_number; i++)
        slots_reserve(env->slots, env->settings->ports[i]);
}

static void keep_selected(const struct interface_env *env) {
    for (__u32 i = 0; i < env->settings->ports_number; i++)
        slots_keep(env->slots, env->settings->ports[i], SLOTS_BUSY_MAX);
}

static void make_groups(const struct interface_env *env) {
    const struct groups *groups = &env->settings->groups;

    for (__u32 key = 0; groups->number && key < PB_PORT_KEYS; key++)
        if (groups_of(groups, key) < groups->number)
            slots_group(env->slots, key, groups_of(groups, key));
}

static int make_slots(struct interface_env *env) {
    struct pb_shared *shared = classifier_shared(env->classifier);
    struct slots_layout layout = policy_slots(env->settings);
    int error;

    if (classifier_resumed(env->classifier))
        error = slots_restore(&env->slots, shared, layout, saved_slots(env));
    else
        error = slots_new(&env->slots, shared, layout);
    if (error)
        return error;
    make_groups(env);
    reserve_selected(env);
    ephemeral_read(&env->ephemeral);
    policy_folded(env->settings, &env->ephemeral, &env->folded);
    /* Listening ports first: with what a daemon before left, folding would unlink their slots. */
    update_listeners(env);
    interface_apply_listeners(env, false);
    slots_fold(env->slots, &env->folded);
    save_slots(env);
    return 0;
}

int interfaces_init(struct interfaces *interfaces, const struct settings *settings,
                    const struct pins *pins) {
    struct classifier_settings classifier = policy_classifier(settings, classifier_lanes());
    struct interface_env *env = &interfaces->env;
    int error;

    classifier.atomic_adds = classifier_needs_atomics();
    *interfaces = (struct interfaces){.env = {.settings = settings, .pins = pins}};
    env->fingerprint = policy_fingerprint(settings, &classifier);
    error = open_valid_classifier(env, &classifier);
    if (error)
        return error;
    env->sums = calloc(classifier.slots, sizeof(*env->sums));
    error = env->sums ? make_slots(env) : -ENOMEM;
    if (error) {
        pb_log(LOG_ERR, "cannot start: %s.", strerror(-error));
        return error;
    }
    update_ipsec(interfaces);
    return 0;
}

void interfaces_free(struct interfaces *interfaces, bool keep) {
    struct interface *next;

    for (struct interface *i = interfaces->first; i; i = next) {
        next = i->next;
        interface_free(i, keep);
    }
    listeners_free(&interfaces->env.listeners);
    slots_free(interfaces->env.slots);
    classifier_close(interfaces->env.classifier);
    free(interfaces->env.sums);
}

/* ---- links ---- */

static void mark_attached(const struct interfaces *interfaces, const struct links *links) {
    for (const struct interface *i = interfaces->first; i; i = i->next) {
        struct netlink_link *link =
            i->instance && i->instance->attach ? links_find(links, i->instance->index) : NULL;

        if (link)
            link->attached = true;
    }
}

unsigned interfaces_pending(const struct interfaces *interfaces, const struct links *links,
                            const struct netlink_link **pending, bool *later) {
    unsigned number = 0;
    __u64 now = monotonic();

    mark_attached(interfaces, links);
    for (unsigned n = 0; n < links->number; n++) {
        const struct netlink_link *link = &links->link[n];
        const struct interface *interface;

        if (link->attached || !(link->flags & IFF_UP) || !link->wanted)
            continue;
        interface = interfaces_find(interfaces, link->name);
        if (!interface || interface_may_attach(interface, link->index, now))
            pending[number++] = link;
        else
            *later = true;
    }
    return number;
}

/* Whether the instance can go on counting: a link of another type is another link. */
static bool is_valid(const struct instance *instance, const struct links *links) {
    const struct netlink_link *link = links_find_wanted(links, instance->index);

    return link && link->type == instance->type && policy_l2_len(link) == instance->l2_len;
}

unsigned interfaces_detach(struct interfaces *interfaces, const struct links *links,
                           struct attach **detached) {
    unsigned number = 0;

    for (struct interface *i = interfaces->first; i; i = i->next)
        if (i->instance && !is_valid(i->instance, links))
            detached[number++] = interface_detach(i);
    return number;
}

unsigned interfaces_removed(const struct interfaces *interfaces, struct instance **removed) {
    unsigned number = 0;

    for (const struct interface *i = interfaces->first; i; i = i->next)
        if (i->instance && i->removed_at)
            removed[number++] = i->instance;
    return number;
}

void interfaces_end(struct interfaces *interfaces, bool gone) {
    for (struct interface *i = interfaces->first; i; i = i->next) {
        if (!i->instance || !i->removed_at)
            continue;
        if (gone && i->instance->counting)
            pb_log_event(
                LOG_INFO,
                "%s: stopped counting (interface removed, of another type, or no longer selected).",
                i->name);
        interface_end(i, &interfaces->env);
    }
}

unsigned interfaces_rename(struct interfaces *interfaces, const struct links *links,
                           struct instance **ended) {
    unsigned number = 0, failed = 0;

    /* First all pass, then all take: two may have exchanged their names. */
    for (struct interface *i = interfaces->first; i; i = i->next) {
        const struct netlink_link *link =
            i->instance ? links_find(links, i->instance->index) : NULL;

        if (link && strcmp(link->name, i->name) != 0)
            ended[number++] = interface_pass(i, &interfaces->env);
    }
    for (unsigned n = 0; n < number; n++) {
        const struct netlink_link *link = links_find(links, ended[n]->index);
        struct interface *interface = interfaces_find_or_create(interfaces, link->name);

        if (interface)
            interface_take(interface, &interfaces->env, ended[n], link);
        else
            ended[failed++] = ended[n];
    }
    return failed;
}

/* ---- reading ---- */

/*
 * Looks after the attachments, which costs a query for each: of all within ten reads, and of more
 * for at most a fiftieth of the interval. Attaching takes longer: in that time, too, but for one.
 */
static void check_attachments(struct interfaces *interfaces, __u64 interval) {
    unsigned number = interfaces_number(interfaces), done = 0;
    __u64 until = monotonic() + interval / 50;
    bool restored = false;

    while (done < number && (done < (number + 9) / 10 || monotonic() < until)) {
        struct interface *interface =
            interfaces->next_check ? interfaces->next_check : interfaces->first;

        interfaces->next_check = interface->next;
        if (!interface->instance)
            continue;
        restored |= interface_check(interface, !restored || monotonic() < until);
        done++;
    }
}

/* Unlinks the victims of the last read, and waits for a grace period. */
static void unlink_victims(struct slots *slots, __u64 interval) {
    __u64 now = monotonic(), until = now;

    if (!slots_unlink(slots, now))
        return;
    /* Refused (nohz_full, a seccomp filter): time passes instead, an interval alone is no bound. */
    if (classifier_grace_period()) {
        __u64 wait = interval > SECOND ? interval : SECOND;

        until = now > wait ? now - wait : 0; /* the machine may be up for less than that */
    }
    slots_quiesce(slots, until);
}

static bool counts_loopback(const struct interfaces *interfaces) {
    for (const struct interface *i = interfaces->first; i; i = i->next)
        if (i->instance && i->loopback)
            return true;
    return false;
}

static void add_known(void *context, __u32 key) {
    key_set_add(context, key);
}

/* A service that was there before collectd is not new, however late its first packet comes. */
static void update_known(struct interfaces *interfaces) {
    if (interfaces->reads == NEW_PORTS_FIRST_READS)
        return;
    interfaces->reads++;
    listeners_for_each(&interfaces->env.listeners, true, add_known, &interfaces->known);
}

static void find_new(struct interfaces *interfaces) {
    interfaces->new_ports = (struct new_ports){0};
    update_known(interfaces);
    for (struct interface *i = interfaces->first; i; i = i->next)
        interface_find_new(i, &interfaces->known,
                           interfaces_admit(interfaces, i) ? &interfaces->new_ports : NULL);
}

static void end_everywhere(void *context, __u32 key) {
    const struct interfaces *interfaces = context;

    for (struct interface *i = interfaces->first; i; i = i->next)
        ledger_end(i->ledger, key);
}

void interfaces_read(struct interfaces *interfaces, __u64 interval, interface_report_fn *report,
                     void *context) {
    struct slots *slots = interfaces->env.slots;
    const __u32 *list;
    __u32 number;

    check_attachments(interfaces, interval);
    update_ephemeral(&interfaces->env);
    update_ipsec(interfaces);
    update_listeners(&interfaces->env);
    interface_apply_listeners(&interfaces->env, counts_loopback(interfaces));
    unlink_victims(slots, interval);
    number = slots_list(slots, false, &list);
    for (struct interface *i = interfaces->first; i; i = i->next)
        if (i->instance)
            interface_read(i, &interfaces->env, list, number);
    keep_selected(&interfaces->env);
    save_slots(&interfaces->env);
    slots_recycle(slots);

    bar_pass(&interfaces->names, boottime());
    if (interfaces->env.settings->notify_new_ports)
        find_new(interfaces);
    for (struct interface *i = interfaces->first; i; i = i->next)
        interface_report(i, interfaces_admit(interfaces, i) ? report : NULL, context);
    /* After the reports: a series that ends has reported all that it counted. */
    slots_end_surplus(slots, end_everywhere, interfaces);
    slots_pick_victims(slots);
}
