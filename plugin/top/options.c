/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where Debian's and Fedora's unixsock plugin puts it: LOCALSTATEDIR/run/collectd-unixsock. */
#define DEFAULT_SOCKET   "/var/run/collectd-unixsock"
#define DEFAULT_INTERVAL 10 /* collectd's default; the protocol does not tell that of a series */
#define PORTS_MAX        1000000
#define INTERVAL_MAX     86400
#define DEFAULT_NEW      5 /* minutes */
#define NEW_MAX          1440

static const char usage[] =
    "usage: tc_portbytes-top [--once] [--json] [--interface NAME]... [--host NAME]... [-n NUMBER]\n"
    "                        [--sort ORDER] [--watch-new[=MINUTES]] [--interval SECONDS]\n"
    "                        [--socket PATH]\n"
    "\n"
    "Shows the busiest ports, as counted by the tc_portbytes plugin of a running collectd.\n"
    "collectd needs the line LoadPlugin unixsock.\n"
    "\n"
    "  --once                 print one table and exit\n"
    "  --json                 print each table as one line of JSON\n"
    "  --interface NAME       show only this interface; repeatable\n"
    "  --host NAME            show only this host, if collectd is a server; repeatable\n"
    "  -n NUMBER              show at most NUMBER ports per interface and sum up the others\n"
    "                         [what fits in the window; without a window: %d; JSON: all]\n"
    "  --sort ORDER           total, in, out (bytes), packets or name [total]\n"
    "  --watch-new[=MINUTES]  mark with + what was not in the first table, for MINUTES [%d]\n"
    "  --interval SECONDS     time between two tables [%d]\n"
    "  --socket PATH          collectd's SocketFile [%s]\n"
    "  --help                 print this text and exit\n"
    "\n"
    "Keys: t, i, o, p and n sort by total, in, out, packets and name; q quits.\n";

static unsigned long parse_number(const char *option, const char *text, unsigned long min,
                                  unsigned long max) {
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || number < min || number > max)
        errx(2, "%s: invalid value \"%s\"; expected an integer from %lu to %lu", option, text, min,
             max);
    return number;
}

static enum top_sort parse_sort(const char *text) {
    for (unsigned sort = 0; sort < TOP_SORTS; sort++)
        if (!strcmp(text, top_sort_names[sort]))
            return sort;
    errx(2, "--sort: invalid value \"%s\"; expected total, in, out, packets or name", text);
}

static void check_length(const char *option, const char *text, const char *kind, size_t max) {
    if (!*text || strlen(text) > max)
        errx(2, "%s: invalid value \"%s\"; expected %s of 1 to %zu bytes", option, text, kind, max);
}

static void append_name(char **list, const char *option, char *name) {
    check_length(option, name, "a name", TOP_NAME - 1);
    while (*list)
        list++;
    *list = name;
}

void options_parse(struct options *options, int argc, char **argv) {
    static const struct option known[] = {{"once", no_argument, NULL, 'o'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"interface", required_argument, NULL, 'i'},
                                          {"host", required_argument, NULL, 'h'},
                                          {"interval", required_argument, NULL, 't'},
                                          {"sort", required_argument, NULL, 'S'},
                                          {"watch-new", optional_argument, NULL, 'w'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'H'},
                                          {0}};
    static char absent[] = ""; /* of an option without a value */

    *options = (struct options){.interfaces = calloc(argc, sizeof(char *)),
                                .hosts = calloc(argc, sizeof(char *)),
                                .ports = PORTS_UNLIMITED,
                                .interval = DEFAULT_INTERVAL,
                                .socket_path = DEFAULT_SOCKET};
    if (!options->interfaces || !options->hosts)
        err(1, NULL);
    for (int option; (option = getopt_long(argc, argv, "n:", known, NULL)) >= 0;) {
        char *value = optarg ? optarg : absent;

        switch (option) {
        case 'o':
            options->once = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'i':
            append_name(options->interfaces, "--interface", value);
            break;
        case 'h':
            append_name(options->hosts, "--host", value);
            break;
        case 'n':
            options->ports = parse_number("-n", value, 0, PORTS_MAX);
            break;
        case 't':
            options->interval = parse_number("--interval", value, 1, INTERVAL_MAX);
            break;
        case 'S':
            options->sort = parse_sort(value);
            break;
        case 'w':
            options->new_minutes =
                value != absent ? parse_number("--watch-new", value, 1, NEW_MAX) : DEFAULT_NEW;
            break;
        case 's':
            check_length("--socket", value, "a path", SOCKET_PATH_MAX);
            options->socket_path = value;
            break;
        case 'H':
            printf(usage, DEFAULT_PORTS, DEFAULT_NEW, DEFAULT_INTERVAL, DEFAULT_SOCKET);
            exit(0);
        default: /* getopt_long has printed what is wrong */
            exit(2);
        }
    }
    if (optind < argc)
        errx(2, "unexpected argument \"%s\"; see --help", argv[optind]);
    if (options->once && options->new_minutes)
        errx(2, "--watch-new: not with --once, which has no table to compare with");
}
