/* SPDX-License-Identifier: MIT */
/*
 * What answers tc_portbytes-top on collectd's socket: any bytes, in pieces of any size, with an end
 * anywhere. Whatever they are, the text is printable ASCII within the window and the JSON is one
 * line of printable ASCII with its brackets in pairs.
 *
 * A byte 1 in the input stands for what ends the list of names, which nobody can guess.
 */
#include "fuzz.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "top/print.h"
#include "top/query.h"
#include "top/seen.h"

/* Put in place of libc's. */
int __wrap_socket(int domain, int type, int protocol);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_close(int fd);
int __wrap_poll(struct pollfd *fds, nfds_t number, int timeout);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
struct servent *__wrap_getservbyport(int port, const char *transport);

#define FD 1000

static struct input answer;
static unsigned piece; /* so many bytes are received at a time, at most */
static char end_of_list[128];
static const char *ending; /* of it, what is still to be received */
static unsigned commands;
static time_t seconds;

int __wrap_socket(int domain, int type, int protocol) {
    (void)type, (void)protocol;
    must(domain == AF_UNIX);
    return FD;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    (void)level, (void)name, (void)value, (void)size;
    must(fd == FD);
    return 0;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
    must(fd == FD && address->sa_family == AF_UNIX && size);
    return 0;
}

int __wrap_close(int fd) {
    must(fd == FD);
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t number, int timeout) {
    must(number == 1 && fds->fd == FD && timeout > 0);
    return 1;
}

/* Each look at the clock takes a while: it ends in time, however slow the answer is. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    static unsigned looks;

    (void)clock;
    if (++looks % 100 == 0)
        seconds++;
    *now = (struct timespec){.tv_sec = seconds};
    return 0;
}

struct servent *__wrap_getservbyport(int port, const char *transport) {
    static struct servent service = {.s_name = "a\033[2Jb"};

    (void)port, (void)transport;
    return &service;
}

/* Each is one line, or two, of a length that collectd reads as one. */
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags) {
    char text[2048];
    unsigned lines = 0;

    must(fd == FD && size > 0 && size < 1024 && flags == (MSG_DONTWAIT | MSG_NOSIGNAL));
    memcpy(text, data, size);
    text[size] = 0;
    must(strlen(text) == size && text[size - 1] == '\n');
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    if (commands++ == 0) {
        char nonce[64];

        must(lines == 2 && sscanf(text, "LISTVAL\n%63s\n", nonce) == 1 && strlen(nonce) > 16);
        snprintf(end_of_list, sizeof(end_of_list), "-1 Unknown command: %s\n", nonce);
    } else {
        must(lines == 1 && !strncmp(text, "GETVAL \"", 8) && text[size - 2] == '"');
    }
    return (ssize_t)size;
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags) {
    size_t length = 0;
    char *to = data;

    must(fd == FD && size > 0 && flags == MSG_DONTWAIT);
    while (length < size && length < piece && (answer.left || *ending)) {
        if (*ending) {
            to[length++] = *ending++;
            continue;
        }
        to[length] = (char)take(&answer);
        if (to[length] == 1)
            ending = end_of_list;
        else
            length++;
    }
    return (ssize_t)length;
}

static void check_text(const char *text, size_t size, const struct top_view *view) {
    size_t columns = 0, lines = 0;

    for (size_t i = 0; i < size; i++) {
        must(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
        columns = text[i] == '\n' ? 0 : columns + 1;
        lines += text[i] == '\n';
        must(columns <= view->columns);
    }
    must(!size || text[size - 1] == '\n');
    must(!view->lines || view->lines < 5 || lines <= view->lines + 1);
}

static void check_json(const char *text, size_t size) {
    char open[16];
    unsigned depth = 0;
    bool quoted = false;

    must(size && text[size - 1] == '\n');
    for (size_t i = 0; i < size - 1; i++) {
        must(text[i] >= ' ' && text[i] <= '~');
        if (text[i] == '"') {
            quoted = !quoted;
        } else if (quoted) {
            i += text[i] == '\\';
        } else if (text[i] == '{' || text[i] == '[') {
            must(depth < sizeof(open));
            open[depth++] = text[i];
        } else if (text[i] == '}' || text[i] == ']') {
            must(depth-- && open[depth] == (text[i] == '}' ? '{' : '['));
        }
    }
    must(!depth && !quoted);
}

static void print(const struct top_table *table, struct top_view view) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    must(to);
    top_print_text(to, table, &view);
    fclose(to);
    check_text(text, size, &view);
    free(text);
    to = open_memstream(&text, &size);
    must(to);
    top_print_json(to, table, 1, &view);
    fclose(to);
    check_json(text, size);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *none[] = {NULL};
    const struct options options = {.interfaces = none, .hosts = none, .socket_path = "/socket"};
    struct top_table table = {0}, before = {0};
    enum top_sort sort;
    struct top_view view;
    struct seen seen = {0};
    int error;

    answer = (struct input){data, size};
    piece = take(&answer) + 1;
    view = (struct top_view){.columns = 1 + take(&answer), .lines = take(&answer) % 64};
    view.ports = take(&answer);
    view.marks_new = view.ports % 2;
    sort = view.ports / 2 % TOP_SORTS;
    ending = "";
    commands = 0;
    seconds = 0;
    error = query_collectd(&table, &options);
    must(error <= 0 && seconds <= 30);
    if (error) {
        must(!memcmp(&table, &before, sizeof(table)));
        return 0;
    }
    if (view.marks_new)
        must(!seen_update(&seen, &table, 1, 300) && !seen_update(&seen, &table, 2, 300));
    top_table_sort(&table, sort);
    print(&table, view);
    seen_free(&seen);
    top_table_free(&table);
    return 0;
}
