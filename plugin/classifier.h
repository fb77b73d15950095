/* SPDX-License-Identifier: MIT */
/*
 * The BPF object: one set of programs and maps, loaded, read, kept over a restart. The only
 * module that knows the skeleton. Attaching is attach.h's.
 *
 * Errors are negative errno and are not logged. Different classifiers are independent; one thread
 * at a time for each.
 */
#ifndef PB_CLASSIFIER_H
#define PB_CLASSIFIER_H

#include <stdbool.h>
#include <stddef.h>

#include "load_error.h"
#include "tc_portbytes.h"

struct classifier;
struct pins;

struct classifier_settings {
    __u32 l2_len;                           /* bytes before L3, or PB_L2_UNKNOWN */
    enum pb_port ingress_port, egress_port; /* which port makes the key */
    bool ingress, egress;                   /* which programs to load */
    __u32 slots;                            /* of all kinds, slot 0 included */
};

/*
 * Where the maps are pinned so that they outlive the process. With it come `state_size` bytes of
 * memory, which snapshot.h gives a form. If what is there was committed under `fingerprint`, the
 * classifier resumes with the counters, the shared memory and the state it finds; else the counters
 * restart from zero, which is logged for `name` if anything was there.
 */
struct classifier_pins {
    const struct pins *pins; /* must outlive the classifier */
    int interface;
    const char *name;
    size_t state_size;
    __u64 fingerprint;
};

/*
 * Loads the object, unattached. pins NULL: nothing outlives the process. Needs kernel 5.12,
 * CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. On failure reason[] has one sentence with the remedy.
 */
int classifier_open(struct classifier **out, const struct classifier_settings *settings,
                    const struct classifier_pins *pins, char reason[LOAD_ERROR_SIZE]);

/* Pins stay. NULL is allowed. */
void classifier_close(struct classifier *classifier);

/* Descriptors of the programs, which stay the classifier's; negative: not loaded. */
int classifier_ingress_program(const struct classifier *classifier);
int classifier_egress_program(const struct classifier *classifier);

/* The memory of classifier_pins.state_size; NULL without pins. Lives as long as the classifier. */
void *classifier_state(struct classifier *classifier);

/* The memory shared with the programs; lives as long as the classifier. */
struct pb_shared *classifier_shared(struct classifier *classifier);

/*
 * The sums over all CPUs of the first `number` slots, since the maps were made, into counters.
 * Followed by a full fence: what is read from the shared memory afterwards is not older.
 */
void classifier_read(const struct classifier *classifier, struct pb_counters *counters,
                     __u32 number);

/*
 * Waits until no CPU runs a program that began before the call, of any classifier: an RCU grace
 * period. -ENOSYS, -EINVAL or -EPERM where the kernel can't wait for one.
 */
int classifier_grace_period(void);

#endif
