/* SPDX-License-Identifier: MIT */
/*
 * The configuration: valid values are applied, invalid ones refused with one line of the log that
 * has the option, the value and what is expected.
 *
 * To add an option: a row per valid value in `valid`, its kind in `kinds`, and a row per value out
 * of its range in `invalid`. The mistakes that any option allows are made with each of `kinds`.
 *
 * Links: plugin/config.c, plugin/port_option.c, plugin/selection.c. Needs -lm.
 */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>

#include <collectd/liboconfig/oconfig.h>

#include "capture.h"
#include "config.h"
#include "tap.h"
#include "tc_portbytes.h"

/* ---- collectd's parsed configuration ---- */

#define TEXT(s)                                                                                    \
    { .value.string = (char *)(s), .type = OCONFIG_TYPE_STRING }
#define NUMBER(n)                                                                                  \
    { .value.number = (n), .type = OCONFIG_TYPE_NUMBER }
#define BOOLEAN(b)                                                                                 \
    { .value.boolean = (b), .type = OCONFIG_TYPE_BOOLEAN }

#define VALUES 3

/* One line of a block: the option and its values. */
struct line {
    const char *key;
    oconfig_value_t values[VALUES];
    int values_num;
    bool has_child; /* <Key values> Child true </Key> */
};

#define LINE(key, ...)                                                                             \
    {                                                                                              \
        key, {__VA_ARGS__}, sizeof((oconfig_value_t[]){__VA_ARGS__}) / sizeof(oconfig_value_t),    \
            false                                                                                  \
    }

#define LINES 8

static int read_block(struct settings *settings, const struct line *lines, int number) {
    static oconfig_value_t child_value = BOOLEAN(1);
    static oconfig_item_t child = {.key = (char *)"Child", .values = &child_value, .values_num = 1};
    oconfig_value_t plugin = TEXT("tc_portbytes"), values[LINES][VALUES];
    oconfig_item_t items[LINES],
        block = {.key = (char *)"Plugin", .values = &plugin, .values_num = 1, .children = items};

    block.children_num = number;
    for (int i = 0; i < number; i++) {
        memcpy(values[i], lines[i].values, sizeof(values[i]));
        items[i] = (oconfig_item_t){.key = (char *)lines[i].key,
                                    .values = lines[i].values_num ? values[i] : NULL,
                                    .values_num = lines[i].values_num,
                                    .parent = &block,
                                    .children = lines[i].has_child ? &child : NULL,
                                    .children_num = lines[i].has_child};
    }
    return config_block(settings, &block);
}

static void defaults(struct settings *settings) {
    if (config_defaults(settings))
        abort();
    capture_clear();
}

/* ---- valid values ---- */

static void test_defaults(void) {
    struct settings settings;

    memset(&settings, 0xff, sizeof(settings));
    is_u64(config_defaults(&settings), 0, "config_defaults succeeds");
    ok(selection_is_empty(settings.interfaces), "Interface: none, which selects all");
    ok(settings.ingress && settings.egress, "Direction: both");
    is_u64(settings.count_by, COUNT_LOCAL, "CountBy: local");
    is_u64(settings.max_ports, 512, "MaxPorts: 512");
    ok(settings.fold_ephemeral, "FoldEphemeral: true");
    is_u64(settings.min_bytes, 10000, "MinBytes: 10000");
    is_u64(settings.ports_number, 0, "Port: none");
    ok(settings.dynamic_ports, "DynamicPorts: true");
    ok(settings.listening_ports, "ListeningPorts: true");
    is_u64(settings.top_ports, 0, "TopPorts: 0");
    is_u64(settings.idle_timeout, 3600, "IdleTimeout: 3600");
    ok(!settings.persist, "Persist: false");
    ok(!settings.standard_types, "StandardTypes: false");
    ok(!settings.notify_new_ports, "NotifyNewPorts: false");
    is_u64(settings.given, 0, "no option is given");
    config_free(&settings);
    ok(!settings.interfaces && !settings.ports, "freed settings own nothing");
    config_free(&settings);
    ok(true, "and may be freed again");
}

static void test_empty_block(void) {
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, NULL, 0) == 0 && captured.number == 0 && settings.max_ports == 512,
       "an empty block is valid and changes nothing");
    config_free(&settings);
}

/* The settings as numbers, to check that an option changes one of them and no other. */
enum field {
    INGRESS,
    EGRESS,
    COUNT_BY,
    MAX_PORTS,
    FOLD_EPHEMERAL,
    MIN_BYTES,
    TOP_PORTS,
    IDLE_TIMEOUT,
    PERSIST,
    STANDARD_TYPES,
    NOTIFY_NEW_PORTS,
    PORTS_NUMBER,
    FIELDS
};

