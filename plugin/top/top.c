/* SPDX-License-Identifier: MIT */
/*
 * tc_portbytes-top: queries a running collectd at an interval and shows the busiest ports, on the
 * terminal or as a stream of tables.
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "options.h"
#include "print.h"
#include "query.h"
#include "seen.h"
#include "table.h"
#include "terminal.h"

static struct options options;
static struct top_table table;     /* the last one received */
static struct seen seen;           /* with --watch-new */
static struct timespec updated_at; /* when that was, CLOCK_REALTIME */
static time_t failing_since;       /* 0: the last query succeeded */
static char failure[512];          /* of the last query that failed */

/* ---- data ---- */

static void explain(int error) {
    if (error == -E2BIG)
        snprintf(failure, sizeof(failure),
                 "%s: collectd has more than %d series; select some by --host or --interface",
                 options.socket_path, QUERY_MAX);
    else
        snprintf(failure, sizeof(failure),
                 "%s: %s; check that collectd runs with LoadPlugin unixsock, that --socket names "
                 "its SocketFile, and that you are root or in its SocketGroup",
                 options.socket_path, strerror(-error));
}

/* A negative errno, with the table unchanged. */
static int query(void) {
    struct top_table reply = {0};
    int error = query_collectd(&reply, &options);

    if (!error && options.new_minutes)
        error = seen_update(&seen, &reply, monotonic(), options.new_minutes * 60 * SECOND);
    if (error) {
        top_table_free(&reply);
        return error;
    }
    top_table_sort(&reply, options.sort);
    top_table_free(&table);
    table = reply;
    return 0;
}

static void update(void) {
    struct timespec now;
    int error;

    clock_gettime(CLOCK_REALTIME, &now);
    error = query();
    if (error)
        explain(error);
    if (!terminal_is_active() && !error != !failing_since) /* on each change, not on each query */
        warnx("%s", error ? failure : "collectd is responding again");
    if (!error) {
        updated_at = now;
        failing_since = 0;
    } else if (!failing_since) {
        failing_since = now.tv_sec;
    }
}

/* ---- output ---- */

static unsigned environment_number(const char *name, unsigned fallback) {
    const char *text = getenv(name);
    unsigned long number = text ? strtoul(text, NULL, 10) : 0;

    return number > 0 && number < 10000 ? number : fallback;
}

/*
 * Where the window size is unknown, LINES and COLUMNS apply, as for top(1). Without the alternate
 * screen, a table that -n limits may be longer than the window.
 */
static struct top_view current_view(void) {
    struct top_view view = {.ports = options.ports, .marks_new = options.new_minutes > 0};
    unsigned lines, columns;

    terminal_size(&lines, &columns);
    view.columns = columns ? columns : environment_number("COLUMNS", 80);
    if (options.json)
        return view;
    if (terminal_is_active())
        view.lines = lines ? lines : environment_number("LINES", 24);
    else if (options.ports == PORTS_UNLIMITED)
        view.lines = lines > 3 ? lines - 2 : environment_number("LINES", 0);
    if (view.lines == 0 && options.ports == PORTS_UNLIMITED)
        view.ports = DEFAULT_PORTS;
    return view;
}

static void print_time(FILE *to, const char *format, time_t time) {
    char text[64];
    struct tm local;

    strftime(text, sizeof(text), format, localtime_r(&time, &local));
    fputs(text, to);
}

static void print_status(FILE *to) {
    if (failing_since) {
        print_time(to, "no response since %F %T: ", failing_since);
        fprintf(to, "%s\n", failure);
    } else {
        print_time(to, "tc_portbytes  %T, ", updated_at.tv_sec);
        fprintf(to, "every %u s, by %s; t i o p n: sort, q: quit%s\n", options.interval,
                top_sort_names[options.sort], options.new_minutes ? ", +: new" : "");
    }
}

