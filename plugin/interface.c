/* SPDX-License-Identifier: MIT */
#include "interface.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "libbpf_log.h"
#include "log_event.h"
#include "pins.h"
#include "snapshot.h"

/* ---- the state that outlives the daemon: tally, then ledger ---- */

static __u64 fingerprint(const struct interface_env *env, const struct instance *instance,
                         const char *name) {
    return policy_fingerprint_interface(env->fingerprint, classifier_id(env->classifier),
                                        instance->l2_len, name);
}

static const char *saved_state(const struct interface_env *env, const struct instance *instance,
                               const char *name) {
    const void *memory = counters_state(instance->counters);

    return memory ? snapshot_latest(memory, policy_state_size(env->settings),
                                    fingerprint(env, instance, name))
                  : NULL;
}

/* Nothing saved is valid, too. */
static bool is_saved_valid(const struct interface_env *env, const struct instance *instance,
                           const char *name) {
    struct ledger_policy policy = policy_ledger(env->settings);
    const char *saved = saved_state(env, instance, name);

    return !saved || (tally_saved_is_valid(policy_slots(env->settings), saved) &&
                      ledger_saved_is_valid(&policy, saved + policy_tally_size(env->settings)));
}

static void save_state(const struct interface_env *env, const struct interface *interface) {
    const struct instance *instance = interface->instance;
    size_t size = policy_state_size(env->settings);
    void *memory = counters_state(instance->counters);
    char *state;

    if (!memory)
        return;
    state = snapshot_begin(memory, size);
    tally_save(instance->tally, state);
    ledger_save(interface->ledger, state + policy_tally_size(env->settings));
    snapshot_commit(memory, size, fingerprint(env, instance, interface->name));
}

/* ---- an instance ---- */

/* Of making counters; loading has its own reasons. */
static void explain(int error, char reason[INSTANCE_REASON_SIZE]) {
    if (error == -EBUSY)
        snprintf(reason, INSTANCE_REASON_SIZE,
                 "not counted: its index has the same lower 18 bits as that of another interface, "
                 "and %u others are like that already; create it with another index.",
                 PB_SPARE_ROWS);
    else
        snprintf(reason, INSTANCE_REASON_SIZE, "cannot make the counters: %s.", strerror(-error));
}

int instance_open(struct instance **out, const struct interface_env *env,
                  const struct netlink_link *link, char reason[INSTANCE_REASON_SIZE]) {
    struct instance *instance = calloc(1, sizeof(*instance));
    struct counters_pins pins = {.pins = env->pins, .state_size = policy_state_size(env->settings)};
    int error = -ENOMEM;

    if (instance) {
        instance->index = link->index;
        instance->type = link->type;
        instance->l2_len = policy_l2_len(link);
        instance->pins = env->pins;
        pins.fingerprint = fingerprint(env, instance, link->name);
        error = counters_open(&instance->counters, env->classifier, link->index,
                              env->pins ? &pins : NULL);
    }
    if (!error && !is_saved_valid(env, instance, link->name)) {
        counters_close(instance->counters);
        pins_remove_others(env->pins, link->index);
        error = counters_open(&instance->counters, env->classifier, link->index, &pins);
    }
    if (error) {
        explain(error, reason);
        if (env->pins) /* nothing must count that nobody reads */
            pins_remove_all(env->pins, link->index);
        free(instance);
        return error;
    }
    *out = instance;
    return 0;
}

int instance_attach(const struct instance *instance, const struct interface_env *env,
                    const char *name, struct attach **out, char reason[INSTANCE_REASON_SIZE]) {
    struct attach_settings settings = {
        .name = name, .interface = instance->index, .pins = instance->pins};
    int error = classifier_programs(env->classifier, instance->l2_len,
                                    counters_row(instance->counters), settings.programs, reason);

    return error ? error : attach_open(out, &settings, reason);
}