static void get_fields(const struct settings *settings, __u64 fields[FIELDS]) {
    fields[INGRESS] = settings->ingress;
    fields[EGRESS] = settings->egress;
    fields[COUNT_BY] = settings->count_by;
    fields[MAX_PORTS] = settings->max_ports;
    fields[FOLD_EPHEMERAL] = settings->fold_ephemeral;
    fields[MIN_BYTES] = settings->min_bytes;
    fields[TOP_PORTS] = settings->top_ports;
    fields[IDLE_TIMEOUT] = settings->idle_timeout;
    fields[PERSIST] = settings->persist;
    fields[STANDARD_TYPES] = settings->standard_types;
    fields[NOTIFY_NEW_PORTS] = settings->notify_new_ports;
    fields[PORTS_NUMBER] = settings->ports_number;
}

static const __u64 default_fields[FIELDS] = {
    [INGRESS] = true,        [EGRESS] = true,     [COUNT_BY] = COUNT_LOCAL, [MAX_PORTS] = 512,
    [FOLD_EPHEMERAL] = true, [MIN_BYTES] = 10000, [IDLE_TIMEOUT] = 3600,
};

static bool same_fields(const struct settings *settings, const __u64 expected[FIELDS]) {
    __u64 fields[FIELDS];

    get_fields(settings, fields);
    return !memcmp(fields, expected, sizeof(fields));
}

/* A line, the field that it sets, and its value. */
static const struct {
    struct line line;
    enum field field;
    __u64 value;
} valid[] = {
    {LINE("Direction", TEXT("both")), INGRESS, true},
    {LINE("Direction", TEXT("both")), EGRESS, true},
    {LINE("Direction", TEXT("ingress")), EGRESS, false},
    {LINE("Direction", TEXT("egress")), INGRESS, false},
    {LINE("Direction", TEXT("InGress")), EGRESS, false},
    {LINE("CountBy", TEXT("local")), COUNT_BY, COUNT_LOCAL},
    {LINE("CountBy", TEXT("remote")), COUNT_BY, COUNT_REMOTE},
    {LINE("CountBy", TEXT("destination")), COUNT_BY, COUNT_DESTINATION},
    {LINE("CountBy", TEXT("source")), COUNT_BY, COUNT_SOURCE},
    {LINE("CountBy", TEXT("lower")), COUNT_BY, COUNT_LOWER},
    {LINE("CountBy", TEXT("LOWER")), COUNT_BY, COUNT_LOWER},
    {LINE("MaxPorts", NUMBER(16)), MAX_PORTS, 16},
    {LINE("MaxPorts", NUMBER(17)), MAX_PORTS, 17},
    {LINE("MaxPorts", NUMBER(32768)), MAX_PORTS, 32768},
    {LINE("FoldEphemeral", BOOLEAN(1)), FOLD_EPHEMERAL, true},
    {LINE("FoldEphemeral", BOOLEAN(0)), FOLD_EPHEMERAL, false},
    {LINE("MinBytes", NUMBER(0)), MIN_BYTES, 0},
    {LINE("MinBytes", NUMBER(-0.0)), MIN_BYTES, 0},
    {LINE("MinBytes", NUMBER(1)), MIN_BYTES, 1},
    {LINE("MinBytes", NUMBER(4294967296.0)), MIN_BYTES, 4294967296},
    {LINE("MinBytes", NUMBER(9007199254740991.0)), MIN_BYTES, 9007199254740991},
    {LINE("MinBytes", NUMBER(9007199254740992.0)), MIN_BYTES, 9007199254740992},
    {LINE("TopPorts", NUMBER(0)), TOP_PORTS, 0},
    {LINE("TopPorts", NUMBER(1)), TOP_PORTS, 1},
    {LINE("TopPorts", NUMBER(32768)), TOP_PORTS, 32768},
    {LINE("IdleTimeout", NUMBER(1)), IDLE_TIMEOUT, 1},
    {LINE("IdleTimeout", NUMBER(315360000)), IDLE_TIMEOUT, 315360000}, /* ten years */
    {LINE("Persist", BOOLEAN(1)), PERSIST, true},
    {LINE("Persist", BOOLEAN(0)), PERSIST, false},
    {LINE("StandardTypes", BOOLEAN(1)), STANDARD_TYPES, true},
    {LINE("StandardTypes", BOOLEAN(0)), STANDARD_TYPES, false},
    {LINE("NotifyNewPorts", BOOLEAN(1)), NOTIFY_NEW_PORTS, true},
    {LINE("NotifyNewPorts", BOOLEAN(0)), NOTIFY_NEW_PORTS, false},
    {LINE("Port", NUMBER(443)), PORTS_NUMBER, 2},
    {LINE("Port", TEXT("udp/53")), PORTS_NUMBER, 1},
    {LINE("minbytes", NUMBER(7)), MIN_BYTES, 7},
    {LINE("MAXPORTS", NUMBER(77)), MAX_PORTS, 77},
    {LINE("countBY", TEXT("remote")), COUNT_BY, COUNT_REMOTE},
};

