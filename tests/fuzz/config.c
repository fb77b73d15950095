/* SPDX-License-Identifier: MIT */
/*
 * Two blocks as collectd's parser may pass them: any options, with any values and children.
 * Whatever they are, the settings are within their limits, and a refusal is one line of the log.
 * What Port and Interface select is compared with parsers of this file's own.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <collectd/liboconfig/oconfig.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <regex.h>
#include <strings.h>

#include "config.h"
#include "tc_portbytes.h"

#define ITEMS  12
#define VALUES 4

/* Replaces libc's, which reads files at each call. Two services, one with a slash in its name. */
struct servent *getservbyname(const char *name, const char *protocol) {
    static struct servent service;

    if (strcmp(name, "https") != 0 && strcmp(name, "a/b") != 0)
        return NULL;
    if (protocol && !strcmp(protocol, "sctp"))
        return NULL;
    service.s_port = htons(443);
    return &service;
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

/* ---- Port, read once more ---- */

/* A port number, 0 if there is none. */
static unsigned port_of(const char *text, size_t length) {
    unsigned port = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(text[i] - '0');
        if (port > 65535)
            return 0;
    }
    return port;
}

/* `ports` keys from `key` on, in so many transports, one behind the other. */
struct keys {
    unsigned key, ports, transports;
};

/* None: it must be refused. */
static struct keys keys_of_text(const char *text) {
    static const char *const names[] = {"tcp/", "udp/", "sctp/"};
    struct keys keys = {.transports = 2};
    const char *rest = text, *dash;
    unsigned first, last;

    for (unsigned t = 0; t < 3; t++) {
        if (!strncasecmp(text, names[t], strlen(names[t])) && rest == text) {
            rest += strlen(names[t]);
            keys = (struct keys){.key = t * 65536, .transports = 1};
        }
    }
    if (rest == text && strchr(text, '/'))
        return keys;
    if (*rest < '0' || *rest > '9') {
        const char *protocol = keys.transports == 2 ? NULL : keys.key == 131072 ? "sctp" : "tcp";

        keys.ports = getservbyname(rest, protocol) != NULL;
        keys.key += 443;
        return keys;
    }
    dash = strchr(rest, '-');
    first = port_of(rest, dash ? (size_t)(dash - rest) : strlen(rest));
    last = dash ? port_of(dash + 1, strlen(dash + 1)) : first;
    if (first && last >= first)
        keys.ports = last - first + 1;
    keys.key += first;
    return keys;
}

static struct keys keys_of_numbers(double first, double last) {
    struct keys keys = {.transports = 2};

    if (!(first >= 1 && first <= last && last <= 65535 && first == (unsigned)first &&
          last == (unsigned)last))
        return keys;
    keys.key = (unsigned)first;
    keys.ports = (unsigned)(last - first) + 1;
    return keys;
}

static struct keys keys_of(const oconfig_item_t *item) {
    const oconfig_value_t *values = item->values;

    if (item->children_num || item->values_num < 1 || item->values_num > 2)
        return (struct keys){0};
    if (item->values_num == 1 && values[0].type == OCONFIG_TYPE_STRING)
        return keys_of_text(values[0].value.string);
    if (values[0].type != OCONFIG_TYPE_NUMBER ||
        values[item->values_num - 1].type != OCONFIG_TYPE_NUMBER)
        return (struct keys){0};
    return keys_of_numbers(values[0].value.number, item->values_num == 2 ? -values[1].value.number
                                                                         : values[0].value.number);
}

static bool selected[PB_PORT_KEYS];
static unsigned selected_number;

static void select_keys(struct keys keys) {
    must(keys.ports);
    for (unsigned t = 0; t < keys.transports; t++) {
        for (unsigned i = 0; i < keys.ports; i++) {
            selected_number += !selected[keys.key + t * 65536 + i];
            selected[keys.key + t * 65536 + i] = true;
        }
    }
}

static void check_ports(const struct settings *settings) {
    must(settings->ports_number == selected_number);
    for (unsigned i = 0; i < settings->ports_number; i++) {
        must(selected[settings->ports[i]]);
        selected[settings->ports[i]] = false; /* it is not there twice */
    }
}

