/* SPDX-License-Identifier: MIT */
#include "interface.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "clock.h"
#include "libbpf_log.h"
#include "log.h"
#include "pins.h"
#include "slots.h"
#include "snapshot.h"

struct instance {
    struct classifier *classifier;
    struct attach *attach; /* NULL: detached */
    struct slots *slots;
    int index;
    struct classifier_settings settings;
    __u64 fingerprint; /* but for the name, see policy_fingerprint_named */
    const struct pins *pins;
};

/* ---- the state that outlives the daemon: slots, then ledger ---- */

static const char *saved_state(const struct interface_env *env, const struct instance *instance,
                               const char *name) {
    const void *memory = classifier_state(instance->classifier);

    return memory ? snapshot_latest(memory, policy_state_size(env->settings),
                                    policy_fingerprint_named(instance->fingerprint, name))
                  : NULL;
}

static void save_state(const struct interface_env *env, const struct interface *interface) {
    const struct instance *instance = interface->instance;
    size_t size = policy_state_size(env->settings);
    void *memory = classifier_state(instance->classifier);
    char *state;

    if (!memory)
        return;
    state = snapshot_begin(memory, size);
    slots_save(instance->slots, state);
    ledger_save(interface->ledger, state + policy_slots_size(env->settings));
    snapshot_commit(memory, size, policy_fingerprint_named(instance->fingerprint, interface->name));
}

/* ---- an instance ---- */

static int open_classifier(struct instance *instance, const struct interface_env *env,
                           const struct netlink_link *link, char reason[INSTANCE_REASON_SIZE]) {
    const struct classifier_pins pins = {
        .pins = env->pins,
        .interface = link->index,
        .name = link->name,
        .state_size = policy_state_size(env->settings),
        .fingerprint = policy_fingerprint_named(instance->fingerprint, link->name),
    };

    return classifier_open(&instance->classifier, &instance->settings, env->pins ? &pins : NULL,
                           reason);
}

static int make_slots(struct instance *instance, const struct interface_env *env,
                      const char *name) {
    struct pb_shared *shared = classifier_shared(instance->classifier);
    __u32 dynamic = policy_dynamic_slots(env->settings);
    __u32 reserved = policy_reserved_slots(env->settings);
    const char *saved = saved_state(env, instance, name);

    return saved ? slots_restore(&instance->slots, shared, dynamic, reserved, saved)
                 : slots_new(&instance->slots, shared, dynamic, reserved);
}

static int attach_instance(struct instance *instance, const char *name,
                           char reason[INSTANCE_REASON_SIZE]) {
    const struct attach_settings settings = {
        .name = name,
        .interface = instance->index,
        .programs = {[INGRESS] = classifier_ingress_program(instance->classifier),
                     [EGRESS] = classifier_egress_program(instance->classifier)},
        .pins = instance->pins,
    };

    return attach_open(&instance->attach, &settings, reason);
}

int instance_open(struct instance **out, const struct interface_env *env,
                  struct port_range ephemeral, const struct netlink_link *link,
                  char reason[INSTANCE_REASON_SIZE]) {
    struct instance *instance = calloc(1, sizeof(*instance));
    int error;

    if (!instance) {
        snprintf(reason, INSTANCE_REASON_SIZE, "out of memory.");
        return -ENOMEM;
    }
    instance->index = link->index;
    instance->settings = policy_classifier(env->settings, link->type);
    instance->fingerprint = policy_fingerprint(env->settings, &instance->settings);
    instance->pins = env->pins;
    error = open_classifier(instance, env, link, reason);
    if (error)
        goto out;
    error = make_slots(instance, env, link->name);
    if (error) {
        snprintf(reason, INSTANCE_REASON_SIZE, "out of memory.");
        goto out;
    }
    /* Before the first packet, so that the policy holds for all of them. */
    slots_fold(instance->slots, ephemeral.first, ephemeral.last);
    for (__u32 i = 0; i < env->settings->ports_number; i++)
        slots_reserve(instance->slots, env->settings->ports[i]);
    error = attach_instance(instance, link->name, reason);
out:
    if (error)
        instance_close(instance, error != -ENODEV); /* what is pinned may serve the next attempt */
    else
        *out = instance;
    return error;
}

void instance_close(struct instance *instance, bool keep) {
    if (!instance)
        return;
    keep = keep && instance->pins;
    if (keep)
        attach_disown(instance->attach);
    else
        attach_close(instance->attach);
    classifier_close(instance->classifier);
    slots_free(instance->slots);
    if (instance->pins && !keep)
        pins_remove_all(instance->pins, instance->index);
    free(instance);
}

int instance_index(const struct instance *instance) {
    return instance->index;
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
    instance_close(interface->instance, keep);
    ledger_free(interface->ledger);
    free(interface);
}

static void mark_removed(struct interface *interface) {
    interface->final_reports = 2; /* what the last read brought, and what was deferred then */
    interface->removed_at = monotonic();
}

/* At each read again: a port that found no memory before gets its series then. */
static void apply_selected(struct interface *interface, const struct interface_env *env) {
    for (__u32 i = 0; i < env->settings->ports_number; i++)
        if (ledger_select(interface->ledger, env->settings->ports[i]))
            slots_reserve(interface->instance->slots, env->settings->ports[i]);
}