/* The values of a line as the log should show them. */
static const char *values_text(const struct line *line) {
    static char text[512];
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < line->values_num && used < sizeof(text); i++) {
        const oconfig_value_t *value = &line->values[i];
        const char *space = i ? " " : "";

        if (value->type == OCONFIG_TYPE_STRING)
            used +=
                snprintf(text + used, sizeof(text) - used, "%s\"%s\"", space, value->value.string);
        else if (value->type == OCONFIG_TYPE_BOOLEAN)
            used += snprintf(text + used, sizeof(text) - used, "%s%s", space,
                             value->value.boolean ? "true" : "false");
        else if (fabs(value->value.number) < 1e17 &&
                 trunc(value->value.number) == value->value.number)
            used +=
                snprintf(text + used, sizeof(text) - used, "%s%.0f", space, value->value.number);
        else
            used += snprintf(text + used, sizeof(text) - used, "%s%g", space, value->value.number);
    }
    return line->values_num ? text : "no value";
}

static void test_valid(void) {
    for (unsigned i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        __u64 expected[FIELDS];
        struct settings settings;

        memcpy(expected, default_fields, sizeof(expected));
        expected[valid[i].field] = valid[i].value;
        defaults(&settings);
        ok(read_block(&settings, &valid[i].line, 1) == 0 && captured.number == 0 &&
               same_fields(&settings, expected),
           "%s %s changes its setting and no other", valid[i].line.key,
           values_text(&valid[i].line));
        config_free(&settings);
    }
}

static void test_interfaces(void) {
    static const struct line lines[] = {LINE("Interface", TEXT("eth0")),
                                        LINE("interface", TEXT("/^wg/")),
                                        LINE("Interface", TEXT("eth0"))};
    static const struct line more[] = {LINE("Interface", TEXT("tun0")),
                                       LINE("IgnoreSelected", BOOLEAN(1))};
    static const struct line back[] = {LINE("IgnoreSelected", BOOLEAN(0)),
                                       LINE("Interface", TEXT("lo"))};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, lines, 3) == 0 && captured.number == 0,
       "Interface may be given several times, in upper or lower case");
    ok(selection_wants(settings.interfaces, "eth0", NULL) &&
           selection_wants(settings.interfaces, "wg7", NULL) &&
           !selection_wants(settings.interfaces, "tun0", NULL),
       "names and expressions select interfaces");
    ok(read_block(&settings, more, 2) == 0 && captured.number == 0, "also in a second block");
    ok(!selection_wants(settings.interfaces, "eth0", NULL) &&
           !selection_wants(settings.interfaces, "tun0", NULL) &&
           selection_wants(settings.interfaces, "lo", NULL),
       "IgnoreSelected inverts them all");
    config_free(&settings);

    defaults(&settings);
    ok(read_block(&settings, back, 2) == 0 && selection_wants(settings.interfaces, "lo", NULL) &&
           !selection_wants(settings.interfaces, "eth0", NULL),
       "IgnoreSelected false inverts nothing");
    config_free(&settings);
}

static void test_many(void) {
    static const struct line first[] = {LINE("Direction", TEXT("egress")),
                                        LINE("CountBy", TEXT("lower")),
                                        LINE("MaxPorts", NUMBER(100))};
    static const struct line second[] = {LINE("FoldEphemeral", BOOLEAN(0)),
                                         LINE("MinBytes", NUMBER(1))};
    static const __u64 expected[FIELDS] = {[EGRESS] = true,
                                           [COUNT_BY] = COUNT_LOWER,
                                           [MAX_PORTS] = 100,
                                           [MIN_BYTES] = 1,
                                           [IDLE_TIMEOUT] = 3600};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, first, 3) == 0 && read_block(&settings, second, 2) == 0 &&
           captured.number == 0 && same_fields(&settings, expected),
       "options of two blocks are combined");
    config_free(&settings);
}

/* ---- Port ---- */

static bool has_port(const struct settings *settings, __u32 key) {
    for (__u32 i = 0; i < settings->ports_number; i++)
        if (settings->ports[i] == key)
            return true;
    return false;
}