/* ---- Interface, by regcomp(3) ---- */

static char *patterns[2 * ITEMS];
static unsigned patterns_number;
static bool ignored; /* the last IgnoreSelected */

/* Without its slashes, or NULL if it has none, which is a name. The caller frees it. */
static char *inner_of(const char *pattern) {
    size_t length = strlen(pattern);

    if (length < 3 || pattern[0] != '/' || pattern[length - 1] != '/')
        return NULL;
    return strndup(pattern + 1, length - 2);
}

/* The expected result; -1: the pattern must be refused. */
static int matches(const char *pattern, const char *name) {
    char *inner = inner_of(pattern);
    regex_t regex;
    int error, match;

    if (!inner && !*pattern)
        return -1;
    if (!inner)
        return !strcmp(pattern, name);
    error = regcomp(&regex, inner, REG_EXTENDED);
    free(inner);
    if (error)
        return -1;
    match = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return match;
}

/*
 * glibc needs excessive memory and time for "((x{99}){99}){99}", which is no fault of the plugin:
 * not twice.
 */
static bool has_repetition(const char *pattern) {
    return pattern[0] == '/' && strpbrk(pattern, "{*+");
}

static const char *pattern_of(const oconfig_item_t *item) {
    must(item->values_num == 1 && item->values[0].type == OCONFIG_TYPE_STRING);
    return item->values[0].value.string;
}

static void check_name(const struct selection *selection, const char *name) {
    bool any = false;

    for (unsigned i = 0; i < patterns_number; i++)
        any |= matches(patterns[i], name) > 0;
    must(selection_wants(selection, name, NULL) == (!patterns_number || any != ignored));
}

static void check_interfaces(const struct selection *selection) {
    unsigned names = 0;

    must(selection_is_empty(selection) == !patterns_number);
    for (unsigned i = 0; i < patterns_number; i++)
        if (has_repetition(patterns[i]))
            return;
    check_name(selection, "eth0");
    for (unsigned i = 0; i < patterns_number; i++) {
        char *inner = inner_of(patterns[i]);

        check_name(selection, inner ? inner : patterns[i]);
        if (!inner && !ignored)
            must(!strcmp(selection_name(selection, names++), patterns[i]));
        free(inner);
    }
    must(!selection_name(selection, names));
}

/* ---- a block ---- */

static bool is(const oconfig_item_t *item, const char *key) {
    return !strcasecmp(item->key, key);
}

/* What an accepted block selects. */
static void expect(const oconfig_item_t *block) {
    for (int i = 0; i < block->children_num; i++) {
        const oconfig_item_t *item = &block->children[i];

        if (is(item, "Port")) {
            select_keys(keys_of(item));
        } else if (is(item, "Interface")) {
            patterns[patterns_number] = strdup(pattern_of(item));
            must(patterns[patterns_number]);
            must(has_repetition(patterns[patterns_number]) ||
                 matches(patterns[patterns_number], "eth0") >= 0);
            patterns_number++;
        } else if (is(item, "IgnoreSelected")) {
            ignored = item->values[0].value.boolean;
        }
    }
}

/* One line alone, without any before it, is refused for its value only. */
static bool must_be_accepted(const oconfig_item_t *item) {
    if (is(item, "Port")) {
        struct keys keys = keys_of(item);

        return keys.ports && keys.ports * keys.transports <= 4096;
    }
    return is(item, "Interface") && item->values_num == 1 && !item->children_num &&
           item->values[0].type == OCONFIG_TYPE_STRING && !has_repetition(pattern_of(item)) &&
           matches(pattern_of(item), "eth0") >= 0;
}

static void forget(void) {
    if (selected_number)
        memset(selected, 0, sizeof(selected));
    selected_number = 0;
    while (patterns_number)
        free(patterns[--patterns_number]);
    ignored = false;
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
        if (!error)
            expect(&block);
        else if (blocks == 0 && block.children_num == 1)
            must(!must_be_accepted(&items[0]));
        for (int i = 0; i < block.children_num; i++)
            free_item(&items[i]);
    }
    if (!error) {
        check_ports(&settings);
        check_interfaces(settings.interfaces);
    }
    forget();
    config_free(&settings);
    return 0;
}
