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
 * for all. skb: its GSO fields, or NULL.
 */
double run(int program, const unsigned char *frame, size_t length, struct __sk_buff *skb,
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

/* The classifier and its memory. */
struct ours {
    struct classifier *classifier;
    struct slots *slots; /* NULL: the table was filled by hand */
    struct pb_shared *shared;
    int ingress;
    __u32 slots_used;
};

/*
 * As with default settings: 512 slots for new ports, as many for listening ones, the
 * ephemeral range folded. Unattached.
 */
void ours_default(struct ours *ours);

/* Every one of `count` UDP ports from `first` on has a counter of its own. */
void ours_every_port(struct ours *ours, unsigned first, unsigned count);

/* Packets counted so far. */
__u64 ours_packets(struct ours *ours);
void ours_close(struct ours *ours);

#endif
