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

static const char usage[] =
    "usage: tc_portbytes-top [--once] [--json] [--interface NAME]... [--host NAME]... [-n NUMBER]\n"
    "                        [--interval SECONDS] [--socket PATH]\n"
    "\n"
    "Shows the busiest ports, as counted by the tc_portbytes plugin of a running collectd.\n"
    "collectd needs the line LoadPlugin unixsock.\n"
    "\n"
    "  --once              print one table and exit\n"
    "  --json              print each table as one line of JSON\n"
    "  --interface NAME    show only this interface; repeatable\n"
    "  --host NAME         show only this host, if collectd is a server; repeatable\n"
    "  -n NUMBER           show at most NUMBER ports per interface and sum up the others\n"
    "                      [what fits in the window; without a window: %d; JSON: all]\n"
    "  --interval SECONDS  time between two tables [%d]\n"
    "  --socket PATH       collectd's SocketFile [%s]\n"
    "  --help              print this text and exit\n";

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

static void append(char **list, char *name) {
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
                                          {"socket", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'H'},
                                          {0}};

    *options = (struct options){.interfaces = calloc(argc, sizeof(char *)),
                                .hosts = calloc(argc, sizeof(char *)),
                                .ports = PORTS_UNLIMITED,
                                .interval = DEFAULT_INTERVAL,
                                .socket_path = DEFAULT_SOCKET};
    if (!options->interfaces || !options->hosts)
        err(1, NULL);
    for (int option; (option = getopt_long(argc, argv, "n:", known, NULL)) >= 0;)
        switch (option) {
        case 'o':
            options->once = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'i':
            append(options->interfaces, optarg);
            break;
        case 'h':
            append(options->hosts, optarg);
            break;
        case 'n':
            options->ports = parse_number("-n", optarg, 0, PORTS_MAX);
            break;
        case 't':
            options->interval = parse_number("--interval", optarg, 1, INTERVAL_MAX);
            break;
        case 's':
            options->socket_path = optarg;
            break;
        case 'H':
            printf(usage, DEFAULT_PORTS, DEFAULT_INTERVAL, DEFAULT_SOCKET);
            exit(0);
        default: /* getopt_long has printed what is wrong */
            exit(2);
        }
    if (optind < argc)
        errx(2, "unexpected argument \"%s\"; see --help", argv[optind]);
    if (strlen(options->socket_path) > SOCKET_PATH_MAX)
        errx(2, "--socket: the path \"%s\" exceeds %zu bytes", options->socket_path,
             SOCKET_PATH_MAX);
}
