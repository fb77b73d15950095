/* SPDX-License-Identifier: MIT */
/*
 * <Group "name"> blocks: what they select, and each mistake refused with one line of the log that
 * has the option, the value and what is expected.
 *
 * Links: plugin/config.c, plugin/config_ports.c, plugin/groups.c and what they use. Needs -lm.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <collectd/liboconfig/oconfig.h>

#include "capture.h"
#include "config.h"
#include "tap.h"
#include "tc_portbytes.h"

/* ---- collectd's parsed configuration ---- */

#define CHILDREN 3

/* An option of the plugin's block: Group with the options in it, or another one. */
struct line {
    const char *key, *value; /* value NULL: none */
    struct {
        const char *key, *value;
    } child[CHILDREN];
};

#define LINES 4

static oconfig_value_t text(const char *string) {
    return (oconfig_value_t){.value.string = (char *)string, .type = OCONFIG_TYPE_STRING};
}

static int read_block(struct settings *settings, const struct line *lines, int number) {
    oconfig_value_t values[LINES], child_values[LINES][CHILDREN];
    oconfig_item_t items[LINES], children[LINES][CHILDREN],
        block = {.key = (char *)"Plugin", .children = items, .children_num = number};

    for (int i = 0; i < number; i++) {
        values[i] = text(lines[i].value);
        items[i] = (oconfig_item_t){.key = (char *)lines[i].key,
                                    .values = &values[i],
                                    .values_num = lines[i].value != NULL,
                                    .children = children[i]};
        for (int n = 0; n < CHILDREN && lines[i].child[n].key; n++) {
            child_values[i][n] = text(lines[i].child[n].value);
            children[i][items[i].children_num++] =
                (oconfig_item_t){.key = (char *)lines[i].child[n].key,
                                 .values = &child_values[i][n],
                                 .values_num = 1};
        }
    }
    captured.number = 0;
    return config_block(settings, &block);
}

static void defaults(struct settings *settings) {
    if (config_defaults(settings))
        abort();
}

/* How many ports a group has. */
static unsigned ports_of(const struct settings *settings, __u32 group) {
    unsigned number = 0;

    for (__u32 key = 0; key < PB_PORT_KEYS; key++)
        number += groups_of(&settings->groups, key) == group;
    return number;
}

/* ---- valid ---- */

static void test_groups(void) {
    static const struct line lines[] = {
        {"Group", "rtp", {{"Port", "udp/10000-20000"}}},
        {"group", "A_b.c-9", {{"Port", "443"}, {"port", "tcp/8000-8002"}, {"Port", "sctp/36412"}}},
        {"Port", "tcp/22", {{0}}},
        {"Group", "12345678901234567890123456789012", {{"Port", "tcp/1-65535"}}},
    };
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, lines, 3) == 0 && captured.number == 0, "two groups and a port");
    is_u64(settings.groups.number, 2, "two groups");
    is_text(settings.groups.instances[0], "group-rtp", "the first one's instance");
    is_text(settings.groups.instances[1], "group-A_b.c-9", "all characters that are allowed");
    is_u64(ports_of(&settings, 0), 10001, "a range of 10,001 ports");
    ok(groups_of(&settings.groups, PB_KEY(PB_UDP, 10000)) == 0 &&
           groups_of(&settings.groups, PB_KEY(PB_UDP, 20000)) == 0 &&
           groups_of(&settings.groups, PB_KEY(PB_TCP, 10000)) == 2,
       "from the first to the last, of one transport");
    ok(ports_of(&settings, 1) == 6 && groups_of(&settings.groups, PB_KEY(PB_TCP, 443)) == 1 &&
           groups_of(&settings.groups, PB_KEY(PB_UDP, 443)) == 1,
       "several lines; a port without a transport is TCP and UDP, as with Port");
    is_u64(settings.ports_number, 1, "the ports of groups are not selected");
    config_free(&settings);
    config_free(&settings);

    defaults(&settings);
    ok(read_block(&settings, &lines[3], 1) == 0 && ports_of(&settings, 0) == 65535,
       "a name of 32 characters, and all ports of a transport");
    ok(settings.dynamic_ports && settings.listening_ports,
       "a Group alone leaves dynamic and listening ports their series");
    ok(read_block(&settings, lines, 1) == 0 && settings.groups.number == 2,
       "a second block has another one");
    ok(read_block(&settings, lines, 1) == -EINVAL && captured.number == 1,
       "but none of a name that an earlier one had");
    config_free(&settings);
    is_u64(settings.groups.number, 0, "freed: none");
}

static void test_port_twice(void) {
    static const struct line line = {
        "Group", "a", {{"Port", "80-90"}, {"Port", "tcp/85-95"}, {"Port", "80"}}};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, &line, 1) == 0 && ports_of(&settings, 0) == 22 + 5,
       "a port may be twice in one group");
    config_free(&settings);
}

