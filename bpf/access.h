/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How the classifier accesses memory that user space maps: by single loads and stores, and within
 * bounds that the verifier can see.
 */
#ifndef PB_ACCESS_H
#define PB_ACCESS_H

#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* One load or store, as in the kernel: the compiler neither repeats nor splits nor drops it. */
#define READ_ONCE(x)         (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/*
 * &array[index] for an array of __u32. The index is always below the array's length, but the
 * verifier doesn't know that. It has to see the bound on the very register that is added to the
 * address, and C can't express that. The compiler drops a mask that changes nothing, and may move
 * an index between check and use: clang 16 and later pack it into one register with another value
 * and extract it again, where Linux 6.1 loses the bound ("unbounded memory access"). So check and
 * addition are one block of assembly. Its result is a pointer, whose bounds survive copies and
 * spills.
 *
 * That also covers byte swaps: Linux 6.1 to 6.18 take even the result of a 16-bit one as
 * unbounded. The branch for an index out of bounds, never taken, yields the last element.
 */
#define PB_ELEMENT(array, index)                                                                   \
    ({                                                                                             \
        __u32 *element_ = (array);                                                                 \
        __u64 index_ = (index);                                                                    \
        asm volatile("if %[i] < %[length] goto +1;"                                                \
                     "%[i] = %[length] - 1;"                                                       \
                     "%[i] <<= 2;"                                                                 \
                     "%[element] += %[i];"                                                         \
                     : [element] "+r"(element_), [i] "+r"(index_)                                  \
                     : [length] "i"(sizeof(array) / sizeof(__u32)));                               \
        element_;                                                                                  \
    })

#endif
