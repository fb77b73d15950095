/* SPDX-License-Identifier: MIT */
/*
 * All interfaces by name, and one read of all of them. An interface that counted anything is
 * remembered after it was removed, so that its series continue when it returns.
 *
 * Whoever can start containers, say, can make interfaces under ever new names. Storage keeps the
 * series of each: so at most INTERFACES_NAMES_MAX new names have any, of which half are forgotten
 * in a week. What Interface names as it is has them in any case. And memory has the totals of the
 * last INTERFACES_FORMER_MAX that were removed.
 *
 * One thread at a time. Errors are negative errno.
 */
#ifndef PB_INTERFACES_H
#define PB_INTERFACES_H

#include "bar.h"
#include "interface.h"
#include "links.h"

#define INTERFACES_NAMES_MAX  8192u
#define INTERFACES_FORMER_MAX 1024u

struct interfaces {
    struct interface *first;
    struct interface *next_check; /* where the next read begins to look after attachments */
    struct interface_env env;
    struct bar names; /* that had series for the first time */
    struct log_limit names_failure;
    struct new_ports new_ports; /* of the last read, with notify_new_ports */
    struct key_set known;       /* the ports that listened in the first reads */
    unsigned reads;             /* up to NEW_PORTS_FIRST_READS */
};

/*
 * Opens the classifier and prepares the slots; resumes both from what is pinned. settings and pins
 * must outlive it; pins may be NULL. On failure one line is logged, and interfaces_free is called
 * all the same.
 */
int interfaces_init(struct interfaces *interfaces, const struct settings *settings,
                    const struct pins *pins);

/* With `keep` what is pinned stays attached, see instance_close. */
void interfaces_free(struct interfaces *interfaces, bool keep);

/* NULL: there is no such name. */
struct interface *interfaces_find(const struct interfaces *interfaces, const char *name);

/* NULL: no memory. */
struct interface *interfaces_find_or_create(struct interfaces *interfaces, const char *name);

/* How many interfaces have an instance. */
unsigned interfaces_number(const struct interfaces *interfaces);

/*
 * The links that are wanted and up and not attached, and that are due for an attempt, into
 * pending[], which has room for all of `links`. Returns how many. *later is set if others will be
 * due later. Marks the links that are attached.
 */
unsigned interfaces_pending(const struct interfaces *interfaces, const struct links *links,
                            const struct netlink_link **pending, bool *later);

/*
 * Takes the attachments of interfaces that were removed, aren't wanted any more, or have got
 * another link layer, into detached[], which has room for all instances; they are the caller's to
 * close, and the interfaces to be ended. Returns how many.
 */
unsigned interfaces_detach(struct interfaces *interfaces, const struct links *links,
                           struct attach **detached);

/*
 * The instances of interfaces that are to be ended, into removed[], which has room for all.
 * Returns how many. interfaces_end reads them a last time, when nothing counts in them any more,
 * and logs that if they are `gone`; then they are the caller's to close.
 */
unsigned interfaces_removed(const struct interfaces *interfaces, struct instance **removed);
void interfaces_end(struct interfaces *interfaces, bool gone);

/*
 * Passes the instances of renamed interfaces on to their new names. Those for which there is no
 * memory come into ended[], to be withdrawn and closed. Returns how many.
 */
unsigned interfaces_rename(struct interfaces *interfaces, const struct links *links,
                           struct instance **ended);

/*
 * Whether the series of the interface, if it has any, are reported. If not, that is logged, but
 * ever more rarely. To be asked in each read.
 */
bool interfaces_admit(struct interfaces *interfaces, struct interface *interface);

/*
 * Forgets removed interfaces whose names no link has: those that never counted or reported
 * anything, and of the others all but the last INTERFACES_FORMER_MAX.
 */
void interfaces_forget(struct interfaces *interfaces, const struct links *links);

/*
 * Reads every interface and reports every series. interval: nanoseconds between reads. May wait
 * for a grace period. With notify_new_ports, new_ports has what became a series.
 */
void interfaces_read(struct interfaces *interfaces, __u64 interval, interface_report_fn *report,
                     void *context);

#endif
