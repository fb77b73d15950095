/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <collectd/liboconfig/oconfig.h>

#include "log.h"
#include "tc_portbytes.h"

#define MAX_PORTS_LEAST 16
#define PORTS_MOST      4096
#define TIMEOUT_MOST    (10 * 365 * 86400)
#define MIN_BYTES_MOST  (1ull << 53) /* whole numbers up to here survive collectd's double */

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

/* The values of an option as the operator wrote them, for messages. */
static const char *written(const oconfig_item_t *item, char *text, size_t size) {
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
    for (char *c = text; *c; c++) /* one option, one line */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    return item->values_num ? text : "nothing";
}

static int refuse(const oconfig_item_t *item, const char *allowed) {
    char text[256];

    pb_log(LOG_ERR, "option %s: %s is not allowed; allowed: %s.", item->key,
           written(item, text, sizeof(text)), allowed);
    return -EINVAL;
}

/* The only value if it is of this type, else NULL. */
static const oconfig_value_t *only_value(const oconfig_item_t *item, int type) {
    if (item->values_num != 1 || item->children_num != 0 || item->values[0].type != type)
        return NULL;
    return &item->values[0];
}

static int get_boolean(const oconfig_item_t *item, bool *out) {
    const oconfig_value_t *value = only_value(item, OCONFIG_TYPE_BOOLEAN);

    if (!value)
        return refuse(item, "true or false");
    *out = value->value.boolean;
    return 0;
}

static int get_number(const oconfig_item_t *item, __u64 least, __u64 most, __u64 *out) {
    const oconfig_value_t *value = only_value(item, OCONFIG_TYPE_NUMBER);
    char allowed[80];

    if (value && value->value.number >= least && value->value.number <= most &&
        value->value.number == (double)(__u64)value->value.number) {
        *out = value->value.number;
        return 0;
    }
    snprintf(allowed, sizeof(allowed), "a whole number from %llu to %llu", least, most);
    return refuse(item, allowed);
}

/* One of several words, upper or lower case. */
static int get_word(const oconfig_item_t *item, const char *const *words, int number, int *out) {
    const oconfig_value_t *value = only_value(item, OCONFIG_TYPE_STRING);
    char allowed[128];
    size_t used = 0;

    for (int i = 0; value && i < number; i++) {
        if (!strcasecmp(value->value.string, words[i])) {
            *out = i;
            return 0;
        }
    }
    for (int i = 0; i < number && used < sizeof(allowed); i++)
        used += snprintf(allowed + used, sizeof(allowed) - used, "%s\"%s\"",
                         i == 0            ? ""
                         : i == number - 1 ? " or "
                                           : ", ",
                         words[i]);
    return refuse(item, allowed);
}

static int on_interface(struct settings *settings, const oconfig_item_t *item) {
    const oconfig_value_t *value = only_value(item, OCONFIG_TYPE_STRING);
    char reason[128], allowed[256];
    int error;

    if (!value)
        return refuse(item, "the name of one interface, or a \"/regular expression/\"");
    error = selection_add(settings->interfaces, value->value.string, reason, sizeof(reason));
    if (error != -EINVAL)
        return error;
    snprintf(allowed, sizeof(allowed),
             "the name of one interface, or a \"/regular expression/\" (this one: %s)", reason);
    return refuse(item, allowed);
}

static int on_ignore_selected(struct settings *settings, const oconfig_item_t *item) {
    bool ignore = false;
    int error = get_boolean(item, &ignore);

    if (!error)
        selection_invert(settings->interfaces, ignore);
    return error;
}

static int on_direction(struct settings *settings, const oconfig_item_t *item) {
    static const char *const words[] = {"both", "ingress", "egress"};
    int word = 0, error = get_word(item, words, 3, &word);

    if (error)
        return error;
    settings->ingress = word != 2;
    settings->egress = word != 1;
    return 0;
}

static int on_count_by(struct settings *settings, const oconfig_item_t *item) {
    static const char *const words[] = {/* in the order of enum count_by */
                                        "local", "remote", "destination", "source", "lower"};
    int word = 0, error = get_word(item, words, 5, &word);

    if (!error)
        settings->count_by = (enum count_by)word;
    return error;
}

static int on_max_ports(struct settings *settings, const oconfig_item_t *item) {
    __u64 number = 0;
    int error = get_number(item, MAX_PORTS_LEAST, PB_DYNAMIC_MAX, &number);

    if (!error)
        settings->max_ports = (__u32)number;
    return error;
}

static int on_fold_ephemeral(struct settings *settings, const oconfig_item_t *item) {
    return get_boolean(item, &settings->fold_ephemeral);
}

