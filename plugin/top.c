/* SPDX-License-Identifier: MIT */
/*
 * tc_portbytes-top: asks a running collectd over its unix socket for the rates of tc_portbytes,
 * and shows them until it is ended. Each time anew, so that a collectd that is restarted is
 * found again.
 */
#include <collectd/client.h>
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "top_table.h"

/* Where Debian's and Fedora's unixsock plugin puts it: LOCALSTATEDIR/run/collectd-unixsock. */
#define DEFAULT_SOCKET   "/var/run/collectd-unixsock"
#define DEFAULT_INTERVAL 10 /* collectd's; the library does not tell that of a series */
#define DEFAULT_PORTS    10 /* where there is no window that says how many fit */
#define MOST_INTERVAL    86400
#define MOST_PORTS       1000000
#define PATIENCE         30 /* seconds for all of collectd's answers */

#define STRING(x)   #x
#define TEXT(macro) STRING(macro)

static const char usage[] =
    "usage: tc_portbytes-top [--once] [--json] [--interface NAME]... [--host NAME]... [-n NUMBER]\n"
    "                        [--packets] [--interval SECONDS] [--socket PATH]\n"
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
    "  --packets           sort by packets, not by bytes\n"
    "  --interval SECONDS  time between two tables [%d]\n"
    "  --socket PATH       collectd's SocketFile [%s]\n"
    "  --help, --version\n";

struct options {
    const char *socket;
    char **interfaces, **hosts; /* lists that end with NULL */
    size_t ports;               /* SIZE_MAX: not said */
    unsigned interval;
    bool once, json, packets;
};

/* ---- the terminal ---- */

/* The alternate screen without a cursor, and back; as xterm does it and all that follow it. */
static const char screen_on[] = "\033[?1049h\033[?25l", screen_off[] = "\033[?25h\033[?1049l";

static bool screen, keys; /* whether stdout is a screen of ours, stdin hands us single keys */
static struct termios cooked, single;
static sigset_t waiting; /* what is blocked while we wait for the next table */

static void put(const char *text, size_t size) {
    if (write(STDOUT_FILENO, text, size) < 0)
        return; /* a terminal that is gone needs no restoring */
}

static void enter_screen(void) {
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &single);
    if (screen)
        put(screen_on, sizeof(screen_on) - 1);
}

static void leave_screen(void) {
    if (screen)
        put(screen_off, sizeof(screen_off) - 1);
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
}

/* At any time, also while collectd lets us wait: only what signal-safety(7) allows. */
static void end_by_signal(int number) {
    leave_screen();
    signal(number, SIG_DFL);
    raise(number);
}

static void stop_by_signal(int number) {
    int error = errno;

    (void)number;
    leave_screen();
    raise(SIGSTOP);
    enter_screen();
    raise(SIGWINCH); /* drawn anew also if it did not come while we wait */
    errno = error;
}

static void interrupt(int number) {
    (void)number;
}

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sigaction before;

    /* What is ignored stays so, as nohup wants it. */
    if (!sigaction(number, NULL, &before) && before.sa_handler == SIG_IGN)
        return;
    sigfillset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static bool is_smart(void) {
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void take_terminal(bool json) {
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t resized;

    sigemptyset(&resized);
    sigaddset(&resized, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resized, &waiting); /* else it could come just before we wait */
    sigdelset(&waiting, SIGWINCH);
    screen = is_smart() && !json;
    if (!screen)
        return;
    keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &cooked);
    single = cooked;
    single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
        handle(ends[i], end_by_signal, 0);
    handle(SIGTSTP, stop_by_signal, SA_RESTART);
    handle(SIGWINCH, interrupt, SA_RESTART);
    enter_screen();
}

static unsigned from_environment(const char *name, unsigned otherwise) {
    const char *text = getenv(name);
    unsigned long number = text ? strtoul(text, NULL, 10) : 0;

    return number > 0 && number < 10000 ? number : otherwise;
}

/* Where no terminal has a size, LINES and COLUMNS may give one, as for top(1) and ps(1). */
static struct top_view view_of(const struct options *options) {
    const char *no_colour = getenv("NO_COLOR");
    struct top_view view = {.ports = options->ports, .packets = options->packets};
    struct winsize window;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) && window.ws_col > 0 && window.ws_row > 0) {
        view.columns = window.ws_col;
        view.lines = window.ws_row > 3 ? window.ws_row - 2 : 1; /* status line and cursor's */
    } else {
        view.columns = from_environment("COLUMNS", 80);
        view.lines = from_environment("LINES", 0);
    }
    if (!screen && options->ports != SIZE_MAX)
        view.lines = 0;
    if (view.lines == 0 && options->ports == SIZE_MAX)
        view.ports = DEFAULT_PORTS;
    view.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    view.colour = is_smart() && !(no_colour && *no_colour); /* https://no-color.org */
    return view;
}

