/* SPDX-License-Identifier: MIT */
/*
 * One interface: the instance that counts on it, if any, and the ledger that keeps its series from
 * the name's first appearance to the end of the daemon.
 *
 * The functions of an instance take long, and belong to one thread, which needs no lock for them:
 * of what is shared they change the classifier only, which is that thread's. All others are for one
 * thread at a time. Errors are negative errno.
 */
#ifndef PB_INTERFACE_H
#define PB_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>

#include "attach.h"
#include "counters.h"
#include "ledger.h"
#include "listeners.h"
#include "log_limit.h"
#include "netlink.h"
#include "new_ports.h"
#include "policy.h"
#include "slots.h"

struct pins;

/* What all interfaces share. The monitor's. */
struct interface_env {
    const struct settings *settings;
    const struct pins *pins; /* NULL: nothing outlives the daemon */
    struct classifier *classifier;
    struct slots *slots;
    __u64 fingerprint; /* of what is pinned, see policy.h */
    struct listeners listeners;
    struct ephemeral ephemeral;
    struct port_set folded;
    struct pb_counters *sums; /* by slot, for one read of one interface */
};

/* How long after a failure to attach the next attempt comes. */
#define RETRY_INTERVAL (60 * SECOND)

/* ---- what counts on one interface index ---- */

struct instance {
    struct counters *counters;
    struct tally *tally;   /* NULL: not begun, see interface_begin */
    struct attach *attach; /* NULL: not attached */
    bool counting;         /* it was ever attached */
    int index;
    unsigned short type; /* ARPHRD_..., when it was opened */
    __u32 l2_len;        /* by that, see policy.h */
    const struct pins *pins;
};

#define INSTANCE_REASON_SIZE LOAD_ERROR_SIZE

/*
 * Makes the counters of a link; with pins it resumes what is pinned. Nothing counts in them yet. On
 * failure reason[] has one sentence.
 */
int instance_open(struct instance **out, const struct interface_env *env,
                  const struct netlink_link *link, char reason[INSTANCE_REASON_SIZE]);

/*
 * Attaches the classifier, whose programs are loaded if they aren't yet; the attachment is the
 * caller's. On failure nothing is attached and reason[] has one sentence. -ENODEV: the link has
 * gone meanwhile.
 */
int instance_attach(const struct instance *instance, const struct interface_env *env,
                    const char *name, struct attach **out, char reason[INSTANCE_REASON_SIZE]);

/*
 * Detaches, and removes its pins. With `keep` and pins everything stays pinned and attached
 * instead. Its counters must have been withdrawn, or the classifier be closed next.
 */
void instance_close(struct instance *instance, bool keep);

/* ---- an interface name ---- */

struct interface {
    struct interface *next;    /* the monitor's list */
    struct instance *instance; /* NULL: not counted */
    struct ledger *ledger;
    unsigned final_reports;            /* reads that still report its series after it was removed */
    __u64 removed_at;                  /* monotonic ns; 0: not removed */
    const struct listeners *listeners; /* those of all interfaces; NULL: never counted */
    bool admitted;                     /* its series are reported */
    unsigned reads;                    /* up to one more than NEW_PORTS_FIRST_READS, or from that */
    __u64 accounted_at;                /* boottime ns; 0: never */
    __u64 period;                      /* ns between the last two times; 0: unknown */
    bool loopback;            /* listeners on loopback addresses can be reached through it */
    __u64 retry_at;           /* monotonic ns: no attempt to attach to failed_index before then */
    struct log_limit failure; /* to attach, of the index and with the error that follow */
    int failed_index, failed_error;
    char name[IFNAMSIZ];
};

/* NULL: no memory. */
struct interface *interface_new(const char *name, const struct settings *settings);

/* Closes its instance too, see instance_close. */
void interface_free(struct interface *interface, bool keep);

/*
 * The instance begins to be read under this name, and belongs to the interface. What it found
 * pinned is restored first; *resumed tells whether there was anything. On -ENOMEM nothing is taken.
 */
int interface_begin(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link, bool *resumed);

/* Whether an attempt to attach to this index is due. */
bool interface_may_attach(const struct interface *interface, int index, __u64 now);

/*
 * Ends the log capture of an attempt to attach. error 0 or -ENODEV: the interface was attached, or
 * deleted meanwhile. Else the reason and libbpf's lines are logged, but ever more rarely while the
 * same error repeats.
 */
void interface_end_attempt(struct interface *interface, const struct netlink_link *link, int error,
                           const char *reason);

/* The instance is attached, and its series are reported from now on. */
void interface_attached(struct interface *interface, struct attach *attach);

/*
 * The interface was renamed: interface_pass accounts what it counted and returns its instance,
 * which interface_take gives to another name.
 */
struct instance *interface_pass(struct interface *interface, const struct interface_env *env);
void interface_take(struct interface *interface, const struct interface_env *env,
                    struct instance *instance, const struct netlink_link *link);

/*
 * The interface was removed, or is not wanted any more: interface_detach returns its attachment, to
 * be closed; NULL: none. After that, when no CPU counts any more, interface_end reads it a last
 * time; its instance is to be closed then.
 */
struct attach *interface_detach(struct interface *interface);
void interface_end(struct interface *interface, const struct interface_env *env);

/*
 * Looks for attachments that were removed externally, and puts them back if `restore`. Returns
 * whether it tried.
 */
bool interface_check(struct interface *interface, bool restore);

/*
 * Passes the listening ports on to the slots. loopback: those that can be reached through loopback
 * only, too.
 */
void interface_apply_listeners(const struct interface_env *env, bool loopback);

/* Accounts what the interface counted in the listed slots, and keeps those of its series. */
void interface_read(struct interface *interface, const struct interface_env *env, const __u32 *list,
                    __u32 number);

/*
 * Adds to `found` what has become a series with the last read. NULL: nobody is to know, as in the
 * first NEW_PORTS_FIRST_READS reads, unless a saved state was restored. Before interface_report.
 */
void interface_find_new(struct interface *interface, const struct key_set *known,
                        struct new_ports *found);

/*
 * Reports every series once; after the interface was removed for final_reports more reads. Totals
 * are since the daemon began, in bytes and packets. report: NULL if nobody is to know.
 */
typedef void interface_report_fn(void *context, const char *interface, const char *instance,
                                 const struct pb_counters *total);
void interface_report(struct interface *interface, interface_report_fn *report, void *context);

#endif