static int on_min_bytes(struct settings *settings, const oconfig_item_t *item) {
    return get_number(item, 0, MIN_BYTES_MOST, &settings->min_bytes);
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
    int error = get_number(item, 1, TIMEOUT_MOST, &number);

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

/* A decimal port number at *text, which is moved behind it. -1: none. */
static long port_number(const char **text) {
    char *end;
    long port;

    if (!isdigit((unsigned char)**text))
        return -1;
    port = strtol(*text, &end, 10);
    *text = end;
    return port >= 1 && port < (long)PB_PORTS ? port : -1;
}

/* "443", "8000-8999" or a service's name. False: it is none of them. */
static bool port_range(const char *text, const char *transport, __u32 *first, __u32 *last) {
    long from, to;

    if (!isdigit((unsigned char)*text)) {
        struct servent *service = getservbyname(text, transport);

        if (!service)
            return false;
        *first = *last = ntohs(service->s_port);
        return true;
    }
    from = to = port_number(&text);
    if (from > 0 && *text == '-') {
        text++;
        to = port_number(&text);
    }
    if (*text || from < 0 || to < from)
        return false;
    *first = from;
    *last = to;
    return true;
}

/* -E2BIG: more than PORTS_MOST. */
static int select_port(struct settings *settings, __u32 key) {
    __u32 *ports;

    for (__u32 i = 0; i < settings->ports_number; i++)
        if (settings->ports[i] == key)
            return 0;
    if (settings->ports_number == PORTS_MOST)
        return -E2BIG;
    if (!settings->ports) {
        ports = calloc(PORTS_MOST, sizeof(*ports));
        if (!ports)
            return -ENOMEM;
        settings->ports = ports;
    }
    settings->ports[settings->ports_number++] = key;
    return 0;
}

/* 8000-8999 without quotes: to collectd's parser two numbers, 8000 and -8999. */
static bool bare_range(const oconfig_item_t *item, __u32 *first, __u32 *last) {
    double from, to;

    if (item->values_num != 2 || item->children_num != 0 ||
        item->values[0].type != OCONFIG_TYPE_NUMBER || item->values[1].type != OCONFIG_TYPE_NUMBER)
        return false;
    from = item->values[0].value.number;
    to = -item->values[1].value.number;
    if (!(from >= 1 && from <= to && to < PB_PORTS) || from != floor(from) || to != floor(to))
        return false;
    *first = from;
    *last = to;
    return true;
}

static int on_port(struct settings *settings, const oconfig_item_t *item) {
    static const char allowed[] = "a port from 1 to 65535, a range as \"8000-8999\" or the name of "
                                  "a service, each with \"tcp/\", \"udp/\" or \"sctp/\" before it "
                                  "or not";
    static const char *const transports[PB_TRANSPORTS] = {"tcp", "udp", "sctp"};
    const oconfig_value_t *number = only_value(item, OCONFIG_TYPE_NUMBER);
    const oconfig_value_t *text = only_value(item, OCONFIG_TYPE_STRING);
    bool wanted[PB_TRANSPORTS] = {true, true, false}; /* without a transport: TCP and UDP */
    const char *transport = NULL;
    __u32 first = 0, last = 0;

    if (number && number->value.number >= 1 && number->value.number < PB_PORTS &&
        number->value.number == floor(number->value.number)) {
        first = last = number->value.number;
    } else if (text) {
        const char *ports = strchr(text->value.string, '/');

        ports = ports ? ports + 1 : text->value.string;
        for (int t = 0; t < PB_TRANSPORTS && ports != text->value.string; t++) {
            size_t length = strlen(transports[t]);

            wanted[t] = ports - text->value.string == (ptrdiff_t)length + 1 &&
                        !strncasecmp(text->value.string, transports[t], length);
            if (wanted[t])
                transport = transports[t];
        }
        if ((ports != text->value.string && !transport) ||
            !port_range(ports, transport, &first, &last))
            return refuse(item, allowed);
    } else if (!bare_range(item, &first, &last)) {
        return refuse(item, allowed);
    }

    for (int t = 0; t < PB_TRANSPORTS; t++) {
        for (__u32 port = first; wanted[t] && port <= last; port++) {
            int error = select_port(settings, PB_KEY(t, port));

            if (error == -E2BIG)
                return refuse(item, "4096 ports in all, counted once for each transport");
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

/* Whether an option with this function was given. */
static bool given(const struct settings *settings,
                  int (*on)(struct settings *settings, const oconfig_item_t *item)) {
    for (unsigned i = 0; i < OPTIONS; i++)
        if (options[i].on == on)
            return settings->given & (1u << i);
    return false;
}

static int on_option(struct settings *settings, const oconfig_item_t *item) {
    for (unsigned i = 0; i < OPTIONS; i++) {
        if (strcasecmp(item->key, options[i].name) != 0)
            continue;
        if (settings->given & (1u << i) && !options[i].repeatable) {
            char text[256];

            pb_log(LOG_ERR, "option %s: given twice, the second time with %s; allowed: once.",
                   options[i].name, written(item, text, sizeof(text)));
            return -EINVAL;
        }
        settings->given |= 1u << i;
        return options[i].on(settings, item);
    }

    char names[256];
    size_t used = 0;

    for (unsigned i = 0; i < OPTIONS && used < sizeof(names); i++)
        used +=
            snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", options[i].name);
    pb_log(LOG_ERR, "option %s: there is no such option; allowed: %s.", item->key, names);
    return -EINVAL;
}

int config_block(struct settings *settings, const oconfig_item_t *block) {
    for (int i = 0; i < block->children_num; i++) {
        int error = on_option(settings, &block->children[i]);

        if (error)
            return error;
    }

    /* What depends on other options. */
    if (given(settings, on_listening_ports)) {
        if (settings->listening_ports && settings->count_by != COUNT_LOCAL) {
            pb_log(LOG_ERR, "option ListeningPorts: true is not allowed with this CountBy: a port "
                            "listens here only if it is the local one; allowed: false, or "
                            "CountBy \"local\".");
            return -EINVAL;
        }
    } else {
        settings->listening_ports = !settings->ports_number && settings->count_by == COUNT_LOCAL;
    }
    if (!given(settings, on_dynamic_ports))
        settings->dynamic_ports = !settings->ports_number;
    return 0;
}
