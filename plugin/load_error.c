/* SPDX-License-Identifier: MIT */
#include "load_error.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/types.h>

#include "libbpf_log.h"

/*
 * BPF compare-and-swap came with Linux 5.12 (5ffa25502b5a): to the interpreter and to the JIT
 * compiler for x86-64. To those for other machines, by what uname() calls them, it came later.
 * 32-bit ARM's and x86's have none, and leave a program that has one to the interpreter.
 */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 12
static const struct {
    const char *machine;
    unsigned major, minor;
} jit_kernels[] = {
    {"aarch64", 5, 18}, /* 1902472b4fa9 */
    {"ppc64", 6, 0},    /* 1e82dfaa7819 */
    {"ppc64le", 6, 0},  /* 1e82dfaa7819 */
    {"riscv64", 5, 19}, /* dd642ccb45ec */
    {"s390x", 5, 13},   /* ba3b86b9cef0 */
};

/* include/linux/errno.h of the kernel: it can neither compile nor interpret a program. */
#define ENOTSUPP 524

/* The first that knows a context by its tag (94e1c70a3452), see bpf/context.h. */
#define TAG_MAJOR 6
#define TAG_MINOR 8

/* bpf_helpers.h has __arg_ctx. */
#define HAS_TAG(major, minor) ((major) > 1 || ((major) == 1 && (minor) >= 4))
#define IS_TAGGED             HAS_TAG(LIBBPF_MAJOR_VERSION, LIBBPF_MINOR_VERSION)

/* The inode number of the initial user namespace: PROC_USER_INIT_INO in include/linux/proc_ns.h. */
#define INITIAL_USER_NAMESPACE 0xEFFFFFFDu

/* linux/capability.h of Linux 5.8 and later. */
#define CAPABILITY_PERFMON 38
#define CAPABILITY_BPF     39

/* Whether this kernel is one before that; not if that can't be told. */
static bool is_before(unsigned major, unsigned minor) {
    unsigned own_major, own_minor;
    struct utsname system;

    if (uname(&system) || sscanf(system.release, "%u.%u", &own_major, &own_minor) != 2)
        return false;
    return own_major < major || (own_major == major && own_minor < minor);
}

int check_kernel(char reason[LOAD_ERROR_SIZE]) {
    struct utsname system;

    if (!is_before(KERNEL_MAJOR, KERNEL_MINOR) || uname(&system))
        return 0;
    snprintf(reason, LOAD_ERROR_SIZE,
             "this kernel is %s, the classifier needs Linux %d.%d or later.", system.release,
             KERNEL_MAJOR, KERNEL_MINOR);
    return -EOPNOTSUPP;
}

/* The capabilities needed that this thread lacks, each behind a space; "" for none. */
static const char *missing_capabilities(char text[64]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    __u64 effective;

    text[0] = 0;
    if (syscall(SYS_capget, &header, data))
        return text;
    effective = data[0].effective | (__u64)data[1].effective << 32;
    if (!(effective & (1ull << CAP_SYS_ADMIN))) { /* which includes the other two */
        if (!(effective & (1ull << CAPABILITY_BPF)))
            strcat(text, " CAP_BPF");
        if (!(effective & (1ull << CAPABILITY_PERFMON)))
            strcat(text, " CAP_PERFMON");
    }
    if (!(effective & (1ull << CAP_NET_ADMIN)))
        strcat(text, " CAP_NET_ADMIN");
    return text;
}

/* There root has all capabilities, which mean nothing to bpf(). */
static bool is_in_user_namespace(void) {
    struct stat namespace;

    return stat("/proc/self/ns/user", &namespace) == 0 &&
           namespace.st_ino != INITIAL_USER_NAMESPACE;
}

/* The kernel has a JIT compiler, which failed, in place of the interpreter. */
static void explain_jit(char reason[LOAD_ERROR_SIZE]) {
    char remedy[64] = "take one that has";
    struct utsname system;

    for (unsigned i = 0; uname(&system) == 0 && i < sizeof(jit_kernels) / sizeof(*jit_kernels); i++)
        if (!strcmp(system.machine, jit_kernels[i].machine) &&
            is_before(jit_kernels[i].major, jit_kernels[i].minor))
            snprintf(remedy, sizeof(remedy), "on %s take Linux %u.%u or later",
                     jit_kernels[i].machine, jit_kernels[i].major, jit_kernels[i].minor);
    snprintf(reason, LOAD_ERROR_SIZE,
             "the kernel's JIT compiler cannot compile the classifier, and the kernel has no "
             "interpreter in its place (CONFIG_BPF_JIT_ALWAYS_ON); %s.",
             remedy);
}

