/* SPDX-License-Identifier: MIT */
/* For programs that continue behind the caller's back. To be included in one file of a program. */
#ifndef PB_BACKGROUND_H
#define PB_BACKGROUND_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Seconds after which a program in the background ends: it does not outlive a test that hangs. */
#define BACKGROUND_PATIENCE 900

/* Ends the program, with what perror(3) says, unless it is good. */
static void must(int good, const char *what) {
    if (good)
        return;
    perror(what);
    exit(1);
}

/* The caller of the program continues, and is told the pid; this process stays. */
static void to_background(void) {
    pid_t child = fork();

    must(child >= 0, "fork");
    if (child) {
        printf("%d\n", child);
        exit(0);
    }
    must(freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr), "/dev/null");
    alarm(BACKGROUND_PATIENCE);
}

#endif