/* A value of Port, and the ports and transports that it selects. */
static const struct {
    oconfig_value_t value;
    __u32 first, last;
    bool tcp, udp, sctp;
    const char *promise;
} ports[] = {
    {NUMBER(443), 443, 443, true, true, false, "a number is a port of TCP and of UDP"},
    {NUMBER(1), 1, 1, true, true, false, "the first port"},
    {NUMBER(65535), 65535, 65535, true, true, false, "the last port"},
    {TEXT("443"), 443, 443, true, true, false, "a number in quotes is the same"},
    {TEXT("0443"), 443, 443, true, true, false, "it is decimal, with a leading zero too"},
    {TEXT("8000-8003"), 8000, 8003, true, true, false, "a range includes its ends"},
    {TEXT("80-80"), 80, 80, true, true, false, "a range may be one port"},
    {TEXT("tcp/443"), 443, 443, true, false, false, "tcp/ is TCP only"},
    {TEXT("udp/53"), 53, 53, false, true, false, "udp/ is UDP only"},
    {TEXT("sctp/36412"), 36412, 36412, false, false, true, "sctp/ is SCTP only"},
    {TEXT("TCP/443"), 443, 443, true, false, false, "in upper case"},
    {TEXT("udp/8000-8003"), 8000, 8003, false, true, false, "a range of one transport"},
    {TEXT("sctp/65534-65535"), 65534, 65535, false, false, true, "up to the last port"},
};

static void test_port(void) {
    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        struct line line = {.key = "Port", .values = {ports[i].value}, .values_num = 1};
        const bool wanted[PB_TRANSPORTS] = {ports[i].tcp, ports[i].udp, ports[i].sctp};
        __u32 expected = 0, wrong = 0;
        struct settings settings;

        defaults(&settings);
        wrong += read_block(&settings, &line, 1) != 0;
        for (__u32 transport = 0; transport < PB_TRANSPORTS; transport++) {
            for (__u32 port = ports[i].first; port <= ports[i].last; port++) {
                expected += wanted[transport];
                wrong += has_port(&settings, PB_KEY(transport, port)) != wanted[transport];
            }
        }
        ok(!wrong && settings.ports_number == expected && captured.number == 0, "Port %s: %s",
           values_text(&line), ports[i].promise);
        config_free(&settings);
    }
}

static void test_port_service(void) {
    static const struct line line = LINE("Port", TEXT("domain"));
    static const struct line tcp = LINE("Port", TEXT("tcp/domain"));
    struct settings settings;

    if (!getservbyname("domain", "tcp") || !getservbyname("domain", "udp")) {
        ok(true, "Port: a service # SKIP no /etc/services");
        return;
    }
    defaults(&settings);
    ok(read_block(&settings, &line, 1) == 0 && settings.ports_number == 2 &&
           has_port(&settings, PB_KEY(PB_TCP, 53)) && has_port(&settings, PB_KEY(PB_UDP, 53)),
       "Port: a service name is its port of TCP and UDP");
    config_free(&settings);
    defaults(&settings);
    ok(read_block(&settings, &tcp, 1) == 0 && settings.ports_number == 1 &&
           has_port(&settings, PB_KEY(PB_TCP, 53)),
       "Port: a service name of one transport");
    config_free(&settings);
}

static void test_ports_combined(void) {
    static const struct line first[] = {LINE("Port", NUMBER(443)), LINE("port", TEXT("udp/443")),
                                        LINE("Port", TEXT("440-445")), LINE("Port", NUMBER(443))};
    static const struct line second[] = {LINE("Port", TEXT("sctp/443")),
                                         LINE("Port", TEXT("udp/446"))};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, first, 4) == 0 && settings.ports_number == 12,
       "Port may be given several times; duplicates are removed");
    ok(read_block(&settings, second, 2) == 0 && settings.ports_number == 14,
       "also in a second block");
    config_free(&settings);
}

static void test_ports_max(void) {
    static const struct line all[] = {LINE("Port", TEXT("tcp/1-4096")),
                                      LINE("Port", TEXT("tcp/1-4096")),
                                      LINE("Port", TEXT("tcp/4097"))};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, all, 1) == 0 && settings.ports_number == 4096 && captured.number == 0,
       "4096 ports may be selected");
    ok(read_block(&settings, all + 1, 1) == 0 && captured.number == 0, "and selected again");
    ok(read_block(&settings, all + 2, 1) == -EINVAL && captured.number == 1 &&
           strstr(captured.line[0], "Port") && strstr(captured.line[0], "\"tcp/4097\"") &&
           strstr(captured.line[0], "4096"),
       "one more is refused with the maximum");
    config_free(&settings);
}

