/* SPDX-License-Identifier: MIT */
/*
 * One interface's attachments, as attach.c and the two ways to attach see them. Types and names
 * only.
 */
#ifndef PB_ATTACHMENT_H
#define PB_ATTACHMENT_H

#include <stdbool.h>

#include <linux/types.h>

#include "program.h"

struct pins;

/* The classifier in one direction of an interface. */
struct attachment {
    enum direction direction;
    struct program *program; /* the classifier's; NULL: direction not wanted */
    bool attached;
    bool blocked;           /* it can't be attached now, and that was reported */
    bool preempted;         /* another program runs before ours, and that was reported */
    int link;               /* tcx: attached while this descriptor is open; -1: none */
    __u32 judged;           /* tcx: the program before ours that was last looked at; 0: none */
    bool judged_ours;       /* it is a classifier of this plugin */
    __u32 handle, priority; /* clsact: our filter's */
};

struct attach {
    const struct attach_ops *ops;
    const struct pins *pins; /* NULL: nothing outlives the process */
    int interface;
    struct attachment attachments[DIRECTIONS];
    char name[64];
};

/* A way to attach. Errors are negative errno, and are not logged here. */
struct attach_ops {
    const char *name;

    /*
     * First in line; in place of what a killed daemon left there, beside what a running one has. 0
     * as well if attachment->blocked became true, and nothing is attached.
     */
    int (*attach)(struct attach *attach, struct attachment *attachment);

    /* 0: attached. -ENOENT: removed by somebody else. -ENODEV: the interface has gone. */
    int (*check)(struct attach *attach, struct attachment *attachment, bool *preempted);

    /*
     * Removes the attachment if there is one. A direction without a program: what an earlier daemon
     * left there.
     */
    void (*detach)(struct attach *attach, struct attachment *attachment);

    /* It stays attached, and is not ours any more. NULL: nothing to do. */
    void (*disown)(struct attachment *attachment);

    /* Whether something else on the interface makes it impossible to attach. NULL: nothing can. */
    int (*check_blocked)(const struct attach *attach, const struct attachment *attachment,
                         bool *blocked);
};

#endif
