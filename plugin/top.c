/* SPDX-License-Identifier: MIT */
/*
 * tc_portbytes-top: asks a running collectd over its unix socket for the rates of tc_portbytes,
 * and shows them until it is ended. Each time anew, so that a collectd that is restarted is
 * found again.
 */
#include <collectd/client.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "top_table.h"

/* Where Debian's and Fedora's unixsock plugin puts it: LOCALSTATEDIR/run/collectd-unixsock. */
#define DEFAULT_SOCKET   "/var/run/collectd-unixsock"
#define DEFAULT_INTERVAL 10 /* collectd's; the library does not tell that of a series */
#define DEFAULT_PORTS    10 /* where there is no window that says how many fit */
#define MOST_PATH        (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define PATIENCE         30 /* seconds for all of collectd's answers */

static const char usage[] =
    "usage: tc_portbytes-top [--once] [--json] [--interface NAME]... [--host NAME]... [-n NUMBER]\n"
    "                        [--interval SECONDS] [--socket PATH]\n"
    "\n"
    "Shows which ports are busy, as the tc_portbytes plugin of a running collectd counts them;\n"
    "collectd needs the line LoadPlugin unixsock.\n"
    "\n"
    "  --once              one table, then end\n"
    "  --json              each table as one line of JSON\n"
    "  --interface NAME    only this interface; repeatable\n"
    "  --host NAME         only this host, where collectd is a server; repeatable\n"
    "  -n NUMBER           ports of an interface at most, the others summed up [what fits in the\n"
    "                      window; without one: %d; JSON: all]\n"
    "  --interval SECONDS  time between two tables [%d]\n"
    "  --socket PATH       collectd's SocketFile [%s]\n";

static const char *socket_path = DEFAULT_SOCKET;
static char **interfaces, **hosts; /* lists that end with NULL */
static size_t ports = SIZE_MAX;    /* not said */
static unsigned interval = DEFAULT_INTERVAL;
static int once, json;

/* ---- the terminal ---- */

/* The alternate screen without a cursor, and back; as xterm does it and all that follow it. */
static const char screen_on[] = "\033[?1049h\033[?25l", screen_off[] = "\033[?25h\033[?1049l";

static volatile sig_atomic_t screen; /* whether stdout is drawn on; not while we are stopped */
static struct termios cooked, single;
static sigset_t waiting; /* what is blocked while we wait: nothing */

static void put(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        return; /* a terminal that is gone needs no restoring */
}

/* In the background the first call stops us; a signal that comes then has nothing to restore. */
static void enter_screen(void) {
    tcsetattr(STDOUT_FILENO, TCSANOW, &single);
    screen = true;
    put(screen_on);
}

static void leave_screen(void) {
    if (!screen)
        return;
    screen = false;
    put(screen_off);
    tcsetattr(STDOUT_FILENO, TCSANOW, &cooked);
}

static void handle(int number, void (*handler)(int), int flags) {
    const struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    if (signal(number, SIG_IGN) != SIG_IGN) /* what is ignored stays so */
        sigaction(number, &action, NULL);
}

/* raise() in the handler does what the signal does by default. */
#define ONE_SHOT (SA_RESTART | SA_RESETHAND | SA_NODEFER)

/* At any time, also while collectd lets us wait: only what signal-safety(7) allows. */
static void end_by_signal(int number) {
    leave_screen();
    raise(number);
}

static void stop_by_signal(int number) {
    int error = errno;

    leave_screen();
    raise(number); /* stops us, but not where no shell could continue us, as with ssh -t */
    handle(number, stop_by_signal, ONE_SHOT);
    enter_screen();
    raise(SIGWINCH); /* drawn anew also if it did not come while we wait */
    errno = error;
}

static void interrupt(int number) {
    (void)number;
}

static void take_terminal(void) {
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    const char *term = getenv("TERM");
    sigset_t resized;

    if (!term || !strcmp(term, "dumb") || tcgetattr(STDOUT_FILENO, &cooked) != 0)
        return;
    single = cooked;
    single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    sigemptyset(&resized);
    sigaddset(&resized, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resized, NULL); /* else it could come just before we wait */
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
        handle(ends[i], end_by_signal, ONE_SHOT);
    handle(SIGTSTP, stop_by_signal, ONE_SHOT);
    handle(SIGWINCH, interrupt, 0);
    enter_screen();
}

static unsigned from_environment(const char *name, unsigned otherwise) {
    const char *text = getenv(name);
    unsigned long number = text ? strtoul(text, NULL, 10) : 0;

    return number > 0 && number < 10000 ? number : otherwise;
}

/* Where no terminal says a size (a serial console does not), LINES and COLUMNS may, as for top(1);
   what is not drawn on a screen may be as long as -n makes it. */