static void print_table(FILE *to, const struct top_view *view) {
    if (options.json)
        top_print_json(to, &table, updated_at.tv_sec + updated_at.tv_nsec / 1e9, view);
    else if (table.interface_count == 0)
        fputs("no tc_portbytes series: is the plugin loaded, and has it completed a read?\n", to);
    else
        top_print_text(to, &table, view);
}

/*
 * Overwrites the previous frame without flicker. Each line is erased before it is written: erasing
 * to the end of the line after a full one would erase the last column. The cursor ends at the top,
 * where a shrinking window does not scroll.
 */
static void draw(struct top_view view) {
    unsigned rows = view.lines, status_rows;
    size_t size = 0;
    char *text = NULL, *rest;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return;
    print_status(to);
    fflush(to);
    status_rows = (size + view.columns - 2) / view.columns; /* rounded up, without the newline */
    view.lines = rows > status_rows ? rows - status_rows : 1;
    print_table(to, &view);
    fclose(to);
    rest = text;
    for (unsigned row = 0; row < rows && text; row++) {
        size_t length = strcspn(rest, "\n");

        length = length < view.columns ? length : view.columns;
        printf("%s\033[K%.*s", row ? "\n" : "\033[H", (int)length, rest);
        rest += length;
        rest += *rest == '\n';
    }
    fputs("\033[H", stdout);
    free(text);
}

/* 0, or the negative errno of a failed write. */
static int show(void) {
    const struct top_view view = current_view();

    if (terminal_is_active()) {
        draw(view);
    } else if (!failing_since) {
        if (!options.once && !options.json)
            print_time(stdout, "\n-- %T\n", updated_at.tv_sec);
        print_table(stdout, &view);
    }
    return fflush(stdout) != 0 || ferror(stdout) ? -errno : 0;
}

/* ---- the loop ---- */

/* False: the key means to quit. */
static bool take_key(char key) {
    key = (char)tolower((unsigned char)key);
    for (unsigned sort = 0; sort < TOP_SORTS; sort++)
        if (key == *top_sort_names[sort])
            top_table_sort(&table, options.sort = sort);
    return key != 'q';
}

/* Until q is typed or nobody reads the output. Signals end the program in terminal.c. */
static int watch(void) {
    enum { OUTPUT, KEYS, TIMER, FDS };
    const struct itimerspec interval = {{.tv_sec = options.interval}, {.tv_sec = options.interval}};
    bool has_keys = terminal_is_active() && isatty(STDIN_FILENO);
    struct pollfd fds[FDS] = {
        [OUTPUT] = {.fd = STDOUT_FILENO}, /* POLLERR: a pipe without a reader */
        [KEYS] = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN},
        [TIMER] = {.fd = timerfd_create(CLOCK_MONOTONIC, 0), .events = POLLIN}};
    uint64_t expirations;
    char key;
    int error;

    if (timerfd_settime(fds[TIMER].fd, 0, &interval, NULL) != 0)
        err(1, "timerfd");
    while (!(error = show()) && !fds[OUTPUT].revents) {
        if (terminal_poll(fds, FDS) < 0)
            continue; /* redraw */
        if (fds[KEYS].revents && read(STDIN_FILENO, &key, 1) != 1)
            fds[KEYS].fd = -1;
        else if (fds[KEYS].revents && !take_key(key))
            break;
        if (fds[TIMER].revents && read(fds[TIMER].fd, &expirations, sizeof(expirations)) > 0)
            update();
    }
    terminal_leave();
    return error;
}

int main(int argc, char **argv) {
    int error;

    signal(SIGPIPE, SIG_IGN); /* collectd may close the connection while we write */
    options_parse(&options, argc, argv);
    update();
    if (failing_since)
        return 1;
    if (!options.once && !options.json)
        terminal_enter();
    error = options.once ? show() : watch();
    if (error && error != -EPIPE) /* `tc_portbytes-top | head` is no failure */
        errx(1, "cannot write: %s", strerror(-error));
    return 0;
}
