/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The context as a parameter of a global function, which the verifier checks without looking at
 * its callers: the declaration has to tell that it is one.
 */
#ifndef PB_CONTEXT_H
#define PB_CONTEXT_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/*
 * Linux 6.8 and later know a context by this tag (94e1c70a3452), or else, as all before, by its
 * type, which they look up in their own BTF. So only the tag will do in a kernel without BTF, and
 * with it the type has to be void. libbpf 1.4, which brought __arg_ctx, replaces that type for a
 * kernel that doesn't know the tag; an earlier libbpf doesn't, so there the type is given.
 */
#ifdef __arg_ctx
#define PB_CONTEXT(name) void *name __arg_ctx
#else
#define PB_CONTEXT(name) struct __sk_buff *name
#endif

#endif