/* ---- options whose default depends on others ---- */

static const struct {
    struct line lines[3];
    int number, first_block; /* lines, and how many of them are in a block of their own */
    bool dynamic, listening;
    const char *promise;
} depending[] = {
    {{LINE("MaxPorts", NUMBER(16))}, 1, 0, true, true, "without Port: dynamic and listening ports"},
    {{LINE("Port", NUMBER(443))}, 1, 0, false, false, "Port: only those ports"},
    {{LINE("Port", NUMBER(443)), LINE("DynamicPorts", BOOLEAN(1))},
     2,
     0,
     true,
     false,
     "Port and DynamicPorts: dynamic ports too"},
    {{LINE("ListeningPorts", BOOLEAN(1)), LINE("Port", NUMBER(443))},
     2,
     0,
     false,
     true,
     "ListeningPorts before Port: listening ports too"},
    {{LINE("DynamicPorts", BOOLEAN(0))}, 1, 0, false, true, "DynamicPorts false: listening ports"},
    {{LINE("ListeningPorts", BOOLEAN(0))},
     1,
     0,
     true,
     false,
     "ListeningPorts false: dynamic ports"},
    {{LINE("CountBy", TEXT("remote"))}, 1, 0, true, false, "CountBy remote: no listening ports"},
    {{LINE("CountBy", TEXT("local"))}, 1, 0, true, true, "CountBy local: the default"},
    {{LINE("CountBy", TEXT("lower")), LINE("ListeningPorts", BOOLEAN(0))},
     2,
     0,
     true,
     false,
     "ListeningPorts false is valid with any CountBy"},
    {{LINE("MaxPorts", NUMBER(16)), LINE("Port", NUMBER(443))},
     2,
     1,
     false,
     false,
     "Port in a second block has the same effect"},
    {{LINE("DynamicPorts", BOOLEAN(1)), LINE("Port", NUMBER(443))},
     2,
     1,
     true,
     false,
     "so does DynamicPorts in the first block"},
    {{LINE("Port", NUMBER(443)), LINE("MaxPorts", NUMBER(16))},
     2,
     1,
     false,
     false,
     "a second block without Port does not restore the defaults"},
};

static void test_depending(void) {
    for (unsigned i = 0; i < sizeof(depending) / sizeof(depending[0]); i++) {
        int first = depending[i].first_block, error = 0;
        struct settings settings;

        defaults(&settings);
        if (first)
            error = read_block(&settings, depending[i].lines, first);
        if (!error)
            error = read_block(&settings, depending[i].lines + first, depending[i].number - first);
        ok(error == 0 && settings.dynamic_ports == depending[i].dynamic &&
               settings.listening_ports == depending[i].listening && captured.number == 0,
           "%s", depending[i].promise);
        config_free(&settings);
    }
}

/* A port of the other end has no listening socket here. */
static void test_listening_needs_local(void) {
    static const char *const words[] = {"remote", "destination", "source", "lower"};

    for (unsigned i = 0; i < 4; i++) {
        struct line lines[2] = {LINE("ListeningPorts", BOOLEAN(1)),
                                {"CountBy", {TEXT(words[i])}, 1, false}};
        struct settings settings;
        int error;

        defaults(&settings);
        error = read_block(&settings, lines, 2);
        ok(error == -EINVAL && captured.number == 1 && strstr(captured.line[0], "ListeningPorts") &&
               strstr(captured.line[0], "CountBy") && strstr(captured.line[0], "true") &&
               strstr(captured.line[0], "local"),
           "ListeningPorts true with CountBy %s is refused with what it requires", words[i]);
        config_free(&settings);

        defaults(&settings);
        error = read_block(&settings, lines, 1);
        if (!error)
            error = read_block(&settings, lines + 1, 1);
        ok(error == -EINVAL && captured.number == 1, "also in two blocks");
        config_free(&settings);
    }
}

/* ---- invalid values ---- */

