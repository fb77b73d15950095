/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clsact.h"
#include "libbpf_log.h"
#include "log_event.h"
#include "tcx.h"

static bool is_wanted(const struct attachment *attachment) {
    return attachment->program;
}

static void report_blocked(const struct attach *attach, const struct attachment *attachment) {
    pb_log_event(LOG_WARNING,
                 "%s: %s is not counted: the interface has a qdisc of kind ingress, whose filters "
                 "all run in ingress; remove it with tc qdisc del dev %s ingress, or use Linux 6.6 "
                 "or later, where no qdisc is needed.",
                 attach->name, direction_names[attachment->direction], attach->name);
}

/* Attaches, or reports that it is impossible now. */
static int attach_direction(struct attach *attach, struct attachment *attachment) {
    int error = attach->ops->attach(attach, attachment);

    if (error)
        return error;
    if (attachment->blocked)
        report_blocked(attach, attachment);
    else
        attachment->attached = true;
    return 0;
}

int attach_restore(struct attach *attach, char reason[ATTACH_REASON_SIZE]) {
    /* An earlier daemon's, of other settings. First: it goes even if the others fail. */
    for (int direction = 0; direction < DIRECTIONS; direction++)
        if (!is_wanted(&attach->attachments[direction]))
            attach->ops->detach(attach, &attach->attachments[direction]);

    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct attachment *attachment = &attach->attachments[direction];
        int error;

        if (attachment->attached || attachment->blocked || !is_wanted(attachment))
            continue;
        error = attach_direction(attach, attachment);
        if (error) {
            snprintf(reason, ATTACH_REASON_SIZE, "cannot attach to %s via %s: %s.",
                     direction_names[direction], attach->ops->name, strerror(-error));
            return error;
        }
    }
    return 0;
}

static void detach_and_free(struct attach *attach) {
    for (int direction = 0; direction < DIRECTIONS; direction++)
        if (is_wanted(&attach->attachments[direction]))
            attach->ops->detach(attach, &attach->attachments[direction]);
    free(attach);
}

int attach_open(struct attach **out, const struct attach_settings *settings,
                char reason[ATTACH_REASON_SIZE]) {
    struct attach *attach = calloc(1, sizeof(*attach));
    int error;

    if (!attach) {
        snprintf(reason, ATTACH_REASON_SIZE, "out of memory.");
        return -ENOMEM;
    }
    attach->ops = tcx_is_supported(settings->interface) ? &tcx_ops : &clsact_ops;
    attach->pins = settings->pins;
    attach->interface = settings->interface;
    snprintf(attach->name, sizeof(attach->name), "%s", settings->name);
    for (int direction = 0; direction < DIRECTIONS; direction++)
        attach->attachments[direction] = (struct attachment){
            .direction = direction,
            .program = settings->programs[direction],
            .link = -1,
        };

    error = attach_restore(attach, reason);
    if (error)
        detach_and_free(attach);
    else
        *out = attach;
    return error;
}

/* Whether it is impossible to attach now, which is reported. */
static bool becomes_blocked(const struct attach *attach, struct attachment *attachment) {
    bool blocked;

    if (!attach->ops->check_blocked || attach->ops->check_blocked(attach, attachment, &blocked) ||
        !blocked)
        return false;
    attachment->blocked = true;
    report_blocked(attach, attachment);
    return true;
}

/* Attaches where it was impossible. 0 as well if it still is; -ENOENT: it failed. */
static int unblock(struct attach *attach, struct attachment *attachment) {
    bool blocked;
    int error = attach->ops->check_blocked(attach, attachment, &blocked);

    if (error || blocked)
        return error;
    attachment->blocked = false;
    error = attach_direction(attach, attachment);
    if (error)
        return error == -ENODEV ? error : -ENOENT;
    if (attachment->attached)
        pb_log_event(LOG_NOTICE,
                     "%s: the qdisc of kind ingress was removed; counting %s from now on.",
                     attach->name, direction_names[attachment->direction]);
    return 0;
}

static int check_direction(struct attach *attach, struct attachment *attachment) {
    bool preempted = attachment->preempted;
    int error = -ENOENT;

    if (attachment->blocked)
        return unblock(attach, attachment);
    if (attachment->attached)
        error = attach->ops->check(attach, attachment, &preempted);
    if (preempted && !attachment->preempted)
        pb_log_event(LOG_WARNING,
                     "%s: another program now runs before ours on %s; packets it consumes are not "
                     "counted.",
                     attach->name, direction_names[attachment->direction]);
    attachment->preempted = preempted;
    if (error == -ENOENT && attachment->attached) {
        attachment->attached = false;
        attach->ops->detach(attach, attachment);
    }
    return error == -ENOENT && becomes_blocked(attach, attachment) ? 0 : error;
}

int attach_check(struct attach *attach, const char *name) {
    int result = 0;

    snprintf(attach->name, sizeof(attach->name), "%s", name); /* it may have been renamed */
    log_capture_begin();
    for (int direction = 0; direction < DIRECTIONS && result != -ENODEV; direction++) {
        struct attachment *attachment = &attach->attachments[direction];
        int error = is_wanted(attachment) ? check_direction(attach, attachment) : 0;

        if (error)
            result = error;
    }
    log_capture_end(attach->name, -1);
    return result;
}

bool attach_is_counting(const struct attach *attach) {
    return attach->attachments[INGRESS].attached || attach->attachments[EGRESS].attached;
}

void attach_close(struct attach *attach) {
    if (!attach)
        return;
    log_capture_begin();
    detach_and_free(attach);
    log_capture_end("", -1);
}

void attach_disown(struct attach *attach) {
    if (!attach)
        return;
    for (int direction = 0; direction < DIRECTIONS && attach->ops->disown; direction++)
        attach->ops->disown(&attach->attachments[direction]);
    free(attach);
}

void attach_remove_stale(int interface) {
    if (tcx_is_supported(interface)) /* links end with their daemon */
        return;
    log_capture_begin();
    clsact_remove_stale(interface, NULL, NULL);
    log_capture_end("", -1);
}