static struct top_view view_of(void) {
    struct top_view view = {.ports = ports};
    struct winsize window = {0};

    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    view.columns = window.ws_col ? window.ws_col : from_environment("COLUMNS", 80);
    if (screen)
        view.lines = window.ws_row ? window.ws_row : from_environment("LINES", 24);
    else if (ports == SIZE_MAX)
        view.lines = window.ws_row > 3 ? window.ws_row - 2U : from_environment("LINES", 0);
    if (view.lines == 0 && ports == SIZE_MAX)
        view.ports = DEFAULT_PORTS;
    return view;
}

/* ---- collectd ---- */

static bool is_in(char *const *list, const char *name) {
    for (char *const *next = list; *next; next++)
        if (!strcmp(*next, name))
            return true;
    return !*list; /* nothing is left out */
}

/* False: the connection is of no use any more. */
static bool ask_one(lcc_connection_t *connection, lcc_identifier_t *name, struct top_table *table) {
    struct top_row *row;
    char **sources;
    gauge_t *values;
    size_t number;

    if (lcc_getval(connection, name, &number, &values, &sources) != 0)
        /* What the daemon itself says: it has gone since it was listed. */
        return !strncmp(lcc_strerror(connection), "Server error", strlen("Server error"));
    row = top_add(table, name->host, name->plugin_instance, name->type_instance);
    for (size_t i = 0; i < number; i++) {
        top_set(row, name->type, sources[i], values[i]);
        free(sources[i]);
    }
    free(sources);
    free(values);
    return true;
}

static int ask_all(lcc_connection_t *connection, struct top_table *table) {
    lcc_identifier_t *names = NULL;
    size_t number = 0;
    int error = lcc_listval(connection, &names, &number) != 0 ? EPROTO : 0;

    if (!error && !top_open(table, number))
        error = ENOMEM;
    for (size_t i = 0; i < number && !error; i++)
        if (!strcmp(names[i].plugin, "tc_portbytes") && is_in(hosts, names[i].host) &&
            is_in(interfaces, names[i].plugin_instance) && !ask_one(connection, &names[i], table))
            error = EPROTO;
    free(names);
    return error;
}

/* All there is; else the table stays as it is, and errno is returned. The library waits for
   ever: SIGALRM ends what blocks, and each second once more, should it have come just before. */
static int ask(struct top_table *table) {
    static const struct itimerval never, later = {{.tv_sec = 1}, {.tv_sec = PATIENCE}};
    struct top_table answer = {0};
    struct itimerval left;
    lcc_connection_t *connection = NULL;
    char address[sizeof("unix:") + MOST_PATH];
    int error;

    snprintf(address, sizeof(address), "unix:%s", socket_path);
    setitimer(ITIMER_REAL, &later, NULL);
    error = lcc_connect(address, &connection) != 0 ? errno : ask_all(connection, &answer);
    setitimer(ITIMER_REAL, &never, &left);
    lcc_disconnect(connection);
    if (error) {
        top_close(&answer);
        return left.it_value.tv_sec <= 1 ? ETIMEDOUT : error; /* it has rung */
    }
    top_arrange(&answer);
    top_close(table);
    *table = answer;
    return 0;
}

/* ---- showing ---- */

static struct top_table table; /* the last answer */
static struct timespec asked;  /* when */
static time_t silent;          /* since when there has been no other; 0: collectd answers */
static char reason[512];

static void update(void) {
    struct timespec now;
    int error;

    clock_gettime(CLOCK_REALTIME, &now);
    error = ask(&table);
    if (error)
        snprintf(reason, sizeof(reason),
                 "%s: %s; collectd must be running with LoadPlugin unixsock (--socket names its "
                 "SocketFile), and you root or in its SocketGroup",
                 socket_path, strerror(error));
    if (!screen && !error != !silent) /* once when it begins, once when it ends */
        warnx("%s", error ? reason : "collectd answers again");
    if (!error)
        asked = now;
    if (!error || !silent)
        silent = error ? now.tv_sec : 0;
}

static void print_clock(FILE *to, const char *format, time_t time) {
    char text[64];
    struct tm local;

    strftime(text, sizeof(text), format, localtime_r(&time, &local));
    fputs(text, to);
}

static void print_status(FILE *to) {
    print_clock(to, silent ? "no answer since %F %T: " : "tc_portbytes  %T, ",
                silent ? silent : asked.tv_sec);
    if (silent)
        fprintf(to, "%s\n", reason);
    else
        fprintf(to, "every %u s; bars: in, then out; q quits\n", interval);
}

static void print_table(FILE *to, const struct top_view *view) {
    if (json)
        top_json(to, &table, asked.tv_sec + asked.tv_nsec / 1e9, ports);
    else if (table.groups_number == 0)
        fputs("no series of tc_portbytes here: is the plugin loaded, and has it read once?\n", to);
    else
        top_text(to, &table, view);
}