/* All options, a valid value of each, and what the log must name as expected. */
static const struct kind {
    const char *key;
    oconfig_value_t value;
    const char *expected;
    bool repeatable, accepts_text; /* besides a number */
} kinds[] = {
    {"Interface", TEXT("eth0"), "an interface name or a \"/regular expression/\"", true, false},
    {"IgnoreSelected", BOOLEAN(1), "true or false", false, false},
    {"Direction", TEXT("egress"), "\"both\", \"ingress\" or \"egress\"", false, false},
    {"CountBy", TEXT("lower"), "\"local\", \"remote\", \"destination\", \"source\" or \"lower\"",
     false, false},
    {"MaxPorts", NUMBER(100), "an integer from 16 to 32768", false, false},
    {"FoldEphemeral", BOOLEAN(0), "true or false", false, false},
    {"MinBytes", NUMBER(5), "an integer from 0 to 9007199254740992", false, false},
    {"Port", NUMBER(443), "a port from 1 to 65535, a range", true, true},
    {"DynamicPorts", BOOLEAN(1), "true or false", false, false},
    {"ListeningPorts", BOOLEAN(0), "true or false", false, false},
    {"TopPorts", NUMBER(5), "an integer from 0 to 32768", false, false},
    {"IdleTimeout", NUMBER(5), "an integer from 1 to 315360000", false, false},
    {"Persist", BOOLEAN(1), "true or false", false, false},
    {"StandardTypes", BOOLEAN(1), "true or false", false, false},
    {"NotifyNewPorts", BOOLEAN(1), "true or false", false, false},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *expected_for(const char *key) {
    for (unsigned i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].key, key))
            return kinds[i].expected;
    return "(unknown option in the test)";
}

/*
 * Reads the `number` lines of `before`, then `line`, in the same or in a second block. It must be
 * refused: -EINVAL and one line of the log with its key, `shown` and `expected`.
 */
static void refused(const struct line *before, int number, bool second_block,
                    const struct line *line, const char *shown, const char *expected,
                    const char *promise) {
    struct line lines[LINES];
    struct settings settings;
    int error = 0;
    bool good;

    defaults(&settings);
    if (number)
        memcpy(lines, before, number * sizeof(*lines));
    if (second_block) {
        error = read_block(&settings, lines, number);
        number = 0;
    }
    lines[number] = *line;
    if (!error)
        error = read_block(&settings, lines, number + 1);
    good = ok(error == -EINVAL && captured.number == 1 && captured.priority[0] == LOG_ERR &&
                  strstr(captured.line[0], line->key) && strstr(captured.line[0], shown) &&
                  strstr(captured.line[0], expected) && !strchr(captured.line[0], '\n'),
              "%s: refused with what is expected", promise);
    if (!good) {
        diag("returned %d, %u lines, wanted one with \"%s\", %s, and \"%s\":", error,
             captured.number, line->key, shown, expected);
        diag("%s", captured.line[0]);
    }
    config_free(&settings);
}

static void refused_alone(const struct line *line, const char *what) {
    char promise[256];

    snprintf(promise, sizeof(promise), "%s %s, %s", line->key, values_text(line), what);
    refused(NULL, 0, false, line, values_text(line), expected_for(line->key), promise);
}

/* The mistakes that any option allows. */
static void test_mistakes_of_every_option(void) {
    static const oconfig_value_t others[] = {TEXT("nonsense"), TEXT("true"), TEXT("5"), NUMBER(1),
                                             NUMBER(0),        BOOLEAN(0),   BOOLEAN(1)};

    for (unsigned i = 0; i < KINDS; i++) {
        const struct kind *kind = &kinds[i];
        struct line line = {.key = kind->key};
        char promise[128];

        refused_alone(&line, "without a value");
        for (unsigned other = 0; other < sizeof(others) / sizeof(others[0]); other++) {
            if (others[other].type == kind->value.type ||
                (others[other].type == OCONFIG_TYPE_STRING && kind->accepts_text))
                continue;
            line.values[0] = others[other];
            line.values_num = 1;
            refused_alone(&line, "a value of the wrong type");
        }
        line.values[0] = line.values[1] = line.values[2] = kind->value;
        line.values_num = 2;
        refused_alone(&line, "two values");
        line.values_num = 3;
        refused_alone(&line, "three values");

        line.values_num = 1;
        line.has_child = true;
        snprintf(promise, sizeof(promise), "<%s>, a block", kind->key);
        refused(NULL, 0, false, &line, values_text(&line), kind->expected, promise);
        line.values_num = 0;
        refused_alone(&line, "a block without a value");
        line.has_child = false;

        if (kind->repeatable)
            continue;
        line.values_num = 1;
        snprintf(promise, sizeof(promise), "%s twice in a block", kind->key);
        refused(&line, 1, false, &line, values_text(&line), "once", promise);
        snprintf(promise, sizeof(promise), "%s again in a second block", kind->key);
        refused(&line, 1, true, &line, values_text(&line), "once", promise);
    }
}

