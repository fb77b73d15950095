/* SPDX-License-Identifier: MIT */
/*
 * Why the classifier can't be loaded, on a simulated kernel: the sentence names what is so, and
 * another one only where that doesn't explain it. With the libbpf that this is built with: one that
 * has __arg_ctx, or not.
 *
 * LDFLAGS: -Wl,--wrap=uname,--wrap=access,--wrap=syscall,--wrap=libbpf_probe_bpf_prog_type
 * -Wl,--wrap=libbpf_major_version,--wrap=libbpf_minor_version
 */
#include "load_error.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "capture.h"
#include "libbpf_log.h"
#include "tap.h"

#define IS_TAGGED (LIBBPF_MAJOR_VERSION > 1 || LIBBPF_MINOR_VERSION >= 4)

#define ENOTSUPP 524 /* include/linux/errno.h of the kernel */

/* ---- the simulated kernel, and libbpf ---- */

static const char *release, *machine; /* release NULL: uname fails */
static bool sysfs, btf, kprobes;
static unsigned minor; /* libbpf's that runs; its major is 1 */
static __u32 capabilities[2];

int __wrap_uname(struct utsname *system);
int __wrap_access(const char *path, int mode);
long __wrap_syscall(long number, struct __user_cap_header_struct *header,
                    struct __user_cap_data_struct *data);
int __wrap_libbpf_probe_bpf_prog_type(enum bpf_prog_type type, const void *options);
__u32 __wrap_libbpf_major_version(void);
__u32 __wrap_libbpf_minor_version(void);

int __wrap_uname(struct utsname *system) {
    if (!release)
        return -1;
    *system = (struct utsname){0};
    strcpy(system->release, release);
    strcpy(system->machine, machine);
    return 0;
}

int __wrap_access(const char *path, int mode) {
    (void)mode;
    if (!strcmp(path, "/sys/kernel") && sysfs)
        return 0;
    if (!strcmp(path, "/sys/kernel/btf/vmlinux") && sysfs && btf)
        return 0;
    errno = ENOENT;
    return -1;
}

long __wrap_syscall(long number, struct __user_cap_header_struct *header,
                    struct __user_cap_data_struct *data) {
    (void)header;
    if (number != SYS_capget)
        return -1;
    data[0].effective = capabilities[0];
    data[1].effective = capabilities[1];
    return 0;
}

int __wrap_libbpf_probe_bpf_prog_type(enum bpf_prog_type type, const void *options) {
    (void)options;
    return type == BPF_PROG_TYPE_KPROBE && kprobes;
}

__u32 __wrap_libbpf_major_version(void) {
    return 1;
}

__u32 __wrap_libbpf_minor_version(void) {
    return minor;
}

/* A current one, on which nothing is missing. */
static void reset(void) {
    release = "6.12.1";
    machine = "x86_64";
    sysfs = btf = kprobes = true;
    minor = LIBBPF_MINOR_VERSION;
    capabilities[0] = capabilities[1] = ~0u;
}

/* ---- what is asked of it ---- */

static char reason[LOAD_ERROR_SIZE];

/* explain_load_error after a warning of libbpf; whether that would be logged is in *told. */
static int explain(int error, bool *told) {
    int result;

    reason[0] = 0;
    capture_clear();
    log_capture_begin();
    bpf_object__open_file("/nonexistent", NULL);
    result = explain_load_error(error, reason);
    log_capture_end("name", 4);
    *told = captured.number > 0;
    return result;
}

/* The sentence is exactly that; error is handed through; libbpf's lines follow it, or not. */
static void explained(int error, bool follow, const char *sentence, const char *name) {
    bool told;
    int result = explain(error, &told);

    is_text(reason, sentence, "%s", name);
    ok(result == error && told == follow && strlen(reason) < LOAD_ERROR_SIZE - 1,
       "%s: the error is the same, and libbpf's lines %s", name,
       follow ? "follow" : "don't follow");
}

#define BUG                                                                                        \
    "the kernel refused the classifier (Invalid argument), which is a bug of tc_portbytes; "       \
    "please report it to whoever supplies your tc_portbytes, with the lines that follow."
#define NO_BTF                                                                                     \
    "the kernel refused the classifier because this kernel has no BTF "                            \
    "(CONFIG_DEBUG_INFO_BTF); take one that has, or Linux 6.8 or later with CONFIG_BPF_EVENTS "    \
    "and a tc_portbytes that was built with libbpf 1.4 or later."
