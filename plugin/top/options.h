/* SPDX-License-Identifier: MIT */
/* The command line of tc_portbytes-top. */
#ifndef PB_TOP_OPTIONS_H
#define PB_TOP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "table.h"

/* Bytes without the terminating NUL. */
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

#define DEFAULT_PORTS   10       /* per interface, where no window size limits them */
#define PORTS_UNLIMITED SIZE_MAX /* -n was not given */

/* Strings point into argv. */
struct options {
    bool once, json;
    char **interfaces, **hosts; /* terminated by NULL; empty: all */
    size_t ports;               /* of an interface, or PORTS_UNLIMITED */
    unsigned interval;          /* seconds */
    enum top_sort sort;
    unsigned new_minutes;    /* --watch-new; 0: it was not given */
    const char *socket_path; /* at most SOCKET_PATH_MAX bytes */
};

/*
 * Exits on --help (0), on an invalid option after one line on standard error (2), and if there is
 * no memory (1). The two lists are allocated and never freed.
 */
void options_parse(struct options *options, int argc, char **argv);

#endif