static void test_many(void) {
    struct settings settings;
    char name[16], port[16];
    int error = 0;

    defaults(&settings);
    for (int i = 0; i <= 256; i++) {
        const struct line line = {"Group", name, {{"Port", port}}};

        snprintf(name, sizeof(name), "g%d", i);
        snprintf(port, sizeof(port), "tcp/%d", 1000 + i);
        error = read_block(&settings, &line, 1);
        if (error)
            break;
    }
    ok(error == -EINVAL && settings.groups.number == 256, "256 groups and no more");
    ok(captured.number == 1 && strstr(captured.line[0], "Group") &&
           strstr(captured.line[0], "\"g256\"") && strstr(captured.line[0], "at most 256"),
       "which is said: %s", captured.line[0]);
    config_free(&settings);
}

/* ---- mistakes ---- */

static const struct {
    const char *name;
    struct line lines[2];
    const char *says[3];
} mistakes[] = {
    {"no name", {{"Group", NULL, {{"Port", "80"}}}}, {"option Group", "1 to 32", NULL}},
    {"an empty name", {{"Group", "", {{"Port", "80"}}}}, {"option Group", "\"\"", "1 to 32"}},
    {"33 characters",
     {{"Group", "123456789012345678901234567890123", {{"Port", "80"}}}},
     {"option Group", "\"123456789012345678901234567890123\"", "1 to 32"}},
    {"a slash", {{"Group", "a/b", {{"Port", "80"}}}}, {"option Group", "\"a/b\"", "letters"}},
    {"a blank", {{"Group", "a b", {{"Port", "80"}}}}, {"option Group", "\"a b\"", "letters"}},
    {"no ASCII", {{"Group", "caf\xc3\xa9", {{"Port", "80"}}}}, {"option Group", "caf", "letters"}},
    {"no block", {{"Group", "a", {{0}}}}, {"option Group", "\"a\"", "at least one Port"}},
    {"a name twice",
     {{"Group", "a", {{"Port", "80"}}}, {"Group", "a", {{"Port", "81"}}}},
     {"option Group", "\"a\"", "no other group"}},
    {"an unknown option",
     {{"Group", "a", {{"Port", "80"}, {"Ports", "81"}}}},
     {"unknown option Ports", "Group \"a\"", "known options: Port"}},
    {"an option of the plugin",
     {{"Group", "a", {{"MinBytes", "80"}}}},
     {"unknown option MinBytes", "Group \"a\"", "known options: Port"}},
    {"no port",
     {{"Group", "a", {{"Port", "80"}, {"Port", "0"}}}},
     {"option Port", "\"0\"", "1 to 65535"}},
    {"a port in two groups",
     {{"Group", "a", {{"Port", "udp/80"}}}, {"Group", "b", {{"Port", "70-90"}}}},
     {"option Port", "\"70-90\"", "udp/80 is in Group \"a\""}},
    {"a port in a group and selected",
     {{"Group", "a", {{"Port", "udp/80"}}}, {"Port", "70-90", {{0}}}},
     {"option Port", "\"70-90\"", "udp/80 is in Group \"a\""}},
    {"a port selected and in a group",
     {{"Port", "80", {{0}}}, {"Group", "a", {{"Port", "udp/70-90"}}}},
     {"option Port", "\"udp/70-90\"", "udp/80 is in a Port line"}},
};

static void test_mistakes(void) {
    for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        int number = mistakes[i].lines[1].key ? 2 : 1;
        bool group_first = number == 2 && mistakes[i].lines[0].child[0].key;
        struct settings settings;

        defaults(&settings);
        ok(read_block(&settings, mistakes[i].lines, number) == -EINVAL && captured.number == 1,
           "%s: refused in one line", mistakes[i].name);
        for (unsigned n = 0; n < 3 && mistakes[i].says[n]; n++)
            ok(strstr(captured.line[0], mistakes[i].says[n]) != NULL, "%s: it has %s: %s",
               mistakes[i].name, mistakes[i].says[n], captured.line[0]);
        ok(settings.groups.number == group_first && (!group_first || ports_of(&settings, 0) <= 2) &&
               settings.ports_number == 2 * (mistakes[i].lines[0].key[0] == 'P'),
           "%s: what came before is applied, it is not", mistakes[i].name);
        ok(settings.groups.number ||
               (groups_add(&settings.groups, "x") == 0 && ports_of(&settings, 0) == 0),
           "%s: nothing is left of the group", mistakes[i].name);
        config_free(&settings);
    }
}

int main(void) {
    test_groups();
    test_port_twice();
    test_many();
    test_mistakes();
    return tap_end();
}
