/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <collectd/liboconfig/oconfig.h>

#include "config_private.h"
#include "config_value.h"
#include "log.h"
#include "tc_portbytes.h"

#define MAX_PORTS_MIN    16
#define IDLE_TIMEOUT_MAX (10 * 365 * 86400)
#define MIN_BYTES_MAX    (1ull << 53) /* collectd's double is exact up to here */

int config_defaults(struct settings *settings) {
    *settings = (struct settings){
        .interfaces = selection_new(),
        .ingress = true,
        .egress = true,
        .count_by = COUNT_LOCAL,
        .max_ports = 512,
        .fold_ephemeral = true,
        .min_bytes = 10000,
        .dynamic_ports = true,
        .listening_ports = true,
        .idle_timeout = 3600,
    };
    return settings->interfaces ? 0 : -ENOMEM;
}

void config_free(struct settings *settings) {
    selection_free(settings->interfaces);
    free(settings->ports);
    groups_free(&settings->groups);
    settings->interfaces = NULL;
    settings->ports = NULL;
    settings->ports_number = 0;
}

static int on_interface(struct settings *settings, const oconfig_item_t *item) {
    const oconfig_value_t *value = value_single(item, OCONFIG_TYPE_STRING);
    char reason[128], expected[256];
    int error;

    if (!value)
        return value_refuse(item, "an interface name or a \"/regular expression/\"");
    error = selection_add(settings->interfaces, value->value.string, reason, sizeof(reason));
    if (error != -EINVAL)
        return error;
    snprintf(expected, sizeof(expected), "an interface name or a \"/regular expression/\" (%s)",
             reason);
    return value_refuse(item, expected);
}

static int on_ignore_selected(struct settings *settings, const oconfig_item_t *item) {
    bool ignore = false;
    int error = value_boolean(item, &ignore);

    if (!error)
        selection_invert(settings->interfaces, ignore);
    return error;
}

static int on_direction(struct settings *settings, const oconfig_item_t *item) {
    enum { BOTH, INGRESS, EGRESS };
    static const char *const keywords[] = {"both", "ingress", "egress"};
    int keyword = BOTH, error = value_keyword(item, keywords, 3, &keyword);

    if (error)
        return error;
    settings->ingress = keyword != EGRESS;
    settings->egress = keyword != INGRESS;
    return 0;
}

static int on_count_by(struct settings *settings, const oconfig_item_t *item) {
    static const char *const keywords[] = {
        [COUNT_LOCAL] = "local",   [COUNT_REMOTE] = "remote", [COUNT_DESTINATION] = "destination",
        [COUNT_SOURCE] = "source", [COUNT_LOWER] = "lower",
    };
    int keyword = 0, error = value_keyword(item, keywords, 5, &keyword);

    if (!error)
        settings->count_by = (enum count_by)keyword;
    return error;
}

static int on_max_ports(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = value_number(item, MAX_PORTS_MIN, PB_DYNAMIC_MAX, &number);

    if (!error)
        settings->max_ports = (__u32)number;
    return error;
}

static int on_fold_ephemeral(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->fold_ephemeral);
}

static int on_min_bytes(struct settings *settings, const oconfig_item_t *item) {
    return value_number(item, 0, MIN_BYTES_MAX, &settings->min_bytes);
}

static int on_dynamic_ports(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->dynamic_ports);
}

static int on_listening_ports(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->listening_ports);
}

static int on_top_ports(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = value_number(item, 0, PB_DYNAMIC_MAX, &number);

    if (!error)
        settings->top_ports = (__u32)number;
    return error;
}

static int on_idle_timeout(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = value_number(item, 1, IDLE_TIMEOUT_MAX, &number);

    if (!error)
        settings->idle_timeout = (__u32)number;
    return error;
}

static int on_persist(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->persist);
}

static int on_standard_types(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->standard_types);
}

static int on_notify_new_ports(struct settings *settings, const oconfig_item_t *item) {
    return value_boolean(item, &settings->notify_new_ports);
}

static const struct option {
    const char *name;
    int (*on)(struct settings *settings, const oconfig_item_t *item);
    bool repeatable;
} options[] = {
    {"Interface", on_interface, true},
    {"IgnoreSelected", on_ignore_selected, false},
    {"Direction", on_direction, false},
    {"CountBy", on_count_by, false},
    {"MaxPorts", on_max_ports, false},
    {"FoldEphemeral", on_fold_ephemeral, false},
    {"MinBytes", on_min_bytes, false},
    {"Port", on_port, true},
    {"Group", on_group, true},
    {"DynamicPorts", on_dynamic_ports, false},
    {"ListeningPorts", on_listening_ports, false},
    {"TopPorts", on_top_ports, false},
    {"IdleTimeout", on_idle_timeout, false},
    {"Persist", on_persist, false},
    {"StandardTypes", on_standard_types, false},
    {"NotifyNewPorts", on_notify_new_ports, false},
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static bool is_given(const struct settings *settings,
                     int (*on)(struct settings *settings, const oconfig_item_t *item)) {
    for (unsigned i = 0; i < OPTIONS; i++)
        if (options[i].on == on)
            return settings->given & (1u << i);
    return false;
}

static int refuse_unknown(const oconfig_item_t *item) {
    char names[256];
    size_t used = 0;

    for (unsigned i = 0; i < OPTIONS && used < sizeof(names); i++)
        used +=
            snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", options[i].name);
    pb_log(LOG_ERR, "unknown option %s; known options: %s.", item->key, names);
    return -EINVAL;
}

static int on_option(struct settings *settings, const oconfig_item_t *item) {
    for (unsigned i = 0; i < OPTIONS; i++) {
        if (strcasecmp(item->key, options[i].name) != 0)
            continue;
        if (settings->given & (1u << i) && !options[i].repeatable) {
            char text[256];

            pb_log(LOG_ERR, "option %s: given a second time, with %s; it may be given once.",
                   options[i].name,
                   item->values_num ? value_format(item, text, sizeof(text)) : "no value");
            return -EINVAL;
        }
        settings->given |= 1u << i;
        return options[i].on(settings, item);
    }
    return refuse_unknown(item);
}

/* The settings whose validity or default depends on other options. */
static int resolve_dependencies(struct settings *settings) {
    bool is_local = settings->count_by == COUNT_LOCAL;

    if (!is_given(settings, on_listening_ports)) {
        settings->listening_ports = !settings->ports_number && is_local;
    } else if (settings->listening_ports && !is_local) {
        pb_log(LOG_ERR, "option ListeningPorts: true requires CountBy \"local\", because only "
                        "local ports have a listening socket on this host.");
        return -EINVAL;
    }
    if (!is_given(settings, on_dynamic_ports))
        settings->dynamic_ports = !settings->ports_number;
    return 0;
}

int config_block(struct settings *settings, const oconfig_item_t *block) {
    for (int i = 0; i < block->children_num; i++) {
        int error = on_option(settings, &block->children[i]);

        if (error)
            return error;
    }
    return resolve_dependencies(settings);
}