/*
 * Whether this kernel takes the classifier's contexts for something else, as it has no BTF to look
 * up their type in. With the tag it needs none if libbpf leaves it there, which tries, by a program
 * for kprobes, whether the kernel knows it.
 */
static bool lacks_btf(void) {
    if (access("/sys/kernel", F_OK) || access("/sys/kernel/btf/vmlinux", F_OK) == 0)
        return false;
    return !IS_TAGGED || is_before(TAG_MAJOR, TAG_MINOR) ||
           libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_KPROBE, NULL) == 0;
}

/* Whether the kernel should have got types in place of tags, from a libbpf that knows no tags. */
static bool lacks_libbpf(void) {
    return IS_TAGGED && is_before(TAG_MAJOR, TAG_MINOR) &&
           !HAS_TAG(libbpf_major_version(), libbpf_minor_version());
}

/* What no resource and no permission explains. */
static void explain_refusal(int error, char reason[LOAD_ERROR_SIZE]) {
    if (lacks_btf()) {
        log_capture_discard();
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier because this kernel has no BTF "
                 "(CONFIG_DEBUG_INFO_BTF); take one that has, or Linux %d.%d or later with "
                 "CONFIG_BPF_EVENTS and a tc_portbytes that was built with libbpf 1.4 or later.",
                 TAG_MAJOR, TAG_MINOR);
    } else if (lacks_libbpf()) {
        log_capture_discard();
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier because tc_portbytes was built with libbpf "
                 "%d.%d and runs with %u.%u; install libbpf 1.4 or later.",
                 LIBBPF_MAJOR_VERSION, LIBBPF_MINOR_VERSION, libbpf_major_version(),
                 libbpf_minor_version());
    } else {
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier (%s), which is a bug of tc_portbytes; please "
                 "report it to whoever supplies your tc_portbytes, with the lines that follow.",
                 strerror(-error));
    }
}

int explain_load_error(int error, char reason[LOAD_ERROR_SIZE]) {
    char text[64];
    const char *missing = missing_capabilities(text);

    if ((error == -EPERM || *missing) && is_in_user_namespace()) {
        log_capture_discard();
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier because collectd runs in a user namespace (an "
                 "unprivileged container), where no capability permits bpf(); run it on the host, "
                 "or in a container without one that has CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.");
        return -EPERM;
    }
    if (*missing) {
        log_capture_discard(); /* the verifier's text would mislead */
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier because collectd lacks%s; run it as root or "
                 "give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.",
                 missing);
        return -EPERM;
    }
    if (error == -LIBBPF_ERRNO__LIBELF) /* the object is built in: it can only lack memory */
        error = -ENOMEM;
    switch (error) {
    case -EPERM:
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier (%s) although the capabilities are there: "
                 "look for a security module, a seccomp filter or lockdown that forbids bpf().",
                 strerror(-error));
        break;
    case -EMFILE:
    case -ENFILE:
        snprintf(reason, LOAD_ERROR_SIZE,
                 "no file descriptors for the classifier (%s); raise the limit: LimitNOFILE of "
                 "collectd's unit, or ulimit -n.",
                 strerror(-error));
        break;
    case -EUCLEAN:
        snprintf(reason, LOAD_ERROR_SIZE,
                 "libbpf's probe of the kernel's features failed for lack of memory or of file "
                 "descriptors, and its result is cached; restart collectd.");
        break;
    case -ENOMEM:
    case -E2BIG:
    case -ENOSPC:
        snprintf(reason, LOAD_ERROR_SIZE, "no memory for the classifier (%s); lower MaxPorts.",
                 strerror(-error));
        break;
    case -ENOTSUPP:
        explain_jit(reason);
        break;
    default:
        explain_refusal(error, reason);
    }
    return error;
}
