/* SPDX-License-Identifier: MIT */
#include "load_error.h"

#include <bpf/libbpf.h>
#include <errno.h>
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

/* BPF compare-and-swap needs Linux 5.12 (5ffa25502b5a). */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 12

/* The inode number of the initial user namespace: PROC_USER_INIT_INO in include/linux/proc_ns.h. */
#define INITIAL_USER_NAMESPACE 0xEFFFFFFDu

/* linux/capability.h of Linux 5.8 and later. */
#define CAPABILITY_PERFMON 38
#define CAPABILITY_BPF     39

int check_kernel(char reason[LOAD_ERROR_SIZE]) {
    unsigned major, minor;
    struct utsname system;

    if (uname(&system) || sscanf(system.release, "%u.%u", &major, &minor) != 2)
        return 0; /* unknown: loading will tell */
    if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
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
    default:
        snprintf(reason, LOAD_ERROR_SIZE,
                 "the kernel refused the classifier (%s), which is a bug of tc_portbytes; please "
                 "report it with the lines that follow.",
                 strerror(-error));
    }
    return error;
}
