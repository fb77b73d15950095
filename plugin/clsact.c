/* SPDX-License-Identifier: MIT */
#include "clsact.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "log_event.h"
#include "netlink.h"

/*
 * The first priority there is, and handles that others will not pick by chance, one for each
 * daemon that counts here.
 */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   0x70627970 /* "pbyp" */
#define DAEMONS_MAX     128

static struct bpf_tc_hook hook_of(int interface, enum direction direction) {
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook),
        .ifindex = interface,
        .attach_point = direction == INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
    };
}

/* ---- what daemons left ---- */

/* libbpf names a filter after its program. Unlike the program itself, anybody may read that. */
static bool is_ours(const struct netlink_filter *filter) {
    return filter->program && (!strncmp(filter->name, "tc_portbytes_in:", 16) ||
                               !strncmp(filter->name, "tc_portbytes_eg:", 16));
}

/* Of a killed daemon, or of `program`, which is left over if a detach failed; 0: of none. */
static bool is_stale(const struct netlink_filter *filter, __u32 program) {
    return is_ours(filter) && (filter->program == program || !alive_is(filter->program));
}

static int remove_filter(int interface, enum direction direction,
                         const struct netlink_filter *filter) {
    struct bpf_tc_hook hook = hook_of(interface, direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = filter->handle, .priority = filter->priority);

    return bpf_tc_detach(&hook, &options);
}

struct removal {
    __u32 program;                    /* what is stale beside killed daemons', see is_stale */
    struct netlink_filter *inherited; /* the first of them is kept and described here; or NULL */
    clsact_removed_fn *removed;       /* is called for each other; or NULL */
    void *context;
};

/*
 * Removes the stale filters in one direction. Where there is none, inherited->program stays as it
 * is. Negative errno: what is there is not known.
 */
static int remove_stale(int interface, enum direction direction, const struct removal *removal) {
    struct netlink_filter *inherited = removal->inherited, *filters;
    unsigned number;
    int error = netlink_filters(interface, direction == EGRESS, &filters, &number);

    if (error)
        return error;
    for (unsigned i = 0; i < number; i++) {
        if (!is_stale(&filters[i], removal->program))
            continue;
        if (inherited && !inherited->program) {
            *inherited = filters[i];
            continue;
        }
        error = remove_filter(interface, direction, &filters[i]);
        if (removal->removed)
            removal->removed(removal->context, direction, filters[i].program, error);
    }
    free(filters);
    return 0;
}

/* ---- attaching ---- */

/* In place of a killed daemon's filter, without a gap: it may still be counting. */
static int replace(const struct bpf_tc_hook *hook, const struct netlink_filter *inherited,
                   struct bpf_tc_opts *options) {
    options->handle = inherited->handle;
    options->priority = inherited->priority;
    options->flags = BPF_TC_F_REPLACE;
    return bpf_tc_attach(hook, options);
}

/* At the first priority, under the first handle that no other daemon has. */
static int add_first(const struct bpf_tc_hook *hook, struct bpf_tc_opts *options) {
    int error = -EEXIST;

    for (__u32 n = 0; n < DAEMONS_MAX && error == -EEXIST; n++) {
        options->handle = FILTER_HANDLE + n;
        error = bpf_tc_attach(hook, options);
    }
    return error;
}

/*
 * A qdisc of kind ingress has one block of filters, which a filter for egress would join, and run
 * in ingress: ingress_tcf_block() in net/sched/sch_ingress.c.
 */
static int check_blocked(const struct attach *attach, const struct attachment *attachment,
                         bool *blocked) {
    char kind[IFNAMSIZ];
    int error;

    *blocked = false;
    if (attachment->direction == INGRESS)
        return 0;
    error = netlink_ingress_qdisc(attach->interface, kind);
    *blocked = !error && !strcmp(kind, "ingress");
    return error;
}

