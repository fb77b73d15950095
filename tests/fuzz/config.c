/* SPDX-License-Identifier: MIT */
/*
 * Two blocks as collectd's parser may pass them: any options, with any values and children.
 * Whatever they are, the settings are within their limits, and a refusal is one line of the log.
 */
#include "fuzz.h"

#include <collectd/liboconfig/oconfig.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>

#include "config.h"
#include "tc_portbytes.h"

#define ITEMS  12
#define VALUES 4

/* Replaces libc's, which reads files at each call. */
struct servent *getservbyname(const char *name, const char *protocol) {
    (void)name, (void)protocol;
    return NULL;
}

/* The options of the plugin are chosen more often than by chance. */
static char *take_key(struct input *input) {
    static const char *const keys[] = {
        "Interface",    "IgnoreSelected", "Direction", "CountBy",
        "MaxPorts",     "FoldEphemeral",  "MinBytes",  "Port",
        "DynamicPorts", "ListeningPorts", "TopPorts",  "IdleTimeout",
        "Persist",      "StandardTypes",  "Group",     "NotifyNewPorts"};
    unsigned which = take(input);
    char *key;

    if (which < sizeof(keys) / sizeof(keys[0])) {
        key = strdup(keys[which]);
        must(key);
        return key;
    }
    key = take_text(input, 300);
    for (char *c = key; *c; c++) /* the only characters that collectd's parser accepts */
        if (!isalnum((unsigned char)*c))
            *c = '_';
    return key;
}

static void take_value(struct input *input, oconfig_value_t *value) {
    double number = 0;

    switch (take(input) % 5) {
    case 0:
        value->type = OCONFIG_TYPE_STRING;
        value->value.string = take_text(input, 300);
        break;
    case 1: /* any double, including infinity and NaN */
        value->type = OCONFIG_TYPE_NUMBER;
        for (size_t i = 0; i < sizeof(number); i++)
            ((uint8_t *)&number)[i] = (uint8_t)take(input);
        value->value.number = number;
        break;
    case 2:
        value->type = OCONFIG_TYPE_NUMBER;
        value->value.number = take(input) << 8;
        value->value.number += take(input);
        break;
    case 3:
        value->type = OCONFIG_TYPE_NUMBER;
        value->value.number = -(double)take(input);
        break;
    default:
        value->type = OCONFIG_TYPE_BOOLEAN;
        value->value.boolean = take(input) & 1;
    }
}

/* An item without children. */
static void take_line(struct input *input, oconfig_item_t *item, unsigned shape) {
    *item = (oconfig_item_t){.key = take_key(input), .values_num = (int)(shape % (VALUES + 1))};
    if (!item->values_num)
        return;
    item->values = calloc((size_t)item->values_num, sizeof(*item->values));
    must(item->values);
    for (int i = 0; i < item->values_num; i++)
        take_value(input, &item->values[i]);
}

/* One that may have children, as a group has. */
static void take_item(struct input *input, oconfig_item_t *item) {
    unsigned shape = take(input);

    take_line(input, item, shape & 0x1f);
    item->children_num = (int)(shape >> 5) % 4;
    if (!item->children_num)
        return;
    item->children = calloc((size_t)item->children_num, sizeof(*item->children));
    must(item->children);
    for (int i = 0; i < item->children_num; i++)
        take_line(input, &item->children[i], take(input));
}

static void free_item(oconfig_item_t *item) {
    for (int i = 0; i < item->children_num; i++)
        free_item(&item->children[i]);
    free(item->children);
    for (int i = 0; i < item->values_num; i++)
        if (item->values[i].type == OCONFIG_TYPE_STRING)
            free(item->values[i].value.string);
    free(item->values);
    free(item->key);
}

/* Each has a name that no other has and at least one port, and none of a Port line. */
static void check_groups(const struct settings *settings) {
    const struct groups *groups = &settings->groups;
    unsigned ports[GROUPS_MAX] = {0};

    must(groups->number <= GROUPS_MAX);
    for (unsigned key = 0; groups->of && key < PB_PORT_KEYS; key++) {
        must(groups->of[key] <= groups->number);
        if (groups->of[key])
            ports[groups->of[key] - 1]++;
    }
    for (unsigned i = 0; i < groups->number; i++) {
        size_t length = strlen(groups->instances[i]);

        must(ports[i]);
        must(length > 6 && length <= 6 + GROUP_NAME_MAX &&
             !strncmp(groups->instances[i], "group-", 6));
        must(groups_find(groups, groups_name(groups, i)) == i);
    }
    for (unsigned i = 0; i < settings->ports_number; i++)
        must(groups_of(groups, settings->ports[i]) == groups->number);
}

static void check(const struct settings *settings) {
    must(settings->interfaces);
    must(settings->ingress || settings->egress);
    must(settings->count_by <= COUNT_LOWER);
    must(settings->max_ports >= 16 && settings->max_ports <= PB_DYNAMIC_MAX);
    must(settings->min_bytes <= 1ull << 53);
    must(settings->ports_number <= 4096);
    for (unsigned i = 0; i < settings->ports_number; i++)
        must(settings->ports[i] < PB_PORT_KEYS);
    check_groups(settings);
    must(settings->top_ports <= PB_DYNAMIC_MAX);
    must(settings->idle_timeout >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct settings settings;
    int error = 0;

    must(config_defaults(&settings) == 0);
    for (int blocks = 0; blocks < 2 && !error; blocks++) {
        oconfig_item_t items[ITEMS], block = {.key = (char *)"Plugin", .children = items};

        while (input.left && block.children_num < ITEMS / 2)
            take_item(&input, &items[block.children_num++]);
        fuzz_lines = 0;
        error = config_block(&settings, &block);
        must(error == 0 || error == -EINVAL);
        must(fuzz_lines == (error ? 1 : 0));
        check(&settings);
        if (!error && settings.listening_ports)
            must(settings.count_by == COUNT_LOCAL);
        for (int i = 0; i < block.children_num; i++)
            free_item(&items[i]);
    }
    config_free(&settings);
    return 0;
}