/* Values outside of the range or the keywords of one option. */
static const struct line invalid[] = {
    LINE("Interface", TEXT("")),
    LINE("Interface", TEXT("/eth[/")),
    LINE("Interface", TEXT("/(/")),
    LINE("Direction", TEXT("")),
    LINE("Direction", TEXT("in")),
    LINE("Direction", TEXT("ingress ")),
    LINE("Direction", TEXT("both,egress")),
    LINE("CountBy", TEXT("")),
    LINE("CountBy", TEXT("port")),
    LINE("CountBy", TEXT("lowest")),
    LINE("CountBy", TEXT("loca")),
    LINE("MaxPorts", NUMBER(0)),
    LINE("MaxPorts", NUMBER(15)),
    LINE("MaxPorts", NUMBER(32769)),
    LINE("MaxPorts", NUMBER(4294967312.0)), /* 16 in 32 bits */
    LINE("MaxPorts", NUMBER(-512)),
    LINE("MaxPorts", NUMBER(512.5)),
    LINE("MaxPorts", NUMBER(15.5)),
    LINE("MaxPorts", NUMBER(1e300)),
    LINE("MaxPorts", NUMBER(NAN)),
    LINE("MaxPorts", NUMBER(INFINITY)),
    LINE("MinBytes", NUMBER(-1)),
    LINE("MinBytes", NUMBER(0.5)),
    LINE("MinBytes", NUMBER(-0.5)),
    LINE("MinBytes", NUMBER(1e20)),
    LINE("MinBytes", NUMBER(NAN)),
    LINE("MinBytes", NUMBER(-NAN)),
    LINE("MinBytes", NUMBER(INFINITY)),
    LINE("MinBytes", NUMBER(-INFINITY)),
    LINE("MinBytes", NUMBER(9007199254740994.0)),  /* the next one after the largest */
    LINE("MinBytes", NUMBER(10000000000000000.0)), /* written with all its digits */
    LINE("TopPorts", NUMBER(-1)),
    LINE("TopPorts", NUMBER(32769)),
    LINE("TopPorts", NUMBER(1.5)),
    LINE("TopPorts", NUMBER(NAN)),
    LINE("IdleTimeout", NUMBER(0)),
    LINE("IdleTimeout", NUMBER(0.5)),
    LINE("IdleTimeout", NUMBER(-1)),
    LINE("IdleTimeout", NUMBER(315360001)),
    LINE("IdleTimeout", NUMBER(INFINITY)),
    LINE("Port", NUMBER(0)),
    LINE("Port", NUMBER(-1)),
    LINE("Port", NUMBER(65536)),
    LINE("Port", NUMBER(80.5)),
    LINE("Port", NUMBER(0.5)),
    LINE("Port", NUMBER(65535.5)),
    LINE("Port", NUMBER(4294967376.0)), /* 80 in 32 bits */
    LINE("Port", NUMBER(NAN)),
    LINE("Port", NUMBER(INFINITY)),
    LINE("Port", TEXT("")),
    LINE("Port", TEXT("0")),
    LINE("Port", TEXT("65536")),
    LINE("Port", TEXT("4294967376")),
    LINE("Port", TEXT("18446744073709551696")), /* 80 in 64 bits */
    LINE("Port", TEXT("-80")),
    LINE("Port", TEXT("80-")),
    LINE("Port", TEXT("80--81")),
    LINE("Port", TEXT("81-80")),
    LINE("Port", TEXT("0-5")),
    LINE("Port", TEXT("65530-65536")),
    LINE("Port", TEXT("80-81-82")),
    LINE("Port", TEXT("80 - 81")),
    LINE("Port", TEXT("80,443")),
    LINE("Port", TEXT(" 80")),
    LINE("Port", TEXT("80 ")),
    LINE("Port", TEXT("+80")),
    LINE("Port", TEXT("0x50")),
    LINE("Port", TEXT("80.0")),
    LINE("Port", TEXT("/80")),
    LINE("Port", TEXT("/")),
    LINE("Port", TEXT("tcp/")),
    LINE("Port", TEXT("tcp")),
    LINE("Port", TEXT("tcp/0")),
    LINE("Port", TEXT("tcp/udp/80")),
    LINE("Port", TEXT("tcp/80/")),
    LINE("Port", TEXT("80/tcp")),
    LINE("Port", TEXT("tc/80")),
    LINE("Port", TEXT("tcpx/80")),
    LINE("Port", TEXT("icmp/8")),
    LINE("Port", TEXT("no-such-service")),
    LINE("Port", TEXT("tcp/no-such-service")),
};

