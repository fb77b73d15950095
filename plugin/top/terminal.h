/* SPDX-License-Identifier: MIT */
/*
 * The terminal on standard output while the live view is drawn there: alternate screen, no cursor,
 * no echo, input key by key. Whichever signal ends or stops the program, the terminal is restored
 * first. For the main thread of a process without others.
 */
#ifndef PB_TOP_TERMINAL_H
#define PB_TOP_TERMINAL_H

#include <poll.h>
#include <stdbool.h>

/*
 * Takes the terminal. Does nothing if standard output is no terminal, or one without escape
 * sequences (TERM=dumb). In the background the process is stopped until it is continued in the
 * foreground.
 */
void terminal_enter(void);

/* Restores the terminal. Does nothing if it was not taken. */
void terminal_leave(void);

/* Whether the terminal is taken now. */
bool terminal_is_active(void);

/* Lines and columns of the window; 0: unknown, as on a serial console. */
void terminal_size(unsigned *lines, unsigned *columns);

/*
 * poll() without a timeout. -1 with EINTR also if the window was resized or the process was
 * stopped and continued since the last call: both need a redraw.
 */
int terminal_poll(struct pollfd *fds, nfds_t number);

#endif
