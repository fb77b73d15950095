/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark's programs share: clocks, samples, packets, the plugin's classifier
 * as the plugin sets it up. Everything here ends the program when it fails.
 *
 * A sample is one line on the standard output, fields separated by tabs:
 *     SECTION CASE VARIANT UNIT VALUE
 * report.py makes tables of medians of them.
 */
#ifndef PB_BENCH_H
#define PB_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>

#include "classifier.h"
#include "counters.h"
#include "slots.h"
#include "tc_portbytes.h"

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void sample(const char *section, const char *name, const char *variant, const char *unit,
            double value);

double wall(void);    /* seconds */
double cpu_ns(void);  /* of this thread */
void pin(int number); /* to the number-th CPU that we may use */

/* ---- packets ---- */

enum kind {
    UDP4,
    TCP6,
    VLAN4,
    QINQ4,
    OPTIONS4,
    FIRST_FRAGMENT4,
    LATER_FRAGMENT4,
    HOPBYHOP6,
    GSO4,
    SCTP4,
    ICMP4,
    ARP,
    KINDS
};

extern const char *const kind_names[KINDS];

#define FRAME_MOST 512

/* Returns the frame's length. To port 53; TCP and SCTP: 443. */
size_t build_frame(unsigned char frame[FRAME_MOST], enum kind kind);

/*
 * Runs a program `repeat` times over a frame in one system call. Returns ns of CPU time
 * for all. skb: its GSO fields and the interface's index, or NULL: on the loopback interface.
 */
#define LOOPBACK 1 /* index, in every network namespace */
double run(int program, const unsigned char *frame, size_t length, struct __sk_buff *skb,
           unsigned repeat);

/*
 * The same for a few runs: ns of each, rounded down, by the kernel's clock, which it reads before
 * the first and after the last one.
 */
unsigned run_briefly(int program, const unsigned char *frame, size_t length, struct __sk_buff *skb,
                     unsigned repeat);

/* ---- programs ---- */

/*
 * A program that gives each run the next of `count` destination ports from `first` on and
 * then runs `program`. 1 << sequence_bits(count) runs visit each.
 */
int sequence_of(int program, unsigned first, unsigned count);
unsigned sequence_bits(unsigned count);

/* The file descriptor of a program of this process by its name: the latest one opened. */
int own_program(const char *name);

/* The sum of the kernel's own figures (memlock in fdinfo) of maps and programs opened here. */
size_t own_memory(void);
size_t fd_memory(int fd);

#define OURS_INTERFACES 16

/* The classifier, its memory, and the interfaces on which it counts. */
struct ours {
    struct classifier *classifier;
    struct slots *slots; /* NULL: the table was filled by hand */
    struct pb_shared *shared;
    int ingress, egress;
    __u32 slots_used;
    struct counters *counters[OURS_INTERFACES];
    unsigned interfaces;
};

/*
 * As with default settings: 512 slots for new ports, as many for listening ones, the
 * ephemeral range folded. Counts on this interface, unattached.
 */
void ours_default(struct ours *ours, int interface);

/* Every one of `count` UDP ports from `first` on has a counter of its own. */
void ours_every_port(struct ours *ours, int interface, unsigned first, unsigned count);

/* Counts on one more. */
void ours_add_interface(struct ours *ours, int interface);

/* The first `number` slots of an interface, the first one being 0. */
void ours_read(const struct ours *ours, unsigned interface, __u32 number,
               struct pb_counters *counters);

/* Packets counted so far, of one interface and of all. */
__u64 ours_packets_of(const struct ours *ours, unsigned interface);
__u64 ours_packets(const struct ours *ours);
void ours_close(struct ours *ours);

/*
 * The classifier of an older revision, which each interface had one of: loaded from the object
 * file that PB_BENCH_OLD names in the environment. old_object: the path; NULL: there is none, and
 * nothing else here may be called.
 */
struct old {
    struct bpf_object *object;
    struct slots *slots;
    struct pb_shared *shared;
    int ingress, counters;
    __u32 slots_used;
};

const char *old_object(void);
void old_default(struct old *old);
void old_every_port(struct old *old, unsigned first, unsigned count);
__u64 old_packets(const struct old *old);
void old_close(struct old *old);

#endif