/* ---- collectd ---- */

static volatile sig_atomic_t late;

static void be_late(int number) {
    (void)number;
    late = 1;
}

/*
 * The library waits for ever: a signal ends what blocks, and each second after it once more,
 * should it have come just before. 0: there is nothing more to wait for.
 */
static void be_patient(time_t seconds) {
    const struct itimerval timer = {.it_value.tv_sec = seconds, .it_interval.tv_sec = seconds > 0};
    const struct sigaction action = {.sa_handler = be_late};

    sigaction(SIGALRM, &action, NULL);
    late = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
}

static bool is_in(char *const *list, const char *name) {
    if (!*list)
        return true;
    for (; *list; list++)
        if (!strcmp(*list, name))
            return true;
    return false;
}

static bool is_wanted(const struct options *options, const lcc_identifier_t *name) {
    return !strcmp(name->plugin, "tc_portbytes") && name->type_instance[0] &&
           top_knows(name->type) && is_in(options->interfaces, name->plugin_instance) &&
           is_in(options->hosts, name->host);
}

/* The daemon's word, the connection goes on. */
static bool is_refusal(lcc_connection_t *connection) {
    return !strncmp(lcc_strerror(connection), "Server error", strlen("Server error"));
}

static int ask_one(lcc_connection_t *connection, lcc_identifier_t *name, struct top_table *table) {
    struct top_row *row;
    char **sources;
    gauge_t *values;
    size_t number;

    if (lcc_getval(connection, name, &number, &values, &sources) != 0)
        return is_refusal(connection) ? 0 : -EPROTO; /* it has gone since it was listed */
    row = top_add(table, name->host, name->plugin_instance, name->type_instance);
    for (size_t i = 0; i < number; i++) {
        if (row)
            top_set(row, name->type, sources[i], values[i]);
        free(sources[i]);
    }
    free(sources);
    free(values);
    return row ? 0 : -ENOMEM;
}

static int ask_all(lcc_connection_t *connection, const struct options *options,
                   struct top_table *table) {
    lcc_identifier_t *names = NULL;
    size_t number = 0;
    int error = lcc_listval(connection, &names, &number) != 0 ? -EPROTO : 0;

    for (size_t i = 0; i < number && !error; i++)
        if (is_wanted(options, &names[i]))
            error = ask_one(connection, &names[i], table);
    free(names);
    return error ? error : top_arrange(table, options->packets);
}

static void explain(char *reason, size_t size, const char *path, int error) {
    char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

    top_plain(socket, sizeof(socket), path);
    if (error == -ETIMEDOUT)
        snprintf(reason, size, "%s: no answer in %d s; is collectd busy or stopped?", socket,
                 PATIENCE);
    else if (error == -EPROTO)
        snprintf(reason, size, "%s: the answer broke off or makes no sense; is collectd ending?",
                 socket);
    else if (error == -EACCES)
        snprintf(reason, size,
                 "%s: permission denied; be root or in the group that collectd's <Plugin unixsock> "
                 "names as SocketGroup",
                 socket);
    else
        snprintf(reason, size,
                 "%s: %s; collectd must be running with LoadPlugin unixsock (--socket names its "
                 "SocketFile)",
                 socket, strerror(-error));
}

