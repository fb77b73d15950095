/* SPDX-License-Identifier: MIT */
/* The options that name ports. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <collectd/liboconfig/oconfig.h>

#include "config_private.h"
#include "config_value.h"
#include "log.h"
#include "port_option.h"

#define PORTS_MAX 4096

static int get_ports(const oconfig_item_t *item, struct port_option *out) {
    const oconfig_value_t *number = value_single(item, OCONFIG_TYPE_NUMBER);
    const oconfig_value_t *text = value_single(item, OCONFIG_TYPE_STRING);
    int error = -EINVAL;

    if (text)
        error = port_option_parse(out, text->value.string);
    else if (number)
        error = port_option_from_numbers(out, number->value.number, number->value.number);
    /* 8000-8999 without quotes is two numbers to collectd's parser: 8000 and -8999. */
    else if (item->values_num == 2 && item->children_num == 0 &&
             item->values[0].type == OCONFIG_TYPE_NUMBER &&
             item->values[1].type == OCONFIG_TYPE_NUMBER)
        error = port_option_from_numbers(out, item->values[0].value.number,
                                         -item->values[1].value.number);
    if (error)
        return value_refuse(item,
                            "a port from 1 to 65535, a range such as \"8000-8999\" or a service "
                            "name, optionally preceded by \"tcp/\", \"udp/\" or \"sctp/\"");
    return 0;
}

/* Calls each() for the keys of all ports until it returns an error, which is passed on. */
static int for_each_key(const struct port_option *ports, struct settings *settings,
                        int (*each)(struct settings *settings, __u32 key, __u32 *failed),
                        __u32 *failed) {
    for (int transport = 0; transport < PB_TRANSPORTS; transport++) {
        for (__u32 port = ports->first; ports->transport[transport] && port <= ports->last;
             port++) {
            int error = each(settings, PB_KEY(transport, port), failed);

            if (error)
                return error;
        }
    }
    return 0;
}

/* Refuses ports of which one is taken already, by `whom`. */
static int refuse_taken(const oconfig_item_t *item, __u32 key, const char *whom) {
    char expected[128];

    snprintf(expected, sizeof(expected), "ports that are in no other place, but %s/%u is in %s",
             port_transport_name(key / PB_PORTS), key % PB_PORTS, whom);
    return value_refuse(item, expected);
}

static int refuse_grouped(const struct settings *settings, const oconfig_item_t *item, __u32 key) {
    char whom[GROUP_NAME_MAX + 16];

    snprintf(whom, sizeof(whom), "Group \"%s\"",
             groups_name(&settings->groups, groups_of(&settings->groups, key)));
    return refuse_taken(item, key, whom);
}

/* ---- Port ---- */

static bool is_selected(const struct settings *settings, __u32 key) {
    for (__u32 i = 0; i < settings->ports_number; i++)
        if (settings->ports[i] == key)
            return true;
    return false;
}

/* -E2BIG: more than PORTS_MAX. -EEXIST: *failed is in a group. */
static int select_port(struct settings *settings, __u32 key, __u32 *failed) {
    if (groups_of(&settings->groups, key) != settings->groups.number) {
        *failed = key;
        return -EEXIST;
    }
    if (is_selected(settings, key))
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

int on_port(struct settings *settings, const oconfig_item_t *item) {
    __u32 before = settings->ports_number, failed = 0;
    struct port_option ports = {0};
    int error = get_ports(item, &ports);

    if (error)
        return error;
    error = for_each_key(&ports, settings, select_port, &failed);
    if (error)
        settings->ports_number = before;
    if (error == -EEXIST)
        return refuse_grouped(settings, item, failed);
    if (error == -E2BIG)
        return value_refuse(item, "at most 4096 ports in total, each transport counted");
    return error;
}

/* ---- Group ---- */

/* The key goes into the last group. -EEXIST: *failed is in another one. */
static int group_port(struct settings *settings, __u32 key, __u32 *failed) {
    struct groups *groups = &settings->groups;

    *failed = key;
    if (groups->of[key] && groups->of[key] != groups->number)
        return -EEXIST;
    groups->of[key] = (__u16)groups->number;
    return 0;
}

static bool has_key(const struct port_option *ports, __u32 key) {
    __u32 port = key % PB_PORTS;

    return ports->transport[key / PB_PORTS] && port >= ports->first && port <= ports->last;
}

static int on_group_port(struct settings *settings, const oconfig_item_t *item) {
    struct port_option ports = {0};
    __u32 failed = 0;
    int error = get_ports(item, &ports);

    if (error)
        return error;
    for (__u32 i = 0; i < settings->ports_number; i++)
        if (has_key(&ports, settings->ports[i]))
            return refuse_taken(item, settings->ports[i], "a Port line");
    error = for_each_key(&ports, settings, group_port, &failed);
    return error == -EEXIST ? refuse_grouped(settings, item, failed) : error;
}

static bool is_group_name(const char *name) {
    size_t length = strlen(name);

    if (length == 0 || length > GROUP_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if (!isascii(*c) || !(isalnum((unsigned char)*c) || strchr("_.-", *c)))
            return false;
    return true;
}

static int fill_group(struct settings *settings, const oconfig_item_t *item, const char *name) {
    int error = 0;

    for (int i = 0; i < item->children_num && !error; i++) {
        const oconfig_item_t *child = &item->children[i];

        if (strcasecmp(child->key, "Port") == 0) {
            error = on_group_port(settings, child);
        } else {
            pb_log(LOG_ERR, "unknown option %s in Group \"%s\"; known options: Port.", child->key,
                   name);
            error = -EINVAL;
        }
    }
    return error;
}

int on_group(struct settings *settings, const oconfig_item_t *item) {
    /* Not value_single(): this option has children. */
    const char *name = item->values_num == 1 && item->values[0].type == OCONFIG_TYPE_STRING
                           ? item->values[0].value.string
                           : NULL;
    int error;

    if (!name || !is_group_name(name))
        return value_refuse(item, "one quoted name of 1 to 32 letters, digits, \"_\", \".\" or "
                                  "\"-\"");
    if (groups_find(&settings->groups, name) < settings->groups.number)
        return value_refuse(item, "a name that no other group has");
    if (item->children_num == 0)
        return value_refuse(item, "a block <Group \"name\"> with at least one Port");
    error = groups_add(&settings->groups, name);
    if (error == -ENOSPC)
        return value_refuse(item, "at most 256 groups");
    if (error)
        return error;
    error = fill_group(settings, item, name);
    if (error)
        groups_remove_last(&settings->groups);
    return error;
}