struct listening {
    struct interface *interface;
    __u64 now;
};

static void apply_listener(void *context, __u32 key) {
    const struct listening *listening = context;

    if (ledger_listening(listening->interface->ledger, key, listening->now))
        slots_reserve(listening->interface->instance->slots, key);
}

static void apply_listeners(struct interface *interface, const struct interface_env *env) {
    struct listening listening = {.interface = interface, .now = monotonic()};

    listeners_for_each(&env->listeners, interface->loopback, apply_listener, &listening);
}

/* Accounts what the interface counted since the last read. */
static void account(struct interface *interface, const struct interface_env *env) {
    struct instance *instance = interface->instance;

    classifier_read(instance->classifier, env->counters, slots_used(instance->slots));
    slots_account(instance->slots, env->counters, ledger_account, interface->ledger);
    ledger_update(interface->ledger, monotonic());
    save_state(env, interface);
    slots_recycle(instance->slots);
}

int interface_resume(struct interface *interface, const struct interface_env *env,
                     struct instance *instance, const struct netlink_link *link) {
    const char *saved = saved_state(env, instance, link->name);
    int error =
        saved ? ledger_restore(interface->ledger, saved + policy_slots_size(env->settings)) : 0;

    if (!error)
        interface_take(interface, env, instance, link);
    return error;
}

void interface_take(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link) {
    interface->instance = instance;
    interface->removed_at = 0;
    interface->final_reports = 0;
    interface->loopback = link->flags & IFF_LOOPBACK;
    log_limit_reset(&interface->failure);
    interface_fold(interface, env->ephemeral); /* it may have changed while this was loaded */
    apply_selected(interface, env);
    apply_listeners(interface, env);
    save_state(env, interface);
}

struct instance *interface_pass(struct interface *interface, const struct interface_env *env) {
    struct instance *instance = interface->instance;

    account(interface, env);
    interface->instance = NULL;
    mark_removed(interface);
    return instance;
}

void interface_detach(struct interface *interface) {
    attach_close(interface->instance->attach);
    interface->instance->attach = NULL;
    mark_removed(interface);
}

void interface_stop(struct interface *interface, const struct interface_env *env) {
    account(interface, env);
    instance_close(interface->instance, false);
    interface->instance = NULL;
}

__u32 interface_unlink_slots(struct interface *interface, __u64 now) {
    return interface->instance ? slots_unlink(interface->instance->slots, now) : 0;
}

void interface_quiesce_slots(struct interface *interface, __u64 until) {
    if (interface->instance)
        slots_quiesce(interface->instance->slots, until);
}

void interface_fold(struct interface *interface, struct port_range ephemeral) {
    if (interface->instance)
        slots_fold(interface->instance->slots, ephemeral.first, ephemeral.last);
}

void interface_end_attempt(struct interface *interface, const struct netlink_link *link, int error,
                           const char *reason) {
    bool report = error && error != -ENODEV;

    if (report && interface) {
        if (interface->failed_index != link->index || interface->failed_error != error)
            log_limit_reset(&interface->failure);
        interface->failed_index = link->index;
        interface->failed_error = error;
        report = log_limit_pass(&interface->failure, monotonic());
    }
    if (report)
        pb_log(LOG_ERR, "%s: %s", link->name, reason);
    log_capture_end(link->name, report ? LOG_NOTICE : -1);
}

/* Puts attachments back that were removed externally. */
static void restore(struct interface *interface) {
    struct netlink_link link = {.index = interface->instance->index};
    char reason[ATTACH_REASON_SIZE];
    __u64 now = monotonic();
    int error;

    if (attach_check(interface->instance->attach, interface->name) != -ENOENT ||
        now < interface->restore_at)
        return;
    snprintf(link.name, sizeof(link.name), "%s", interface->name);
    log_capture_begin();
    error = attach_restore(interface->instance->attach, reason);
    interface_end_attempt(interface, &link, error, reason);
    if (error) {
        interface->restore_at = now + RETRY_INTERVAL;
        return;
    }
    log_limit_reset(&interface->failure);
    pb_log(LOG_WARNING,
           "%s: classifier was removed externally; reattached, traffic in between was not "
           "counted.",
           interface->name);
}

void interface_read(struct interface *interface, const struct interface_env *env) {
    restore(interface);
    apply_selected(interface, env);
    apply_listeners(interface, env); /* before accounting: their series begin at this read */
    account(interface, env);
    slots_pick_victims(interface->instance->slots, ledger_is_active, interface->ledger);
}

/* ---- reporting ---- */

struct reporter {
    interface_report_fn *report;
    void *context;
    const char *interface;
};

static void report_series(void *context, const char *instance, const struct pb_counters *total) {
    const struct reporter *reporter = context;

    reporter->report(reporter->context, reporter->interface, instance, total);
}

void interface_report(struct interface *interface, interface_report_fn *report, void *context) {
    struct reporter reporter = {.report = report, .context = context, .interface = interface->name};

    if (!interface->instance) {
        if (!interface->final_reports)
            return;
        interface->final_reports--;
    }
    ledger_report(interface->ledger, report_series, &reporter);
    if (!interface->instance && !interface->final_reports)
        ledger_suspend(interface->ledger);
}
