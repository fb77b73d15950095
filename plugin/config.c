/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <collectd/liboconfig/oconfig.h>

#include "log.h"
#include "port_option.h"
#include "tc_portbytes.h"

#define MAX_PORTS_MIN    16
#define PORTS_MAX        4096
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
    settings->interfaces = NULL;
    settings->ports = NULL;
    settings->ports_number = 0;
}

/* The values of an option as in the configuration file, for messages; truncated to `size`. */
static const char *format_values(const oconfig_item_t *item, char *text, size_t size) {
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < item->values_num && used < size; i++) {
        const oconfig_value_t *value = &item->values[i];
        const char *space = i ? " " : "";

        if (value->type == OCONFIG_TYPE_STRING)
            used += snprintf(text + used, size - used, "%s\"%s\"", space, value->value.string);
        else if (value->type == OCONFIG_TYPE_NUMBER)
            used += snprintf(text + used, size - used,
                             fabs(value->value.number) < 1e18 &&
                                     value->value.number == floor(value->value.number)
                                 ? "%s%.0f"
                                 : "%s%.15g",
                             space, value->value.number);
        else
            used += snprintf(text + used, size - used, "%s%s", space,
                             value->value.boolean ? "true" : "false");
    }
    for (char *c = text; *c; c++) /* a string may contain newlines, a message may not */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    return text;
}

static int refuse(const oconfig_item_t *item, const char *expected) {
    char text[256];

    if (item->values_num == 0)
        pb_log(LOG_ERR, "option %s: no value given; expected %s.", item->key, expected);
    else
        pb_log(LOG_ERR, "option %s: invalid value %s; expected %s.", item->key,
               format_values(item, text, sizeof(text)), expected);
    return -EINVAL;
}

/* The value, if it is the only one and of this type; else NULL. */
static const oconfig_value_t *single_value(const oconfig_item_t *item, int type) {
    if (item->values_num != 1 || item->children_num != 0 || item->values[0].type != type)
        return NULL;
    return &item->values[0];
}

static int get_boolean(const oconfig_item_t *item, bool *out) {
    const oconfig_value_t *value = single_value(item, OCONFIG_TYPE_BOOLEAN);

    if (!value)
        return refuse(item, "true or false");
    *out = value->value.boolean;
    return 0;
}

static int get_number(const oconfig_item_t *item, __u64 min, __u64 max, __u64 *out) {
    const oconfig_value_t *value = single_value(item, OCONFIG_TYPE_NUMBER);
    char expected[80];

    if (value && value->value.number >= min && value->value.number <= max &&
        value->value.number == (double)(__u64)value->value.number) {
        *out = value->value.number;
        return 0;
    }
    snprintf(expected, sizeof(expected), "an integer from %llu to %llu", min, max);
    return refuse(item, expected);
}

/* The index of the value among the keywords, in upper or lower case. */
static int get_keyword(const oconfig_item_t *item, const char *const *keywords, int number,
                       int *out) {
    const oconfig_value_t *value = single_value(item, OCONFIG_TYPE_STRING);
    char expected[128];
    size_t used = 0;

    for (int i = 0; value && i < number; i++) {
        if (!strcasecmp(value->value.string, keywords[i])) {
            *out = i;
            return 0;
        }
    }
    for (int i = 0; i < number && used < sizeof(expected); i++)
        used += snprintf(expected + used, sizeof(expected) - used, "%s\"%s\"",
                         i == 0            ? ""
                         : i == number - 1 ? " or "
                                           : ", ",
                         keywords[i]);
    return refuse(item, expected);
}

static int on_interface(struct settings *settings, const oconfig_item_t *item) {
    const oconfig_value_t *value = single_value(item, OCONFIG_TYPE_STRING);
    char reason[128], expected[256];
    int error;

    if (!value)
        return refuse(item, "an interface name or a \"/regular expression/\"");
    error = selection_add(settings->interfaces, value->value.string, reason, sizeof(reason));
    if (error != -EINVAL)
        return error;
    snprintf(expected, sizeof(expected), "an interface name or a \"/regular expression/\" (%s)",
             reason);
    return refuse(item, expected);
}