void instance_close(struct instance *instance, bool keep) {
    keep = keep && instance->pins && instance->counting;
    if (keep)
        attach_disown(instance->attach);
    else if (instance->attach || !instance->pins)
        attach_close(instance->attach);
    else
        attach_remove_stale(instance->index); /* by clsact an earlier daemon's may be there */
    counters_close(instance->counters);
    tally_free(instance->tally);
    if (instance->pins && !keep)
        pins_remove_all(instance->pins, instance->index);
    free(instance);
}

/* ---- an interface ---- */

struct interface *interface_new(const char *name, const struct settings *settings) {
    struct ledger_policy policy = policy_ledger(settings);
    struct interface *interface = calloc(1, sizeof(*interface));

    if (!interface || ledger_new(&interface->ledger, name, &policy)) {
        free(interface);
        return NULL;
    }
    snprintf(interface->name, sizeof(interface->name), "%s", name);
    return interface;
}

void interface_free(struct interface *interface, bool keep) {
    if (interface->instance)
        instance_close(interface->instance, keep);
    ledger_free(interface->ledger);
    free(interface);
}

static void mark_removed(struct interface *interface) {
    if (interface->instance->counting)
        interface->final_reports = 2; /* what the last read brought, and what was deferred then */
    interface->removed_at = monotonic();
}

/* ---- policy ---- */

/* At each read again: a port that found no memory before gets its series then. */
static void apply_selected(struct interface *interface, const struct settings *settings) {
    for (__u32 i = 0; i < settings->ports_number; i++)
        ledger_select(interface->ledger, settings->ports[i]);
    for (__u32 group = 0; group < settings->groups.number; group++)
        ledger_select(interface->ledger, GROUP_KEY(group));
}

static bool is_listening(const void *context, __u32 key) {
    const struct interface *interface = context;

    return listeners_has(interface->listeners, interface->loopback, key);
}

static void apply_listener(void *context, __u32 key) {
    slots_listen(context, key);
}

void interface_apply_listeners(const struct interface_env *env, bool loopback) {
    listeners_for_each(&env->listeners, loopback, apply_listener, env->slots);
}

/* ---- reading ---- */

/* Accounts what the interface counted in the listed slots since they were accounted last. */
static void account(struct interface *interface, const struct interface_env *env, const __u32 *list,
                    __u32 number) {
    struct instance *instance = interface->instance;
    __u64 now = boottime();

    counters_read(instance->counters, list, number, env->sums);
    slots_account(env->slots, instance->tally, env->sums, ledger_account, interface->ledger);
    ledger_update(interface->ledger, now);
    interface->period = interface->accounted_at ? now - interface->accounted_at : 0;
    interface->accounted_at = now;
    save_state(env, interface);
}

static void keep_slot(void *context, __u32 key, __u64 busy) {
    slots_keep(context, key, busy);
}

void interface_read(struct interface *interface, const struct interface_env *env, const __u32 *list,
                    __u32 number) {
    apply_selected(interface, env->settings);
    account(interface, env, list, number);
    interface->reads += interface->reads <= NEW_PORTS_FIRST_READS;
    ledger_for_each_port(interface->ledger, keep_slot, env->slots);
}

/* ---- an interface comes and goes ---- */

static int restore(struct interface *interface, const struct interface_env *env,
                   struct instance *instance, const char *saved) {
    int error = tally_restore(&instance->tally, env->slots, saved);

    return error ? error
                 : ledger_restore(interface->ledger, saved + policy_tally_size(env->settings));
}

int interface_begin(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link, bool *resumed) {
    const char *saved = saved_state(env, instance, link->name);
    int error =
        saved ? restore(interface, env, instance, saved) : tally_new(&instance->tally, env->slots);

    if (error) {
        tally_free(instance->tally);
        instance->tally = NULL;
        return error;
    }
    instance->counting = *resumed = saved != NULL;
    if (saved)
        interface->reads = NEW_PORTS_FIRST_READS;
    interface_take(interface, env, instance, link);
    return 0;
}