static int clsact_attach(struct attach *attach, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = attachment->program->fd,
                .priority = FILTER_PRIORITY);
    LIBBPF_OPTS(bpf_tc_opts, behind, .prog_fd = attachment->program->fd);
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    struct netlink_filter inherited = {0};
    const struct removal removal = {.program = attachment->program->id, .inherited = &inherited};
    int error = alive_begin(attachment->program);

    if (error)
        return error;
    error = bpf_tc_hook_create(&hook);
    if (error && error != -EEXIST)
        return error;
    error = check_blocked(attach, attachment, &attachment->blocked);
    if (error || attachment->blocked)
        return error;
    /* Beside one that is left over, our filter would count every packet again. */
    error = remove_stale(attach->interface, attachment->direction, &removal);
    if (error)
        return error;

    error = inherited.program ? replace(&hook, &inherited, &options) : add_first(&hook, &options);
    if (error == -EINVAL && !inherited.program) {
        /* A filter of another kind has the first priority. The kernel picks one behind it. */
        behind.handle = FILTER_HANDLE;
        error = bpf_tc_attach(&hook, &behind);
        options.handle = behind.handle;
        options.priority = behind.priority;
        attachment->preempted = !error;
        if (!error)
            pb_log_event(LOG_WARNING,
                         "%s: a filter of another kind has the first priority on %s; packets it "
                         "consumes are not counted.",
                         attach->name, direction_names[attachment->direction]);
    }
    if (error)
        return error;
    attachment->handle = options.handle;
    attachment->priority = options.priority;
    return 0;
}

/* Whether the filter under our handle is ours. -ENOENT: it isn't, or there is none. */
static int check_filter(const struct attach *attach, const struct attachment *attachment) {
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = attachment->handle,
                .priority = attachment->priority);
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    int error = bpf_tc_query(&hook, &options);

    if (error)
        return error == -EINVAL ? -ENOENT : error; /* -EINVAL: the parent qdisc is not there */
    return options.prog_id == attachment->program->id ? 0 : -ENOENT;
}

static int clsact_check(struct attach *attach, struct attachment *attachment, bool *preempted) {
    struct netlink_filter *filters;
    bool others = false, found = false;
    unsigned number;
    int error =
        netlink_filters(attach->interface, attachment->direction == EGRESS, &filters, &number);

    if (error)
        return error;
    for (unsigned i = 0; i < number; i++) {
        if (filters[i].handle == attachment->handle &&
            filters[i].priority == attachment->priority &&
            filters[i].program == attachment->program->id) {
            *preempted = others;
            found = true;
        }
        others = others || !is_ours(&filters[i]);
    }
    free(filters);
    /* The list is empty as well if there is no such interface. */
    return found ? 0 : check_filter(attach, attachment);
}

/*
 * ---- detaching ----
 *
 * The qdisc stays, also if we created it: between the look whether it has filters and its deletion
 * somebody can add one, which would vanish with it.
 */

static void clsact_detach(struct attach *attach, struct attachment *attachment) {
    struct bpf_tc_hook hook = hook_of(attach->interface, attachment->direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = attachment->handle,
                .priority = attachment->priority);

    /* Not attached: there may be one whose reply was lost for lack of memory. */
    const struct removal removal = {.program = attachment->program ? attachment->program->id : 0};

    if (!attachment->program || !attachment->attached)
        remove_stale(attach->interface, attachment->direction, &removal);
    else if (check_filter(attach, attachment) == 0)
        bpf_tc_detach(&hook, &options);
}

int clsact_remove_stale(int interface, clsact_removed_fn *removed, void *context) {
    const struct removal removal = {.removed = removed, .context = context};
    int error = 0;

    for (int direction = 0; direction < DIRECTIONS && !error; direction++)
        error = remove_stale(interface, direction, &removal);
    return error;
}

const struct attach_ops clsact_ops = {
    .name = "clsact",
    .attach = clsact_attach,
    .check = clsact_check,
    .detach = clsact_detach,
    .check_blocked = check_blocked,
};
