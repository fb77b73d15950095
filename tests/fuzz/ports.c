/* SPDX-License-Identifier: MIT */
/*
 * The value of Port, as text or as one or two numbers. An accepted value selects the ports that an
 * independent parser finds in it. A refused one selects nothing and is logged in one line.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <collectd/liboconfig/oconfig.h>
#include <errno.h>
#include <netdb.h>
#include <strings.h>

#include "config.h"
#include "tc_portbytes.h"

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

/* The independent parser: a port number, 0 if there is none. */
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

/* The number of keys that the text selects and the first of them; 0: it must be refused. */
static unsigned keys_of(const char *text, unsigned *key) {
    static const char *const names[] = {"tcp/", "udp/", "sctp/"};
    unsigned first, last, transports = 2;
    const char *rest = text, *dash;

    *key = 0;
    for (unsigned t = 0; t < 3; t++) {
        if (!strncasecmp(text, names[t], strlen(names[t])) && rest == text) {
            rest += strlen(names[t]);
            *key = t * 65536;
            transports = 1;
        }
    }
    if (rest == text && strchr(text, '/'))
        return 0;
    if (*rest < '0' || *rest > '9') {
        const char *protocol = transports == 2 ? NULL : *key == 131072 ? "sctp" : "tcp";

        if (!getservbyname(rest, protocol))
            return 0;
        *key += 443;
        return transports;
    }
    dash = strchr(rest, '-');
    first = port_of(rest, dash ? (size_t)(dash - rest) : strlen(rest));
    last = dash ? port_of(dash + 1, strlen(dash + 1)) : first;
    if (!first || last < first)
        return 0;
    *key += first;
    return transports * (last - first + 1);
}

static int read_port(struct settings *settings, oconfig_value_t *values, int number) {
    oconfig_item_t item = {.key = (char *)"Port", .values = values, .values_num = number};
    oconfig_item_t block = {.key = (char *)"Plugin", .children = &item, .children_num = 1};
    int error;

    must(config_defaults(settings) == 0);
    fuzz_lines = 0;
    error = config_block(settings, &block);
    must(error == 0 || error == -EINVAL);
    must(fuzz_lines == (error ? 1 : 0));
    must(settings->ports_number <= 4096);
    for (unsigned i = 0; i < settings->ports_number; i++) {
        must(settings->ports[i] < PB_PORT_KEYS && settings->ports[i] % PB_PORTS);
        must(i == 0 || settings->ports[i] > settings->ports[i - 1]);
    }
    return error;
}

static void numbers(const uint8_t *data, size_t size) {
    oconfig_value_t values[2] = {{.type = OCONFIG_TYPE_NUMBER}, {.type = OCONFIG_TYPE_NUMBER}};
    int number = size >= 16 ? 2 : 1;
    double first, last;
    struct settings settings;
    int error;

    for (int i = 0; i < number; i++) {
        double value = 0;

        memcpy(&value, data + 8 * i, size - 8 * i < 8 ? size - 8 * i : 8);
        values[i].value.number = value;
    }
    error = read_port(&settings, values, number);
    first = values[0].value.number;
    last = number == 2 ? -values[1].value.number : first;
    if (error)
        /* Refused: not two port numbers in ascending order, or too many. */
        must(!(first >= 1 && first <= last && last <= 65535 && first == (unsigned)first &&
               last == (unsigned)last && 2 * (last - first + 1) <= 4096));
    else
        must(settings.ports_number == 2 * (unsigned)(last - first + 1) &&
             settings.ports[0] == (unsigned)first);
    config_free(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    oconfig_value_t value = {.type = OCONFIG_TYPE_STRING};
    struct settings settings;
    struct input input = {data, size};
    unsigned key, number;
    char *text;
    int error;

    if (size && data[0] == 0) {
        numbers(data + 1, size - 1);
        return 0;
    }
    text = take_text(&input, size);
    value.value.string = text;
    error = read_port(&settings, &value, 1);
    number = keys_of(text, &key);
    must((error == 0) == (number > 0 && number <= 4096));
    if (!error)
        must(settings.ports_number == number && settings.ports[0] == key);
    config_free(&settings);
    free(text);
    return 0;
}
