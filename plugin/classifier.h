/* SPDX-License-Identifier: MIT */
/*
 * The classifier: the BPF object, its programs and maps, which all interfaces share. The programs
 * are loaded once for each kind of link layer. counters.h has what each interface has of its own;
 * these two are the only modules that know the skeleton or maps. Attaching is attach.h's.
 *
 * Errors are negative errno and are not logged. classifier_programs and classifier_close from one
 * thread; the rest from any.
 */
#ifndef PB_CLASSIFIER_H
#define PB_CLASSIFIER_H

#include <stdbool.h>
#include <stddef.h>

#include "load_error.h"
#include "program.h"
#include "tc_portbytes.h"

struct classifier;
struct pins;

struct classifier_settings {
    enum pb_port ingress_port, egress_port; /* which port makes the key */
    bool ingress, egress;                   /* which programs to load */
    __u32 slots;                            /* of all kinds, slot 0 included */
    __u32 lanes;                            /* of each interface's counters, see tc_portbytes.h */
    bool atomic_adds;                       /* a lane's counters, too, take atomic adds */
};

/* A lane for each CPU that is online now: the highest of their numbers plus 1. */
__u32 classifier_lanes(void);

/*
 * Whether atomic_adds are needed: this kernel may interrupt a program to run another one on the
 * same CPU, in the middle of an add, so that counts would be lost; or it stores 8 bytes in halves,
 * between which user space could read them; or all CPUs count in lane 0, as riscv64's do (seen on
 * 6.12) while its JIT compiler is off, Debian's default: bpf_get_smp_processor_id() is 0 then.
 */
bool classifier_needs_atomics(void);

/*
 * Where the shared maps are pinned so that they outlive the process. With them come `state_size`
 * bytes of memory, which snapshot.h gives a form. If what is there was committed under
 * `fingerprint`, the classifier resumes with the shared memory and the state that it finds; else
 * all is made anew.
 */
struct classifier_pins {
    const struct pins *pins; /* must outlive the classifier */
    size_t state_size;
    __u64 fingerprint;
};

/*
 * Makes or resumes the maps, and loads the programs for Ethernet. pins NULL: nothing outlives the
 * process. Needs kernel 5.12, CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. On failure reason[] has one
 * sentence with the remedy.
 */
int classifier_open(struct classifier **out, const struct classifier_settings *settings,
                    const struct classifier_pins *pins, char reason[LOAD_ERROR_SIZE]);

/* Pins stay. NULL is allowed. */
void classifier_close(struct classifier *classifier);

/*
 * The programs for interfaces with l2_len bytes before L3, or PB_L2_*, and of this row or
 * PB_ROW_BY_INDEX; loaded when they are first wanted. They stay the classifier's. On failure
 * reason[] as above.
 */
int classifier_programs(struct classifier *classifier, __u32 l2_len, __u32 row,
                        struct program *programs[DIRECTIONS], char reason[LOAD_ERROR_SIZE]);

/* Whether it resumed what was pinned. */
bool classifier_resumed(const struct classifier *classifier);

/* The memory of classifier_pins.state_size; NULL without pins. Lives as long as the classifier. */
void *classifier_state(struct classifier *classifier);

/* A number that no other set of shared maps has had since the machine was started. */
__u32 classifier_id(const struct classifier *classifier);

/* The memory shared with the programs; lives as long as the classifier. */
struct pb_shared *classifier_shared(struct classifier *classifier);

/*
 * Waits until no CPU runs a program that began before the call, of any classifier: an RCU grace
 * period. -ENOSYS, -EINVAL or -EPERM where the kernel can't wait for one.
 */
int classifier_grace_period(void);

#endif