/* All there is, or why not; on failure the table stays as it is. */
static int ask(const struct options *options, struct top_table *table, char *reason, size_t size) {
    struct top_table answer = {0};
    lcc_connection_t *connection = NULL;
    char address[sizeof("unix:") + sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int error;

    snprintf(address, sizeof(address), "unix:%s", options->socket);
    be_patient(PATIENCE);
    errno = 0;
    if (lcc_connect(address, &connection) != 0)
        error = errno ? -errno : -ENOENT;
    else
        error = ask_all(connection, options, &answer);
    if (error && late)
        error = -ETIMEDOUT;
    be_patient(0);
    if (connection)
        lcc_disconnect(connection);
    if (error) {
        top_free(&answer);
        explain(reason, size, options->socket, error);
        return error;
    }
    top_free(table);
    *table = answer;
    return 0;
}

/* ---- showing ---- */

/* What is shown: the last answer, and since when there has been no other. */
struct display {
    struct top_table table;
    struct timespec time; /* of the table */
    time_t silent;        /* 0: collectd answers */
    char reason[512];
};

static void clock_text(char *text, size_t size, const char *format, time_t time) {
    struct tm local;

    localtime_r(&time, &local);
    strftime(text, size, format, &local);
}

static void print_table(FILE *to, const struct options *options, const struct display *display,
                        const struct top_view *view) {
    if (options->json)
        top_json(to, &display->table, display->time.tv_sec + display->time.tv_nsec / 1e9,
                 options->ports);
    else if (display->table.groups_number == 0)
        fputs("no series of tc_portbytes here: is the plugin loaded, and has it read once?\n", to);
    else
        top_text(to, &display->table, view);
}

/* In as many lines as it takes, whose number is returned. */
static unsigned print_status(FILE *to, const struct options *options, const struct display *display,
                             unsigned columns) {
    char text[sizeof(display->reason) + 64], clock[32];
    unsigned lines = 0;

    if (display->silent) {
        clock_text(clock, sizeof(clock), "%F %T", display->silent);
        snprintf(text, sizeof(text), "no answer since %s: %s", clock, display->reason);
    } else {
        clock_text(clock, sizeof(clock), "%T", display->time.tv_sec);
        snprintf(text, sizeof(text), "tc_portbytes  %s, every %u s; bars: in, then out%s", clock,
                 options->interval, keys ? "; q quits" : "");
    }
    for (size_t at = 0; at < strlen(text); at += columns, lines++)
        fprintf(to, "%.*s\n", (int)columns, text + at);
    return lines;
}

/* Over the one before, without flicker: a line's rest and what is below are cleared after. */
static void show_on_screen(const struct options *options, const struct display *display) {
    struct top_view view = view_of(options);
    unsigned lines = view.lines + 1, status; /* the last one stays empty: its end would scroll */
    size_t size = 0;
    char *text = NULL, *rest;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return;
    status = print_status(to, options, display, view.columns);
    view.lines = view.lines > status ? view.lines + 1 - status : 1;
    print_table(to, options, display, &view);
    if (fclose(to) == 0) {
        fputs("\033[H", stdout);
        rest = text;
        for (char *end; lines > 0 && (end = strchr(rest, '\n')); rest = end + 1, lines--)
            printf("%.*s\033[K\n", (int)(end - rest), rest);
        fputs("\033[J", stdout);
    }
    free(text);
}

static int broken; /* errno: nothing can be written any more */

static void show(const struct options *options, const struct display *display) {
    const struct top_view view = view_of(options);
    char clock[32];

    if (screen) {
        show_on_screen(options, display);
    } else if (!display->silent) {
        if (!options->once && !options->json) {
            clock_text(clock, sizeof(clock), "%T", display->time.tv_sec);
            printf("\n-- %s\n", clock);
        }
        print_table(stdout, options, display, &view);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        broken = errno;
}

/* Once when it begins, once when it ends; a screen shows it anyway. */
static void say_silence(const struct display *display, bool was_silent) {
    if (screen || was_silent == (display->silent != 0))
        return;
    if (display->silent)
        fprintf(stderr, "tc_portbytes-top: %s\n", display->reason);
    else
        fprintf(stderr, "tc_portbytes-top: collectd answers again\n");
}

static void update(const struct options *options, struct display *display) {
    bool was_silent = display->silent;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!ask(options, &display->table, display->reason, sizeof(display->reason))) {
        display->time = now;
        display->silent = 0;
    } else if (!was_silent) {
        display->silent = now.tv_sec;
    }
    say_silence(display, was_silent);
}

enum event { NEXT, REDRAW, QUIT };

/* False: that time has come. */
static bool is_before(const struct timespec *then, struct timespec *left) {
    clock_gettime(CLOCK_MONOTONIC, left);
    left->tv_sec = then->tv_sec - left->tv_sec;
    left->tv_nsec = then->tv_nsec - left->tv_nsec;
    if (left->tv_nsec < 0) {
        left->tv_nsec += 1000000000;
        left->tv_sec--;
    }
    return left->tv_sec >= 0;
}

static enum event wait_until(const struct timespec *then) {
    struct pollfd fds[] = {{.fd = STDOUT_FILENO}, /* without a reader it is ready with an error */
                           {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN}};
    struct timespec left;

    while (is_before(then, &left)) {
        char key;

        if (ppoll(fds, 2, &left, &waiting) < 0) {
            if (screen)
                return REDRAW; /* the window has another size, or we were stopped */
            continue;
        }
        if (fds[0].revents)
            return QUIT;
        if (!fds[1].revents)
            continue;
        if (read(STDIN_FILENO, &key, 1) != 1)
            fds[1].fd = -1;
        else if (key == 'q' || key == 'Q')
            return QUIT;
    }
    return NEXT;
}

/* Until q, or until nobody reads any more: a signal ends the program where it comes. */
static void watch(const struct options *options, struct display *display) {
    enum event event = NEXT;
    struct timespec next;

    take_terminal(options->json);
    while (event != QUIT && !broken) {
        if (event == NEXT) {
            clock_gettime(CLOCK_MONOTONIC, &next);
            next.tv_sec += options->interval;
        }
        show(options, display);
        event = wait_until(&next);
        if (event == NEXT)
            update(options, display);
    }
    leave_screen();
}

/* ---- the command line ---- */

static void __attribute__((noreturn, format(printf, 1, 2))) refuse(const char *format, ...) {
    va_list arguments;

    fputs("tc_portbytes-top: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

static unsigned long number_of(const char *option, const char *text, unsigned long least,
                               unsigned long most) {
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || number < least || number > most)
        refuse("%s \"%s\": a whole number from %lu to %lu is allowed", option, text, least, most);
    return number;
}

static const char *path_of(const char *text) {
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (!*text || strlen(text) > most)
        refuse("--socket \"%s\": a path of 1 to %zu bytes is allowed", text, most);
    return text;
}

static void append(char **list, char *name) {
    while (*list)
        list++;
    *list = name;
}

static void parse(struct options *options, int argc, char **argv) {
    /* No characters, so that an unknown -x can be told from a known option used wrongly. */
    enum { ONCE = 256, JSON, INTERFACE, HOST, PACKETS, INTERVAL, SOCKET, HELP, VERSION };
    static const struct option known[] = {{"once", no_argument, NULL, ONCE},
                                          {"json", no_argument, NULL, JSON},
                                          {"interface", required_argument, NULL, INTERFACE},
                                          {"host", required_argument, NULL, HOST},
                                          {"packets", no_argument, NULL, PACKETS},
                                          {"interval", required_argument, NULL, INTERVAL},
                                          {"socket", required_argument, NULL, SOCKET},
                                          {"help", no_argument, NULL, HELP},
                                          {"version", no_argument, NULL, VERSION},
                                          {0}};
    char given[3];
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":n:", known, NULL)) >= 0)
        switch (option) {
        case ONCE:
            options->once = true;
            break;
        case JSON:
            options->json = true;
            break;
        case INTERFACE:
            append(options->interfaces, optarg);
            break;
        case HOST:
            append(options->hosts, optarg);
            break;
        case 'n':
            options->ports = number_of("-n", optarg, 0, MOST_PORTS);
            break;
        case PACKETS:
            options->packets = true;
            break;
        case INTERVAL:
            options->interval = number_of("--interval", optarg, 1, MOST_INTERVAL);
            break;
        case SOCKET:
            options->socket = path_of(optarg);
            break;
        case HELP:
            printf(usage, DEFAULT_PORTS, DEFAULT_INTERVAL, DEFAULT_SOCKET);
            exit(0);
        case VERSION:
            puts("tc_portbytes-top " TEXT(PB_VERSION));
            exit(0);
        case ':':
            refuse("%s needs a value, see --help", argv[optind - 1]);
        default:
            snprintf(given, sizeof(given), "-%c", optopt);
            refuse("%s: allowed are --once, --json, --interface, --host, -n, --packets, "
                   "--interval, --socket, --help and --version",
                   optopt > 0 && optopt < ONCE ? given : argv[optind - 1]);
        }
    if (optind < argc)
        refuse("%s: no argument is allowed, only options, see --help", argv[optind]);
}

int main(int argc, char **argv) {
    struct options options = {
        .socket = DEFAULT_SOCKET, .interval = DEFAULT_INTERVAL, .ports = SIZE_MAX};
    struct display display = {0};

    setlocale(LC_CTYPE, "");  /* numbers stay as C writes them: JSON, and collectd's protocol */
    signal(SIGPIPE, SIG_IGN); /* a collectd that ends must not take us along */
    options.interfaces = calloc(argc, sizeof(*options.interfaces));
    options.hosts = calloc(argc, sizeof(*options.hosts));
    if (!options.interfaces || !options.hosts) {
        perror("tc_portbytes-top");
        exit(1);
    }
    parse(&options, argc, argv);
    update(&options, &display);
    if (display.silent)
        exit(1);
    if (options.once)
        show(&options, &display);
    else
        watch(&options, &display);
    if (broken && broken != EPIPE) /* `tc_portbytes-top | head` is no failure */
        fprintf(stderr, "tc_portbytes-top: cannot write: %s\n", strerror(broken));
    top_free(&display.table);
    free(options.interfaces);
    free(options.hosts);
    return broken && broken != EPIPE;
}