/*
 * Over the frame before, without flicker. A line is cleared before it is written: after it, what
 * is in the last column would go too. The cursor ends at the top, where it makes no window that
 * shrinks scroll.
 */
static void draw(struct top_view view) {
    unsigned rows = view.lines, used;
    size_t size = 0;
    char *text = NULL, *rest;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return;
    print_status(to);
    fflush(to);
    used = (size + view.columns - 2) / view.columns; /* lines of the status, without its end */
    view.lines = rows > used ? rows - used : 1;
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

/* 0, or why nothing can be written any more: errno */
static int show(void) {
    const struct top_view view = view_of();

    if (screen) {
        draw(view);
    } else if (!silent) {
        if (!once && !json)
            print_clock(stdout, "\n-- %T\n", asked.tv_sec);
        print_table(stdout, &view);
    }
    return fflush(stdout) != 0 || ferror(stdout) ? errno : 0;
}

/* Until q, or until nobody reads any more: a signal ends the program where it comes. */
static int watch(void) {
    enum { READER, KEYS, TIMER, FDS };
    const struct itimerspec regularly = {{.tv_sec = interval}, {.tv_sec = interval}};
    struct pollfd fds[FDS] = {
        [READER] = {.fd = STDOUT_FILENO}, /* without one it is ready with an error */
        [KEYS] = {.fd = screen && isatty(STDIN_FILENO) ? STDIN_FILENO : -1, .events = POLLIN},
        [TIMER] = {.fd = timerfd_create(CLOCK_MONOTONIC, 0), .events = POLLIN}};
    uint64_t times;
    char key;
    int error;

    if (timerfd_settime(fds[TIMER].fd, 0, &regularly, NULL) != 0)
        err(1, "timerfd");
    while (!(error = show()) && !fds[READER].revents) {
        if (ppoll(fds, FDS, NULL, &waiting) < 0)
            continue; /* the window has another size, or we were stopped */
        if (fds[KEYS].revents && read(STDIN_FILENO, &key, 1) != 1)
            fds[KEYS].fd = -1;
        else if (fds[KEYS].revents && (key == 'q' || key == 'Q'))
            break;
        if (fds[TIMER].revents && read(fds[TIMER].fd, &times, sizeof(times)) > 0)
            update();
    }
    leave_screen();
    return error;
}

/* ---- the command line ---- */

static unsigned long number_of(const char *option, const char *text, unsigned long least,
                               unsigned long most) {
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || number < least || number > most)
        errx(2, "%s \"%s\": a whole number from %lu to %lu is allowed", option, text, least, most);
    return number;
}

static void append(char **list, char *name) {
    while (*list)
        list++;
    *list = name;
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {{"once", no_argument, &once, true},
                                          {"json", no_argument, &json, true},
                                          {"interface", required_argument, NULL, 'i'},
                                          {"host", required_argument, NULL, 'h'},
                                          {"interval", required_argument, NULL, 't'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'H'},
                                          {0}};

    for (int option; (option = getopt_long(argc, argv, "n:", known, NULL)) >= 0;)
        switch (option) {
        case 0: /* a flag */
            break;
        case 'i':
            append(interfaces, optarg);
            break;
        case 'h':
            append(hosts, optarg);
            break;
        case 'n':
            ports = number_of("-n", optarg, 0, 1000000);
            break;
        case 't':
            interval = number_of("--interval", optarg, 1, 86400);
            break;
        case 's':
            socket_path = optarg;
            break;
        case 'H':
            printf(usage, DEFAULT_PORTS, DEFAULT_INTERVAL, DEFAULT_SOCKET);
            exit(0);
        default: /* getopt_long has said what is wrong */
            exit(2);
        }
    if (optind < argc)
        errx(2, "%s: no argument is allowed, only options, see --help", argv[optind]);
    if (strlen(socket_path) > MOST_PATH)
        errx(2, "--socket \"%s\": a path of %zu bytes at most is allowed", socket_path, MOST_PATH);
}

int main(int argc, char **argv) {
    int error;

    signal(SIGPIPE, SIG_IGN); /* a collectd that ends must not take us along */
    handle(SIGALRM, interrupt, 0);
    interfaces = calloc(argc, sizeof(*interfaces));
    hosts = calloc(argc, sizeof(*hosts));
    if (!interfaces || !hosts)
        err(1, NULL);
    parse(argc, argv);
    update();
    if (silent)
        return 1;
    if (!once && !json)
        take_terminal();
    error = once ? show() : watch();
    if (error && error != EPIPE) /* `tc_portbytes-top | head` is no failure */
        errx(1, "cannot write: %s", strerror(error));
    return 0;
}
