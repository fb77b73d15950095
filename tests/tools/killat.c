/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into collectd, it kills it (SIGKILL) right behind the PB_KILL_AT-th call that
 * changes what is attached: so a test can try every such instant.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* What the plugin would have called. Its libraries are its own: RTLD_NEXT does not find them. */
#define REAL(function) ((typeof(&function))dlsym(dlopen("libbpf.so.1", RTLD_LAZY), #function))

static int passed(int result) {
    static int calls;
    const char *at = getenv("PB_KILL_AT");

    if (at && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == atoi(at))
        kill(getpid(), SIGKILL);
    return result;
}

int bpf_link_create(int program, int target, enum bpf_attach_type type,
                    const struct bpf_link_create_opts *options) {
    return passed(REAL(bpf_link_create)(program, target, type, options));
}

int bpf_tc_hook_create(struct bpf_tc_hook *hook) {
    return passed(REAL(bpf_tc_hook_create)(hook));
}

int bpf_tc_hook_destroy(struct bpf_tc_hook *hook) {
    return passed(REAL(bpf_tc_hook_destroy)(hook));
}

int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *options) {
    return passed(REAL(bpf_tc_attach)(hook, options));
}

int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *options) {
    return passed(REAL(bpf_tc_detach)(hook, options));
}
