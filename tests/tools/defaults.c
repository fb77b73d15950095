/* SPDX-License-Identifier: MIT */
/*
 * Prints the default of each option, one "Option value" per line, for the comparison with the
 * documentation. Defaults that depend on other options: those without a block.
 */
#include <stdarg.h>
#include <stdio.h>

#include "config.h"
#include "log.h"

void pb_log(int priority, const char *format, ...) {
    va_list arguments;

    (void)priority;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

static const char *word(bool value) {
    return value ? "true" : "false";
}

int main(void) {
    static const char *const count_by[] = {"local", "remote", "destination", "source", "lower"};
    struct settings settings;

    if (config_defaults(&settings))
        return 1;
    printf("Interface all\n");
    printf("IgnoreSelected %s\n", word(!selection_wants(settings.interfaces, "x", NULL)));
    printf("Direction %s\n", settings.ingress && settings.egress ? "both" : "one");
    printf("CountBy %s\n", count_by[settings.count_by]);
    printf("Port %s\n", settings.ports_number ? "some" : "none");
    printf("Group %s\n", settings.groups.number ? "some" : "none");
    printf("DynamicPorts %s\n", word(settings.dynamic_ports));
    printf("ListeningPorts %s\n", word(settings.listening_ports));
    printf("FoldEphemeral %s\n", word(settings.fold_ephemeral));
    printf("MaxPorts %u\n", settings.max_ports);
    printf("MinBytes %llu\n", settings.min_bytes);
    printf("TopPorts %u\n", settings.top_ports);
    printf("IdleTimeout %u\n", settings.idle_timeout);
    printf("Persist %s\n", word(settings.persist));
    printf("StandardTypes %s\n", word(settings.standard_types));
    printf("NotifyNewPorts %s\n", word(settings.notify_new_ports));
    config_free(&settings);
    return 0;
}