static int on_ignore_selected(struct settings *settings, const oconfig_item_t *item) {
    bool ignore = false;
    int error = get_boolean(item, &ignore);

    if (!error)
        selection_invert(settings->interfaces, ignore);
    return error;
}

static int on_direction(struct settings *settings, const oconfig_item_t *item) {
    enum { BOTH, INGRESS, EGRESS };
    static const char *const keywords[] = {"both", "ingress", "egress"};
    int keyword = BOTH, error = get_keyword(item, keywords, 3, &keyword);

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
    int keyword = 0, error = get_keyword(item, keywords, 5, &keyword);

    if (!error)
        settings->count_by = (enum count_by)keyword;
    return error;
}

static int on_max_ports(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = get_number(item, MAX_PORTS_MIN, PB_DYNAMIC_MAX, &number);

    if (!error)
        settings->max_ports = (__u32)number;
    return error;
}

static int on_fold_ephemeral(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->fold_ephemeral);
}

static int on_min_bytes(struct settings *settings, const oconfig_item_t *item) {
    return get_number(item, 0, MIN_BYTES_MAX, &settings->min_bytes);
}

static int on_dynamic_ports(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->dynamic_ports);
}

static int on_listening_ports(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->listening_ports);
}

static int on_top_ports(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = get_number(item, 0, PB_DYNAMIC_MAX, &number);

    if (!error)
        settings->top_ports = (__u32)number;
    return error;
}

static int on_idle_timeout(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = get_number(item, 1, IDLE_TIMEOUT_MAX, &number);

    if (!error)
        settings->idle_timeout = (__u32)number;
    return error;
}

static int on_persist(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->persist);
}

static int on_standard_types(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->standard_types);
}

/* -E2BIG: more than PORTS_MAX. */
static int select_port(struct settings *settings, __u32 key) {
    for (__u32 i = 0; i < settings->ports_number; i++)
        if (settings->ports[i] == key)
            return 0;
    if (settings->ports_number == PORTS_MAX)
        return -E2BIG;
    if (!settings->ports)
        settings->ports = calloc(PORTS_MAX, sizeof(*settings->ports));
    if (!settings->ports)
        return -ENOMEM;
    settings->ports[settings->ports_number++] = key;
    return 0;
}

static int get_ports(const oconfig_item_t *item, struct port_option *out) {
    const oconfig_value_t *number = single_value(item, OCONFIG_TYPE_NUMBER);
    const oconfig_value_t *text = single_value(item, OCONFIG_TYPE_STRING);

    if (text)
        return port_option_parse(out, text->value.string);
    if (number)
        return port_option_from_numbers(out, number->value.number, number->value.number);
    /* 8000-8999 without quotes is two numbers to collectd's parser: 8000 and -8999. */
    if (item->values_num == 2 && item->children_num == 0 &&
        item->values[0].type == OCONFIG_TYPE_NUMBER && item->values[1].type == OCONFIG_TYPE_NUMBER)
        return port_option_from_numbers(out, item->values[0].value.number,
                                        -item->values[1].value.number);
    return -EINVAL;
}

static int on_port(struct settings *settings, const oconfig_item_t *item) {
    struct port_option ports;

    if (get_ports(item, &ports))
        return refuse(item, "a port from 1 to 65535, a range such as \"8000-8999\" or a service "
                            "name, optionally preceded by \"tcp/\", \"udp/\" or \"sctp/\"");
    for (int transport = 0; transport < PB_TRANSPORTS; transport++) {
        for (__u32 port = ports.first; ports.transport[transport] && port <= ports.last; port++) {
            int error = select_port(settings, PB_KEY(transport, port));

            if (error == -E2BIG)
                return refuse(item, "at most 4096 ports in total, each transport counted");
            if (error)
                return error;
        }
    }
    return 0;
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
    {"DynamicPorts", on_dynamic_ports, false},
    {"ListeningPorts", on_listening_ports, false},
    {"TopPorts", on_top_ports, false},
    {"IdleTimeout", on_idle_timeout, false},
    {"Persist", on_persist, false},
    {"StandardTypes", on_standard_types, false},
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
                   item->values_num ? format_values(item, text, sizeof(text)) : "no value");
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
