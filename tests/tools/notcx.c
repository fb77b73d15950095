/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into collectd, it makes the plugin believe that the kernel has no tcx,
 * by the answer that such a kernel gives. So clsact is tested here too.
 */
#include <errno.h>
#include <linux/types.h>

int bpf_prog_query(int target, int type, __u32 flags, __u32 *attach_flags, __u32 *ids,
                   __u32 *number);

int bpf_prog_query(int target, int type, __u32 flags, __u32 *attach_flags, __u32 *ids,
                   __u32 *number) {
    (void)target, (void)type, (void)flags, (void)attach_flags, (void)ids, (void)number;
    return -EINVAL;
}
