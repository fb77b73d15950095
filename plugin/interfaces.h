/* SPDX-License-Identifier: MIT */
/*
 * All interfaces by name, and one read of all of them. An interface is remembered after it was
 * removed, so that its series continue when it returns.
 *
 * One thread at a time. Errors are negative errno.
 */
#ifndef PB_INTERFACES_H
#define PB_INTERFACES_H

#include "interface.h"

struct interfaces {
    struct interface *first;
    struct interface_env env;
};

/* All links as netlink.h lists them; the array is the caller's. */
struct links {
    struct netlink_link *link;
    unsigned number;
};

/* -ENOMEM. settings must outlive it, and so must env.pins, which the caller sets afterwards. */
int interfaces_init(struct interfaces *interfaces, const struct settings *settings);

/* With `keep` what is pinned stays attached, see instance_close. */
void interfaces_free(struct interfaces *interfaces, bool keep);

/* NULL: there is no such name. */
struct interface *interfaces_find(const struct interfaces *interfaces, const char *name);

/* NULL: no memory. */
struct interface *interfaces_find_or_create(struct interfaces *interfaces, const char *name);

/* NULL: no such link. */
const struct netlink_link *links_find(const struct links *links, int index);

/* The ephemeral range under the current sysctl, or whatever is folded in place of it. */
struct port_range interfaces_ephemeral(const struct settings *settings);

/*
 * Stops counting on interfaces that were removed or aren't wanted any more, and passes the
 * instances of renamed ones on to their new names. 0 or -ENOMEM.
 */
int interfaces_follow(struct interfaces *interfaces, const struct links *links);

/*
 * Reads every interface and reports every series. interval: nanoseconds between reads. May wait
 * for a grace period.
 */
void interfaces_read(struct interfaces *interfaces, __u64 interval, interface_report_fn *report,
                     void *context);

#endif