static void test_mistakes_of_one_option(void) {
    for (unsigned i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        refused_alone(&invalid[i], "not valid");
}

/* A refused value leaves the settings unchanged. */
static void test_settings_unchanged(void) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const struct line *culprit = NULL;
        unsigned changed = 0;

        for (unsigned i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
            struct settings settings;
            __u64 expected[FIELDS];

            if (strcmp(invalid[i].key, kinds[kind].key))
                continue;
            /* Other values than the defaults, to detect that those are restored. */
            defaults(&settings);
            settings.ingress = false;
            settings.count_by = COUNT_LOWER;
            settings.max_ports = 99;
            settings.min_bytes = 99;
            get_fields(&settings, expected);
            read_block(&settings, &invalid[i], 1);
            if (!same_fields(&settings, expected) || !selection_is_empty(settings.interfaces)) {
                culprit = &invalid[i];
                changed++;
            }
            config_free(&settings);
        }
        if (!is_u64(changed, 0, "%s, refused, leaves the settings unchanged", kinds[kind].key))
            diag("the last one changed by %s", values_text(culprit));
    }
}

/* The log has the C library's message about an invalid regular expression. */
static void test_reason(void) {
    static const struct line line = LINE("Interface", TEXT("/(/"));
    static const struct line empty = LINE("Interface", TEXT(""));
    struct selection *selection = selection_new();
    char reason[128] = "";

    selection_add(selection, "/(/", reason, sizeof(reason));
    selection_free(selection);
    refused(NULL, 0, false, &line, reason, "\"/(/\"", "an invalid expression, with the reason");
    refused(NULL, 0, false, &empty, "empty", "\"\"", "an empty Interface, with the reason");
}

static void test_unknown(void) {
    static const char *const keys[] = {"Interfaces", "Nonsense", "Max Ports", "", "Min"};
    struct line line = {.values = {NUMBER(1)}, .values_num = 1};
    char promise[128];

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        line.key = keys[i];
        snprintf(promise, sizeof(promise), "the unknown option \"%s\"", keys[i]);
        refused(NULL, 0, false, &line, "unknown option", "known options", promise);
    }
    line.key = "Nonsense";
    for (unsigned i = 0; i < KINDS; i++) {
        snprintf(promise, sizeof(promise), "an unknown option: %s is among the known ones",
                 kinds[i].key);
        refused(NULL, 0, false, &line, "unknown option", kinds[i].key, promise);
    }
}

/* Values that exceed the buffer of any message. */
static void test_long(void) {
    char text[3000];
    struct line line = {.key = "CountBy", .values = {TEXT(text)}, .values_num = 1};

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    refused(NULL, 0, false, &line, "\"xxxxxxxx", expected_for("CountBy"), "a very long value");
    line.values[1] = line.values[2] = line.values[0];
    line.values_num = 3;
    refused(NULL, 0, false, &line, "\"xxxxxxxx", expected_for("CountBy"), "three very long values");
    text[0] = text[sizeof(text) - 2] = '/';
    text[1] = '(';
    line.key = "Interface";
    line.values_num = 1;
    refused(NULL, 0, false, &line, "\"/(xxxxxx", expected_for("Interface"),
            "a very long invalid expression");
}

/* Without the closing quote, collectd's parser reads the following lines as part of the value. */
static void test_several_lines(void) {
    static const struct line line =
        LINE("Direction", TEXT("ingress\n  CountBy lower\n  Interface "));

    refused(NULL, 0, false, &line, "ingress", expected_for("Direction"),
            "a value of several lines");
}

/* Parsing stops at the first mistake: one line, not one per option. */
static void test_first_mistake_only(void) {
    static const struct line lines[] = {LINE("MinBytes", NUMBER(1)), LINE("MaxPorts", NUMBER(1)),
                                        LINE("Direction", TEXT("up")),
                                        LINE("CountBy", TEXT("lower"))};
    struct settings settings;

    defaults(&settings);
    ok(read_block(&settings, lines, 4) == -EINVAL && captured.number == 1 &&
           strstr(captured.line[0], "MaxPorts"),
       "of several mistakes the first is reported");
    ok(settings.min_bytes == 1 && settings.count_by == COUNT_LOCAL,
       "the options before it are applied, those after it are not");
    config_free(&settings);
}

int main(void) {
    test_defaults();
    test_empty_block();
    test_valid();
    test_interfaces();
    test_many();
    test_port();
    test_port_service();
    test_ports_combined();
    test_ports_max();
    test_depending();
    test_listening_needs_local();
    test_mistakes_of_every_option();
    test_mistakes_of_one_option();
    test_settings_unchanged();
    test_reason();
    test_unknown();
    test_long();
    test_several_lines();
    test_first_mistake_only();
    return tap_end();
}
