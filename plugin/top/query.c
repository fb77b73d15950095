/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "array.h"
#include "unixsock.h"

#define TIMEOUT     20 /* seconds for all of collectd's replies */
#define SOURCES_MAX 64 /* data sources of a type; types.db(5) has 12 at most */

/* The parts of an identifier, in one buffer. */
struct identifier {
    const char *host, *plugin, *interface, *type, *instance;
    char text[UNIXSOCK_LINE];
};

/* The identifiers to query, owned. */
struct names {
    char **name;
    unsigned number, capacity;
};

static void free_names(struct names *names) {
    for (unsigned i = 0; i < names->number; i++)
        free(names->name[i]);
    free(names->name);
}

/* An empty list selects everything. */
static bool is_selected(char *const *list, const char *name) {
    for (char *const *next = list; *next; next++)
        if (!strcmp(*next, name))
            return true;
    return !*list;
}

/* Ends the text at the separator. What is behind it, "" without one. */
static char *cut(char *text, char separator) {
    char *found = strchr(text, separator);

    if (!found)
        return text + strlen(text);
    *found = '\0';
    return found + 1;
}

/* HOST/PLUGIN[-INSTANCE]/TYPE[-INSTANCE], "Identifiers" in collectd-unixsock(5). */
static void parse_identifier(struct identifier *out, const char *text) {
    char *plugin, *type;

    snprintf(out->text, sizeof(out->text), "%s", text);
    out->host = out->text;
    out->plugin = plugin = cut(out->text, '/');
    out->type = type = cut(plugin, '/');
    out->interface = cut(plugin, '-');
    out->instance = cut(type, '-');
}

static bool is_wanted(const struct identifier *identifier, const struct options *options) {
    return !strcmp(identifier->plugin, "tc_portbytes") && top_type_is_known(identifier->type) &&
           is_selected(options->hosts, identifier->host) &&
           is_selected(options->interfaces, identifier->interface);
}

/* ---- collectd's replies ---- */

/* The first line of a reply is a status: the number of lines that follow, negative for an error. */
static int receive_status(struct unixsock *socket, long *status) {
    const char *line;
    char *end;
    int error = unixsock_receive(socket, &line);

    if (error)
        return error;
    errno = 0;
    *status = strtol(line, &end, 10);
    return errno || end == line ? -EPROTO : 0;
}

static int add_name(struct names *names, const char *line, const struct options *options) {
    const char *text = strchr(line, ' '); /* behind the time */
    struct identifier identifier = {0};
    char **name;

    if (!text)
        return 0;
    parse_identifier(&identifier, ++text);
    if (!is_wanted(&identifier, options))
        return 0;
    if (names->number == QUERY_MAX)
        return -E2BIG;
    name = array_grow(names->name, names->number, &names->capacity, sizeof(*name));
    if (!name)
        return -ENOMEM;
    names->name = name;
    name[names->number] = strdup(text);
    if (!name[names->number])
        return -ENOMEM;
    names->number++;
    return 0;
}

/*
 * Whoever may send values to collectd's network plugin chooses names, and collectd prints them as
 * they are: one with a newline is several lines, and the number of lines is wrong. So an invalid
 * command follows, which nobody can guess; collectd repeats it in its error message, and that ends
 * the list.
 */
static int list_names(struct unixsock *socket, const struct options *options, struct names *names) {
    char end[sizeof("tc_portbytes-top-0123456789abcdef")], command[64];
    unsigned long long nonce = 0;
    const char *line;
    long status = 0;
    int error;

    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
        return -errno;
    snprintf(end, sizeof(end), "tc_portbytes-top-%016llx", nonce);
    snprintf(command, sizeof(command), "LISTVAL\n%s\n", end);
    error = unixsock_send(socket, command);
    if (!error)
        error = receive_status(socket, &status);
    if (!error && status < 0)
        error = -EPROTO;
    while (!error && !(error = unixsock_receive(socket, &line)) && !strstr(line, end))
        error = add_name(names, line, options);
    return error;
}

/* False: the identifier is too long for a line of collectd's, and so for a command. */
static bool write_command(char command[UNIXSOCK_LINE], const char *name) {
    size_t used = (size_t)sprintf(command, "GETVAL \"");

    for (; *name && used < UNIXSOCK_LINE - 5; name++) {
        if (*name == '"' || *name == '\\')
            command[used++] = '\\';
        command[used++] = *name;
    }
    memcpy(command + used, "\"\n", 3);
    return !*name;
}

/* NAME=VALUE */
static int read_value(struct unixsock *socket, struct top_row *row, const char *type) {
    char source[UNIXSOCK_LINE], *value, *end;
    const char *line;
    double number;
    int error = unixsock_receive(socket, &line);

    if (error)
        return error;
    snprintf(source, sizeof(source), "%s", line);
    value = cut(source, '=');
    number = strtod(value, &end);
    if (end == value)
        return -EPROTO;
    top_row_set(row, type, source, number);
    return 0;
}

/* Adds one value list to the table. */
static int add_values(struct unixsock *socket, const char *name, struct top_table *table) {
    struct identifier identifier = {0};
    char command[UNIXSOCK_LINE];
    struct top_row *row;
    long number = 0;
    int error;

    if (!write_command(command, name))
        return 0;
    error = unixsock_send(socket, command);
    if (!error)
        error = receive_status(socket, &number);
    if (error || number <= 0) /* an error of collectd's: the series has ended since it was listed */
        return error;
    if (number > SOURCES_MAX)
        return -EPROTO;
    parse_identifier(&identifier, name);
    row = top_table_add(table, identifier.host, identifier.interface, identifier.instance);
    for (long i = 0; i < number && !error; i++)
        error = read_value(socket, row, identifier.type);
    return error;
}

static int read_table(struct unixsock *socket, const struct options *options,
                      struct top_table *table) {
    struct names names = {0};
    int error = list_names(socket, options, &names);

    if (!error && !top_table_init(table, names.number))
        error = -ENOMEM;
    for (unsigned i = 0; i < names.number && !error; i++)
        error = add_values(socket, names.name[i], table);
    free_names(&names);
    return error;
}

int query_collectd(struct top_table *table, const struct options *options) {
    struct top_table reply = {0};
    struct unixsock socket;
    int error = unixsock_open(&socket, options->socket_path, TIMEOUT);

    if (error)
        return error;
    error = read_table(&socket, options, &reply);
    unixsock_close(&socket);
    if (error) {
        top_table_free(&reply);
        return error;
    }
    top_table_finish(&reply);
    top_table_free(table);
    *table = reply;
    return 0;
}
