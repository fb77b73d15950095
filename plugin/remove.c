/* SPDX-License-Identifier: MIT */
/*
 * tc_portbytes-remove: removes what this plugin left in the network namespace and no running
 * collectd uses: filters of clsact, and what Persist pinned. Packages run it when they are removed,
 * and an operator may. Prints a line for each thing that it removed, or couldn't.
 */
#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clsact.h"
#include "escape.h"
#include "libbpf_log.h"
#include "log.h"
#include "netlink.h"
#include "pins.h"

static void print(FILE *to, const char *format, va_list arguments) {
    char line[1024], escaped[1024];

    vsnprintf(line, sizeof(line), format, arguments);
    escape(escaped, sizeof(escaped), line);
    fprintf(to, "%s\n", escaped);
}

void pb_log(int priority, const char *format, ...) {
    va_list arguments;

    (void)priority;
    va_start(arguments, format);
    print(stderr, format, arguments);
    va_end(arguments);
}

__attribute__((format(printf, 1, 2))) static void report(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    print(stdout, format, arguments);
    va_end(arguments);
}

/* Where filters are being removed. */
struct place {
    const char *interface;
    bool failed;
};

static void report_filter(void *context, enum direction direction, __u32 program, int error) {
    struct place *place = context;

    place->failed = place->failed || error;
    if (error)
        pb_log(LOG_ERR, "%s: cannot remove the filter of %s (program %u): %s.", place->interface,
               direction_names[direction], program, strerror(-error));
    else
        report("%s: removed the filter of %s (program %u).", place->interface,
               direction_names[direction], program);
}

static bool remove_filters(void) {
    struct netlink *netlink;
    struct netlink_link *links = NULL;
    unsigned number = 0;
    bool failed = false;
    int error = netlink_open(&netlink);

    if (!error) {
        error = netlink_links(netlink, &links, &number);
        netlink_close(netlink);
    }
    if (error) {
        pb_log(LOG_ERR, "cannot list interfaces: %s.", strerror(-error));
        return false;
    }
    log_capture_begin();
    for (unsigned n = 0; n < number; n++) {
        struct place place = {.interface = links[n].name};

        error = clsact_remove_stale(links[n].index, report_filter, &place);
        if (error)
            pb_log(LOG_ERR, "%s: cannot list filters: %s.", links[n].name, strerror(-error));
        failed = failed || error || place.failed;
    }
    log_capture_end("", -1);
    netlink_links_free(links, number);
    return !failed;
}

static bool remove_pins(void) {
    int *interfaces = NULL, error;
    unsigned number = 0;
    struct pins *pins;

    error = pins_open(&pins, false);
    if (error == -EBUSY) {
        report("A running collectd has Persist true: what it pinned was left alone.");
        return true;
    }
    if (!error && pins)
        error = pins_list(pins, &interfaces, &number);
    if (error) {
        pb_log(LOG_ERR, "cannot list what is pinned: %s.", strerror(-error));
        pins_close(pins);
        return false;
    }
    for (unsigned n = 0; n < number; n++) {
        char name[IF_NAMESIZE] = "";

        pins_remove_all(pins, interfaces[n]);
        report("interface %d%s%s: removed what was pinned.", interfaces[n],
               if_indextoname((unsigned)interfaces[n], name) ? ", " : "", name);
    }
    free(interfaces);
    if (pins)
        pins_sweep(pins, NULL, NULL); /* what all shared, and warns of the rest */
    pins_close(pins);
    return true;
}

int main(int argc, char **argv) {
    bool filters;

    if (argc > 1) {
        fprintf(stderr,
                "usage: %s\nRemoves what the plugin tc_portbytes left in this network namespace "
                "and no running collectd uses.\n",
                argv[0]);
        return 2;
    }
    filters = remove_filters();
    return remove_pins() && filters ? EXIT_SUCCESS : EXIT_FAILURE;
}