#define NO_INTERPRETER                                                                             \
    "the kernel's JIT compiler cannot compile the classifier, and the kernel has no interpreter "  \
    "in its place (CONFIG_BPF_JIT_ALWAYS_ON); "

static void test_kernel(void) {
    static const struct {
        const char *release;
        bool old;
    } cases[] = {
        {"4.19.0-27-amd64", true}, {"5.10.0-40-cloud-amd64", true},
        {"5.11.22", true},         {"5.12.0", false},
        {"5.12-rc1", false},       {"6.1.0-1", false},
        {"10.0.0", false},         {NULL, false},
        {"unknown", false},
    };

    reset();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        release = cases[i].release;
        is_u64(check_kernel(reason) == -EOPNOTSUPP, cases[i].old, "Linux %s: %s",
               release ? release : "of unknown release", cases[i].old ? "too old" : "tried");
    }
    release = "5.11.22";
    check_kernel(reason);
    is_text(reason, "this kernel is 5.11.22, the classifier needs Linux 5.12 or later.",
            "which Linux is needed is said");
    machine = "aarch64";
    release = "5.15.0";
    ok(check_kernel(reason) == 0,
       "arm64 whose JIT compiler has no compare-and-swap: tried, there may be an interpreter");
}

static void test_jit(void) {
    static const struct {
        const char *machine, *release, *remedy;
    } cases[] = {
        {"aarch64", "5.17.15", "on aarch64 take Linux 5.18 or later."},
        {"aarch64", "5.18.0", "take one that has."},
        {"s390x", "5.12.19", "on s390x take Linux 5.13 or later."},
        {"riscv64", "5.18.0", "on riscv64 take Linux 5.19 or later."},
        {"ppc64le", "5.19.0", "on ppc64le take Linux 6.0 or later."},
        {"ppc64", "6.0.0", "take one that has."},
        {"armv7l", "6.12.1", "take one that has."},
    };
    char sentence[LOAD_ERROR_SIZE];

    reset();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        machine = cases[i].machine;
        release = cases[i].release;
        snprintf(sentence, sizeof(sentence), NO_INTERPRETER "%s", cases[i].remedy);
        explained(-ENOTSUPP, true, sentence, cases[i].machine);
    }
}

static void test_btf(void) {
    reset();
    explained(-EINVAL, true, BUG, "nothing explains it");

    btf = false;
    explained(-EINVAL, IS_TAGGED, IS_TAGGED ? BUG : NO_BTF, "no BTF, Linux 6.12");
    kprobes = false;
    explained(-EINVAL, false, NO_BTF, "no BTF, no programs for kprobes");
    kprobes = true;
    release = "6.7.9";
    explained(-EINVAL, false, NO_BTF, "no BTF, Linux 6.7");
    explained(-EACCES, false, NO_BTF, "the same, refused by another error");
    explained(-ENOMEM, true,
              "no memory for the classifier (Cannot allocate memory); lower MaxPorts.",
              "no BTF, but no memory either");
    sysfs = false;
    explained(-EINVAL, true, BUG, "no sysfs to tell by");

    reset();
    capabilities[1] = 0;
    btf = false;
    capabilities[0] &= ~(1u << CAP_SYS_ADMIN);
    ok(explain(-EINVAL, &(bool){false}) == -EPERM &&
           (strstr(reason, "lacks CAP_BPF CAP_PERFMON;") || strstr(reason, "user namespace")),
       "no BTF, but no capabilities either");
}

static void test_libbpf(void) {
    char sentence[LOAD_ERROR_SIZE];

    reset();
    snprintf(sentence, sizeof(sentence),
             "the kernel refused the classifier because tc_portbytes was built with libbpf %d.%d "
             "and runs with 1.1; install libbpf 1.4 or later.",
             LIBBPF_MAJOR_VERSION, LIBBPF_MINOR_VERSION);
    minor = 1;
    explained(-EINVAL, true, BUG, "a libbpf without __arg_ctx, Linux 6.12");
    release = "6.7.9";
    explained(-EINVAL, !IS_TAGGED, IS_TAGGED ? sentence : BUG,
              "a libbpf without __arg_ctx, Linux 6.7");
    minor = 4;
    explained(-EINVAL, true, BUG, "a libbpf with __arg_ctx, Linux 6.7");
}

int main(void) {
    test_kernel();
    test_jit();
    test_btf();
    test_libbpf();
    return tap_end();
}
