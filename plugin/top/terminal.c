/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* xterm's alternate screen without a cursor, and back; other terminals have adopted both. */
static const char enter_sequence[] = "\033[?1049h\033[?25l";
static const char leave_sequence[] = "\033[?25h\033[?1049l";

static volatile sig_atomic_t active; /* not while the process is stopped */
static struct termios saved_modes, raw_modes;

static void write_sequence(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        return; /* a terminal that is gone needs no restoring */
}

/* In the background tcsetattr() stops the process: `active` is not set yet, nothing to restore. */
static void activate(void) {
    tcsetattr(STDOUT_FILENO, TCSANOW, &raw_modes);
    active = true;
    write_sequence(enter_sequence);
}

void terminal_leave(void) {
    if (!active)
        return;
    active = false;
    write_sequence(leave_sequence);
    tcsetattr(STDOUT_FILENO, TCSANOW, &saved_modes);
}

static void set_handler(int number, void (*handler)(int), int flags) {
    const struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    if (signal(number, SIG_IGN) !=
        SIG_IGN) /* a signal ignored at the start stays ignored (nohup) */
        sigaction(number, &action, NULL);
}

/* The handler's raise() takes the signal's default action. */
#define ONE_SHOT (SA_RESTART | SA_RESETHAND | SA_NODEFER)

/* The handlers may run while a query of collectd blocks: only what signal-safety(7) allows. */
static void terminate(int number) {
    terminal_leave();
    raise(number);
}

static void stop(int number) {
    int saved_errno = errno;

    terminal_leave();
    raise(number); /* does not stop an orphaned process group, as with ssh -t */
    set_handler(number, stop, ONE_SHOT);
    activate();
    raise(SIGWINCH); /* redraw, even if the stop came outside of terminal_poll */
    errno = saved_errno;
}

static void interrupt(int number) {
    (void)number;
}

void terminal_enter(void) {
    static const int termination_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    const char *term = getenv("TERM");
    sigset_t resize;

    if (!term || !strcmp(term, "dumb") || tcgetattr(STDOUT_FILENO, &saved_modes) != 0)
        return;
    raw_modes = saved_modes;
    raw_modes.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    /* Unblocked by terminal_poll() only, or a resize just before the call would be missed. */
    sigemptyset(&resize);
    sigaddset(&resize, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resize, NULL);
    for (size_t i = 0; i < sizeof(termination_signals) / sizeof(*termination_signals); i++)
        set_handler(termination_signals[i], terminate, ONE_SHOT);
    set_handler(SIGTSTP, stop, ONE_SHOT);
    set_handler(SIGWINCH, interrupt, 0);
    activate();
}

bool terminal_is_active(void) {
    return active;
}

void terminal_size(unsigned *lines, unsigned *columns) {
    struct winsize window = {0};

    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    *lines = window.ws_row;
    *columns = window.ws_col;
}

int terminal_poll(struct pollfd *fds, nfds_t number) {
    sigset_t none;

    sigemptyset(&none);
    return ppoll(fds, number, NULL, &none);
}