void interface_take(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link) {
    interface->instance = instance;
    interface->removed_at = 0;
    if (instance->counting)
        interface->final_reports = 0;
    interface->loopback = link->flags & IFF_LOOPBACK;
    interface->listeners = &env->listeners;
    ledger_set_listeners(interface->ledger, is_listening, interface);
    /* Before the first packet, so that the policy holds for all of them. */
    apply_selected(interface, env->settings);
    if (interface->loopback)
        interface_apply_listeners(env, true);
    save_state(env, interface);
}

void interface_attached(struct interface *interface, struct attach *attach) {
    interface->instance->attach = attach;
    interface->instance->counting = true;
    interface->final_reports = 0;
}

struct instance *interface_pass(struct interface *interface, const struct interface_env *env) {
    struct instance *instance = interface->instance;
    const __u32 *list;
    __u32 number = slots_list(env->slots, false, &list);

    account(interface, env, list, number);
    mark_removed(interface);
    interface->instance = NULL;
    return instance;
}

struct attach *interface_detach(struct interface *interface) {
    struct attach *attach = interface->instance->attach;

    interface->instance->attach = NULL;
    mark_removed(interface);
    return attach;
}

void interface_end(struct interface *interface, const struct interface_env *env) {
    const __u32 *list;
    __u32 number = slots_list(env->slots, true, &list);

    account(interface, env, list, number);
    interface->instance = NULL;
}

/* ---- attaching ---- */

bool interface_may_attach(const struct interface *interface, int index, __u64 now) {
    return interface->failed_index != index || now >= interface->retry_at;
}

void interface_end_attempt(struct interface *interface, const struct netlink_link *link, int error,
                           const char *reason) {
    bool report = error && error != -ENODEV;

    if (!error) {
        log_limit_reset(&interface->failure);
        interface->failed_index = 0;
    } else {
        if (interface->failed_index != link->index || interface->failed_error != error)
            log_limit_reset(&interface->failure);
        interface->failed_index = link->index;
        interface->failed_error = error;
        interface->retry_at = monotonic() + RETRY_INTERVAL;
        report = report && log_limit_pass(&interface->failure, monotonic());
    }
    report = report && pb_log_event(LOG_ERR, "%s: %s", link->name, reason);
    log_capture_end(link->name, report ? LOG_NOTICE : -1);
}

bool interface_check(struct interface *interface, bool restore) {
    struct instance *instance = interface->instance;
    struct netlink_link link = {.index = instance->index};
    char reason[ATTACH_REASON_SIZE];
    int error;

    if (!instance->attach || attach_check(instance->attach, interface->name) != -ENOENT ||
        !restore || !interface_may_attach(interface, instance->index, monotonic()))
        return false;
    snprintf(link.name, sizeof(link.name), "%s", interface->name);
    log_capture_begin();
    error = attach_restore(instance->attach, reason);
    interface_end_attempt(interface, &link, error, reason);
    if (!error)
        pb_log_event(LOG_WARNING,
                     "%s: classifier was removed externally; reattached, traffic in between was "
                     "not counted.",
                     interface->name);
    return true;
}

/* ---- reporting ---- */

void interface_find_new(struct interface *interface, const struct key_set *known,
                        struct new_ports *found) {
    if (found && interface->reads > NEW_PORTS_FIRST_READS)
        new_ports_find(found, interface->ledger, interface->name, known, interface->period);
    else
        new_ports_skip(interface->ledger);
}

struct reporter {
    interface_report_fn *report;
    void *context;
    const char *interface;
};

static void report_series(void *context, const char *instance, const struct pb_counters *total) {
    const struct reporter *reporter = context;

    if (reporter->report)
        reporter->report(reporter->context, reporter->interface, instance, total);
}

void interface_report(struct interface *interface, interface_report_fn *report, void *context) {
    struct reporter reporter = {.report = report, .context = context, .interface = interface->name};
    bool counting = interface->instance && interface->instance->counting;

    if (!counting) {
        if (!interface->final_reports)
            return;
        interface->final_reports--;
    }
    ledger_report(interface->ledger, report_series, &reporter);
    if (!counting && !interface->final_reports)
        ledger_suspend(interface->ledger);
}
