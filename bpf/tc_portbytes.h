/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The contract between the classifier (bpf/) and the plugin (plugin/): keys, slots, and the memory
 * that both access. Types and constants only.
 *
 * A key says what a packet is: a port of a transport, an IP protocol without ports, not IP, or
 * decrypted by IPsec. A slot is a counter. The table maps keys to slots; user space decides which
 * keys share a slot, the classifier only looks it up.
 *
 * All numbers are in host byte order.
 */
#ifndef TC_PORTBYTES_H
#define TC_PORTBYTES_H

#include <linux/types.h>

/* ---- keys ---- */

enum pb_transport { PB_TCP, PB_UDP, PB_SCTP, PB_TRANSPORTS };

#define PB_PORTS                65536u
#define PB_KEY(transport, port) ((__u32)(transport)*PB_PORTS + (port))
#define PB_PORT_KEYS            (PB_TRANSPORTS * PB_PORTS) /* keys below have a port */
#define PB_PROTOCOLS            256u
#define PB_KEY_IP(protocol)     (PB_PORT_KEYS + (protocol))
#define PB_KEY_NONIP            (PB_PORT_KEYS + PB_PROTOCOLS)
#define PB_KEY_DECRYPTED        (PB_KEY_NONIP + 1)
#define PB_KEYS                 (PB_KEY_DECRYPTED + 1)

/* ---- slots ---- */

/*
 * 0 is no slot: in the table a key without one, in the ring an empty cell. Then come the fixed
 * slots, whose meaning never changes:
 */
#define PB_SLOT_OTHER(transport)     (1u + (transport))
#define PB_SLOT_EPHEMERAL(transport) (1u + PB_TRANSPORTS + (transport))
#define PB_SLOT_IP(protocol)         (1u + 2 * PB_TRANSPORTS + (protocol))
#define PB_SLOT_NONIP                (1u + 2 * PB_TRANSPORTS + PB_PROTOCOLS)
#define PB_SLOT_DECRYPTED            (PB_SLOT_NONIP + 1)
#define PB_FIXED_SLOTS               (PB_SLOT_DECRYPTED + 1) /* their number, with slot 0 */

/*
 * Then the dynamic slots, which the classifier takes from the ring for new ports, and behind them
 * those that only user space assigns.
 */
#define PB_DYNAMIC_MAX 32768u
#define PB_RING        65536u /* a power of two, and more than all dynamic slots together */
#define PB_DYNAMIC_END (PB_FIXED_SLOTS + PB_DYNAMIC_MAX)

/* Aligned, since the 32-bit x86 ABI aligns a __u64 to 4 bytes: that is no atomic load for clang. */
struct pb_counters {
    __aligned_u64 rx_bytes; /* on the wire, see README "What is counted" */
    __aligned_u64 rx_packets;
    __aligned_u64 tx_bytes;
    __aligned_u64 tx_packets;
};

/* ---- rows ---- */

/*
 * An interface's counters are a map of their own, its row. It has a lane of slots for each CPU
 * below `lanes`, and behind them one that all other CPUs share, which were not online when the
 * number was chosen.
 *
 * The row of an interface is that of its index modulo PB_ROWS, or, where another one has it
 * already, one of the spare rows behind; PB_ROW_BY_INDEX as row of a program means the former.
 */
#define PB_ROWS         262144u /* a power of two */
#define PB_SPARE_ROWS   16u
#define PB_ROW_BY_INDEX 0xffffffffu

/* ---- shared memory, one for all interfaces ---- */

#define PB_LINE 128 /* two cache lines: x86 prefetches them in pairs */

/*
 * The ring holds the free dynamic slots. Only user space pushes, at tail; only the classifier pops,
 * at head, under its lock. head and tail are stored unmasked: tail - head slots are free. A cell is
 * 0 before it is pushed to and after it was popped. The ring is never full, so the cell at tail is
 * not 0 only while a slot is pushed to it.
 *
 * Both sides change entries of the table by compare-and-swap or exchange only. key_of[slot] is the
 * key that last took a dynamic slot from the ring; it is written before the table entry that
 * publishes the slot.
 */
struct pb_shared {
    __u32 table[PB_KEYS];
    __u32 key_of[PB_DYNAMIC_END];
    __u32 ring[PB_RING];
    __u64 head __attribute__((aligned(PB_LINE)));
    __u64 tail __attribute__((aligned(PB_LINE)));
    /*
     * Not 0: the network namespace has IPsec states, so ingress may see a packet twice, the second
     * time decrypted (PB_KEY_DECRYPTED). User space sets it, and it stays.
     */
    __u32 ipsec;
} __attribute__((aligned(PB_LINE)));

/* ---- settings, constant once loaded ---- */

/*
 * For l2_len, where it is no number of bytes: L3 is where the kernel says it is. What stands before
 * it is counted (UNKNOWN), or it is not, because it is another layer's or the kernel's own
 * (FOREIGN). XFRM is as FOREIGN, of an interface on which all that comes in was decrypted: its
 * packets keep their ports.
 */
#define PB_L2_UNKNOWN 0xffffffffu
#define PB_L2_FOREIGN 0xfffffffeu
#define PB_L2_XFRM    0xfffffffdu

/* Which port of a packet is its key. */
enum pb_port { PB_PORT_SOURCE, PB_PORT_DESTINATION, PB_PORT_LOWER };

#endif
