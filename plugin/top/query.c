/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <collectd/client.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define TIMEOUT 30 /* seconds for all of collectd's replies */

/* An empty list selects everything. */
static bool is_selected(char *const *list, const char *name) {
    for (char *const *next = list; *next; next++)
        if (!strcmp(*next, name))
            return true;
    return !*list;
}

/* Adds one value list to the table. False: the connection is unusable. */
static bool add_values(lcc_connection_t *connection, lcc_identifier_t *name,
                       struct top_table *table) {
    struct top_row *row;
    char **sources;
    gauge_t *values;
    size_t number;

    if (lcc_getval(connection, name, &number, &values, &sources) != 0)
        /* Reported by collectd itself: the series has ended since it was listed. */
        return !strncmp(lcc_strerror(connection), "Server error", strlen("Server error"));
    row = top_table_add(table, name->host, name->plugin_instance, name->type_instance);
    for (size_t i = 0; i < number; i++) {
        top_row_set(row, name->type, sources[i], values[i]);
        free(sources[i]);
    }
    free(sources);
    free(values);
    return true;
}

static int read_table(lcc_connection_t *connection, const struct options *options,
                      struct top_table *table) {
    lcc_identifier_t *names = NULL;
    size_t number = 0;
    int error = lcc_listval(connection, &names, &number) != 0 ? -EPROTO : 0;

    if (!error && !top_table_init(table, number))
        error = -ENOMEM;
    for (size_t i = 0; i < number && !error; i++)
        if (!strcmp(names[i].plugin, "tc_portbytes") &&
            is_selected(options->hosts, names[i].host) &&
            is_selected(options->interfaces, names[i].plugin_instance) &&
            !add_values(connection, &names[i], table))
            error = -EPROTO;
    free(names);
    return error;
}

static void interrupt(int number) {
    (void)number;
}

int query_collectd(struct top_table *table, const struct options *options) {
    /* libcollectdclient has no timeout: SIGALRM interrupts its read(). Once more each second, in
       case the first signal came just before a read(). */
    static const struct itimerval timeout = {{.tv_sec = 1}, {.tv_sec = TIMEOUT}}, off;
    const struct sigaction action = {.sa_handler = interrupt}; /* no SA_RESTART */
    struct top_table reply = {0};
    struct itimerval left;
    lcc_connection_t *connection = NULL;
    char address[sizeof("unix:") + SOCKET_PATH_MAX];
    int error;

    snprintf(address, sizeof(address), "unix:%s", options->socket_path);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timeout, NULL);
    error =
        lcc_connect(address, &connection) != 0 ? -errno : read_table(connection, options, &reply);
    setitimer(ITIMER_REAL, &off, &left);
    lcc_disconnect(connection);
    if (error) {
        top_table_free(&reply);
        return left.it_value.tv_sec <= 1 ? -ETIMEDOUT : error; /* the timer has expired */
    }
    top_table_sort(&reply);
    top_table_free(table);
    *table = reply;
    return 0;
}
