/* SPDX-License-Identifier: MIT */
#include "meter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "log.h"
#include "netlink.h"
#include "pins.h"
#include "snapshot.h"
#include "tc_portbytes.skel.h"

/*
 * From enum bpf_attach_type and include/uapi/linux/bpf.h of Linux 6.6: Debian 12's
 * headers don't have them, but its libbpf passes them through.
 */
#define ATTACH_TCX_INGRESS ((enum bpf_attach_type)46)
#define ATTACH_TCX_EGRESS  ((enum bpf_attach_type)47)
#define FLAG_BEFORE        (1u << 3) /* BPF_F_BEFORE, alone: before all others */
#define LINK_TYPE_TCX      11        /* BPF_LINK_TYPE_TCX */

/*
 * clsact: the first priority there is, and handles that others will not pick by chance,
 * two for each daemon that counts here. The odd one of the two says that the qdisc was made
 * by one of us: nobody else could tell that after its maker was killed.
 */
#define FILTER_PRIORITY 1
#define FILTER_HANDLE   0x70627970 /* "pbyp" */
#define DAEMONS_MAX     64

/* Which brought atomics with a result. */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 12

enum direction { INGRESS, EGRESS, DIRECTIONS };

struct attachment {
    enum direction direction;
    bool wanted;
    int program; /* fd, the object's */
    __u32 program_id;
    int link;               /* tcx: attached while this fd is open; -1: none */
    __u32 handle, priority; /* clsact: our filter's; 0: none */
    int owner;              /* clsact: says that we live, see below; -1: none */
    bool behind;            /* somebody else's classifier is in front of ours, and that was said */
};

struct meter {
    struct tc_portbytes_bpf *object;
    struct attachment attachments[DIRECTIONS];
    char name[64];
    int interface;
    bool silent;                        /* why it cannot be attached has been said before */
    bool made_qdisc;                    /* clsact: it is there because of us */
    __u32 slots;                        /* in the map, of one CPU */
    int cpus;                           /* numbers that a CPU may have */
    const struct pb_counters *counters; /* the map: all slots of a CPU, then the next CPU's */
    size_t counters_size;
    char pins[PINS_PATH]; /* "": nothing outlives the process */
    void *state;
    size_t state_size;
};

/* ---- what libbpf says ---- */

/*
 * libbpf explains itself line by line while it works. Kept here, so that our one
 * sentence comes first, and its text only when it is of use.
 */
static _Thread_local struct {
    char *text;
    size_t length;
    bool keeping;
} said;

/*
 * There is one such function in a process, and threads of ours and of other plugins call
 * libbpf at the same time: so it is replaced once, and others' lines go to the one before.
 */
static libbpf_print_fn_t others_print;

static int keep_line(enum libbpf_print_level level, const char *format, va_list arguments) {
    char *line, *text;
    int length;

    if (!said.keeping)
        return others_print ? others_print(level, format, arguments) : 0;
    if (level == LIBBPF_DEBUG)
        return 0;
    length = vasprintf(&line, format, arguments);
    if (length < 0)
        return 0;
    text = realloc(said.text, said.length + length + 1);
    if (text) {
        memcpy(text + said.length, line, length + 1);
        said.text = text;
        said.length += length;
    }
    free(line);
    return 0;
}

static void replace_print(void) {
    others_print = libbpf_set_print(keep_line);
}

/* From here to tell_kept this thread's lines are kept. */
static void keep_lines(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, replace_print);
    said.keeping = true;
}

/* Ends the keeping, and passes on what was kept if `priority` is not negative. */
static void tell_kept(const char *name, int priority) {
    char *rest = NULL;

    said.keeping = false;
    for (char *line = said.text && priority >= 0 ? strtok_r(said.text, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        pb_log(priority, "%s: %s", name, line);
    free(said.text);
    said.text = NULL;
    said.length = 0;
}

/* ---- opening ---- */

#define CAPABILITY_PERFMON 38 /* linux/capability.h, Linux 5.8 */
#define CAPABILITY_BPF     39

/* Those of the capabilities needed that this thread lacks, as text; "" for none. */
static const char *missing_capabilities(char text[64]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    __u64 effective;

    text[0] = 0;
    if (syscall(SYS_capget, &header, data))
        return text;
    effective = data[0].effective | (__u64)data[1].effective << 32;
    if (!(effective & (1ull << CAP_SYS_ADMIN))) { /* which stands for the two others */
        if (!(effective & (1ull << CAPABILITY_BPF)))
            strcat(text, " CAP_BPF");
        if (!(effective & (1ull << CAPABILITY_PERFMON)))
            strcat(text, " CAP_PERFMON");
    }
    if (!(effective & (1ull << CAP_NET_ADMIN)))
        strcat(text, " CAP_NET_ADMIN");
    return text;
}

static int check_kernel(const char *name) {
    unsigned major, minor;
    struct utsname system;

    if (uname(&system) || sscanf(system.release, "%u.%u", &major, &minor) != 2)
        return 0; /* no idea: loading will tell */
    if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
        return 0;
    pb_log(LOG_ERR, "%s: this kernel is %s, the classifier needs Linux %d.%d or later.", name,
           system.release, KERNEL_MAJOR, KERNEL_MINOR);
    return -EOPNOTSUPP;
}

/* One sentence on why the object could not be loaded. Returns what meter_open shall. */
static int refused(const char *name, int error) {
    char text[64];
    const char *missing = missing_capabilities(text);

    if (error == -LIBBPF_ERRNO__LIBELF) /* the object is built in: all that it can lack is memory */
        error = -ENOMEM;
    if (*missing) {
        pb_log(LOG_ERR,
               "%s: the kernel refused the classifier because collectd lacks%s; run it as root or "
               "give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.",
               name, missing);
        tell_kept(name, -1);
        return -EPERM;
    }
    if (error == -EPERM)
        pb_log(LOG_ERR,
               "%s: the kernel refused the classifier (%s) although the capabilities are there: "
               "look for a security module, a seccomp filter or lockdown that forbids bpf().",
               name, strerror(-error));
    else if (error == -EMFILE || error == -ENFILE)
        pb_log(LOG_ERR,
               "%s: no file descriptors for the classifier (%s); raise the limit: LimitNOFILE of "
               "collectd's unit, or ulimit -n.",
               name, strerror(-error));
    else if (error == -EUCLEAN)
        pb_log(LOG_ERR,
               "%s: libbpf could not ask the kernel what it supports, for lack of memory or of "
               "file descriptors, and will not ask again; restart collectd.",
               name);
    else if (error == -ENOMEM || error == -E2BIG || error == -ENOSPC)
        pb_log(LOG_ERR, "%s: no memory for the classifier (%s); a smaller MaxPorts needs less.",
               name, strerror(-error));
    else
        pb_log(LOG_ERR,
               "%s: the kernel refused the classifier (%s), which is a bug of tc_portbytes; please "
               "report it with the lines that follow.",
               name, strerror(-error));
    tell_kept(name, LOG_NOTICE);
    return error;
}

#define POSSIBLE_CPUS "/sys/devices/system/cpu/possible"

/* CPUs share no cache line of counters. */
#define SLOTS_OF_LINE (PB_LINE / sizeof(struct pb_counters))

/*
 * One more than the highest number that a CPU may have here. Not their count: there may be
 * gaps, and a CPU beyond the counters would not count.
 */
static int cpu_numbers(void) {
    FILE *file = fopen(POSSIBLE_CPUS, "re"); /* "0-63", "0,2-3" */
    int last = -1;
    char separator;

    if (!file)
        return -errno;
    while (fscanf(file, "%d", &last) == 1 && fscanf(file, "%c", &separator) == 1)
        ;
    fclose(file);
    return last < 0 ? -EINVAL : last + 1;
}

/* ---- what outlives the process ---- */

static const char *const direction_names[] = {[INGRESS] = "ingress", [EGRESS] = "egress"};

/* The maps, and what they are called where they are pinned. */
#define MAPS 4
static void list_maps(const struct meter *meter, struct bpf_map *maps[MAPS],
                      const char *names[MAPS]) {
    maps[0] = meter->object->maps.counters, names[0] = "counters";
    maps[1] = meter->object->maps.bss, names[1] = "shared";
    maps[2] = meter->object->maps.ring_lock, names[2] = "ring_lock";
    maps[3] = meter->object->maps.fragments, names[3] = "fragments";
}

static void pin_path(const struct meter *meter, const char *name, char path[2 * PINS_PATH]) {
    snprintf(path, 2 * PINS_PATH, "%s/%s", meter->pins, name);
}

static int get_pinned(const struct meter *meter, const char *name) {
    char path[2 * PINS_PATH];

    pin_path(meter, name, path);
    return bpf_obj_get(path);
}

static int pin(const struct meter *meter, const char *name, int fd) {
    char path[2 * PINS_PATH];

    pin_path(meter, name, path);
    unlink(path);
    return bpf_obj_pin(fd, path);
}

static void unpin(const struct meter *meter, const char *name) {
    char path[2 * PINS_PATH];

    pin_path(meter, name, path);
    unlink(path);
}

#define STATE_PAGE 4096u

static __u32 state_pages(const struct meter *meter) {
    return (meter->state_size + STATE_PAGE - 1) / STATE_PAGE;
}

static int map_state(struct meter *meter, int fd) {
    void *state = mmap(NULL, meter->state_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (state == MAP_FAILED)
        return -errno;
    meter->state = state;
    return 0;
}

/* Whether the state that is pinned is of these settings. */
static bool find_state(struct meter *meter, __u64 fingerprint) {
    int fd = get_pinned(meter, "state");
    struct bpf_map_info info = {0};
    __u32 length = sizeof(info);
    bool fits = false, used = false;

    if (fd < 0)
        return false;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0) {
        fits = info.type == BPF_MAP_TYPE_ARRAY && info.value_size == STATE_PAGE &&
               info.max_entries == state_pages(meter) && map_state(meter, fd) == 0;
        used = !fits || snapshot_is_there(meter->state);
    }
    close(fd);
    if (fits && snapshot_latest(meter->state, meter->state_size, fingerprint))
        return true;
    if (fits)
        munmap(meter->state, meter->state_size);
    meter->state = NULL;
    if (used)
        pb_log(LOG_NOTICE,
               "%s: what was pinned is of other settings or of another version; the counters "
               "begin anew.",
               meter->name);
    return false;
}

/* The object shall use the maps that are pinned. False: it can't, they aren't all there. */
static bool adopt_maps(struct meter *meter) {
    struct bpf_map *maps[MAPS];
    const char *names[MAPS];
    bool all = true;

    list_maps(meter, maps, names);
    for (int i = 0; i < MAPS && all; i++) {
        int fd = get_pinned(meter, names[i]);

        all = fd >= 0 && bpf_map__reuse_fd(maps[i], fd) == 0;
        if (fd >= 0)
            close(fd);
    }
    return all;
}

/* Pins what was made just now. Attachments that are pinned stay, to be taken over. */
static int pin_maps(struct meter *meter) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    struct bpf_map *maps[MAPS];
    const char *names[MAPS];
    int fd, error = 0;

    if (mkdir(meter->pins, 0700) && errno != EEXIST)
        return -errno;
    unpin(meter, "state"); /* first: without it the others are void */
    list_maps(meter, maps, names);
    for (int i = 0; i < MAPS && !error; i++)
        error = pin(meter, names[i], bpf_map__fd(maps[i]));
    if (error)
        return error;
    fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "pb_state", sizeof(__u32), STATE_PAGE,
                        state_pages(meter), &options);
    if (fd < 0)
        return fd;
    error = map_state(meter, fd);
    if (!error)
        error = pin(meter, "state", fd);
    close(fd);
    return error;
}

/* ---- loading ---- */

static int load_object(struct meter *meter, const struct meter_settings *settings) {
    struct tc_portbytes_bpf *object = tc_portbytes_bpf__open();
    struct bpf_program *programs[DIRECTIONS];
    bool found;
    int error = 0;

    if (!object)
        return -errno;
    meter->object = object;
    object->rodata->link_header = settings->link_header;
    object->rodata->port_in = settings->port_in;
    object->rodata->port_eg = settings->port_eg;
    programs[INGRESS] = object->progs.tc_portbytes_in;
    programs[EGRESS] = object->progs.tc_portbytes_eg;
    bpf_program__set_autoload(programs[INGRESS], settings->ingress);
    bpf_program__set_autoload(programs[EGRESS], settings->egress);
    object->rodata->slots = meter->slots;
    meter->counters_size = sizeof(struct pb_counters) * meter->slots * meter->cpus;
    found = *meter->pins && find_state(meter, settings->fingerprint);
    if (found && !adopt_maps(meter)) { /* somebody removed some: the rest is of no use */
        unpin(meter, "state");
        munmap(meter->state, meter->state_size);
        meter->state = NULL;
        tc_portbytes_bpf__destroy(object);
        return load_object(meter, settings);
    }
    if (!found)
        error = bpf_map__set_max_entries(object->maps.counters, meter->slots * meter->cpus);
    if (!error)
        error = tc_portbytes_bpf__load(object);
    if (!error && *meter->pins && !found)
        error = pin_maps(meter);
    if (error)
        return error;
    /* Not mapped: a trial that libbpf makes once had failed, so it thinks that the kernel can't. */
    if (!object->bss)
        return -EUCLEAN;

    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct attachment *attachment = &meter->attachments[direction];
        struct bpf_prog_info info = {0};
        __u32 length = sizeof(info);

        attachment->direction = direction;
        attachment->wanted = direction == INGRESS ? settings->ingress : settings->egress;
        if (!attachment->wanted)
            continue;
        attachment->program = bpf_program__fd(programs[direction]);
        error = bpf_obj_get_info_by_fd(attachment->program, &info, &length);
        if (error)
            return error;
        attachment->program_id = info.id;
    }
    return 0;
}

int meter_open(struct meter **out, const char *name, const struct meter_settings *settings) {
    struct meter *meter;
    void *counters;
    int error = check_kernel(name);

    if (error)
        return error;
    meter = calloc(1, sizeof(*meter));
    if (!meter) {
        pb_log(LOG_ERR, "%s: no memory.", name);
        return -ENOMEM;
    }
    snprintf(meter->name, sizeof(meter->name), "%s", name);
    meter->attachments[INGRESS].link = meter->attachments[EGRESS].link = -1;
    meter->attachments[INGRESS].owner = meter->attachments[EGRESS].owner = -1;
    if (settings->pins)
        snprintf(meter->pins, sizeof(meter->pins), "%s", settings->pins);
    meter->state_size = settings->state;
    meter->silent = settings->silent;
    meter->slots = (settings->slots + SLOTS_OF_LINE - 1) / SLOTS_OF_LINE * SLOTS_OF_LINE;
    meter->cpus = cpu_numbers();
    if (meter->cpus < 1) {
        pb_log(LOG_ERR, "%s: cannot read %s: %s.", name, POSSIBLE_CPUS, strerror(-meter->cpus));
        error = meter->cpus;
        free(meter);
        return error;
    }

    keep_lines();
    error = load_object(meter, settings);
    if (error) {
        if (settings->silent)
            tell_kept(name, -1);
        else
            error = refused(name, error);
        meter_leave(meter);
        meter_close(meter);
        return error;
    }
    tell_kept(name, -1);

    counters = mmap(NULL, meter->counters_size, PROT_READ, MAP_SHARED,
                    bpf_map__fd(meter->object->maps.counters), 0);
    if (counters == MAP_FAILED) {
        error = -errno;
        goto fail;
    }
    meter->counters = counters;
    *out = meter;
    return 0;

fail:
    if (!settings->silent)
        pb_log(LOG_ERR, "%s: %s.", name, strerror(-error));
    meter_leave(meter);
    meter_close(meter);
    return error;
}

void meter_close(struct meter *meter) {
    if (!meter)
        return;
    meter_detach(meter);
    tc_portbytes_bpf__destroy(meter->object);
    if (meter->counters)
        munmap((void *)meter->counters, meter->counters_size);
    if (meter->state)
        munmap(meter->state, meter->state_size);
    if (*meter->pins)
        pins_remove(meter->pins);
    free(meter);
}

void *meter_state(struct meter *meter) {
    return meter->state;
}

struct pb_shared *meter_shared(struct meter *meter) {
    return &meter->object->bss->shared;
}

/* ---- tcx ---- */

static enum bpf_attach_type tcx_type(const struct attachment *attachment) {
    return attachment->direction == INGRESS ? ATTACH_TCX_INGRESS : ATTACH_TCX_EGRESS;
}

/* A kernel that does not know the hook says -EINVAL to the query, and to nothing else in it. */
static bool has_tcx(int interface) {
    __u32 number = 0;

    return bpf_prog_query(interface, ATTACH_TCX_INGRESS, 0, NULL, NULL, &number) != -EINVAL;
}

/* The link that another process pinned gets our program, without a gap. -ENOENT: none there. */
static int tcx_take_over(struct meter *meter, struct attachment *attachment) {
    int link = get_pinned(meter, direction_names[attachment->direction]);
    struct bpf_link_info info = {0};
    __u32 length = sizeof(info);

    if (link < 0)
        return -ENOENT;
    /* info.tcx.ifindex has the place of info.xdp.ifindex; it is 0 once the interface has gone. */
    if (bpf_obj_get_info_by_fd(link, &info, &length) || info.type != LINK_TYPE_TCX ||
        info.xdp.ifindex != (__u32)meter->interface ||
        bpf_link_update(link, attachment->program, NULL)) {
        close(link);
        unpin(meter, direction_names[attachment->direction]);
        return -ENOENT;
    }
    attachment->link = link;
    return 0;
}

static int tcx_attach(struct meter *meter, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = FLAG_BEFORE);
    int link, error = 0;

    if (*meter->pins && tcx_take_over(meter, attachment) == 0)
        return 0;
    link = bpf_link_create(attachment->program, meter->interface, tcx_type(attachment), &options);
    if (link < 0)
        return link;
    if (*meter->pins)
        error = pin(meter, direction_names[attachment->direction], link);
    if (error)
        close(link);
    else
        attachment->link = link;
    return error;
}

static void tcx_detach(struct meter *meter, struct attachment *attachment) {
    if (*meter->pins)
        unpin(meter, direction_names[attachment->direction]);
    if (attachment->link >= 0)
        close(attachment->link);
    attachment->link = -1;
}

/* Whether the program is a classifier of this plugin, of whichever daemon. */
static bool is_classifier(__u32 id) {
    struct bpf_prog_info info = {0};
    __u32 length = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(id); /* needs CAP_SYS_ADMIN; without it the answer is no */
    bool is;

    if (fd < 0)
        return false;
    is = bpf_obj_get_info_by_fd(fd, &info, &length) == 0 &&
         (!strcmp(info.name, "tc_portbytes_in") || !strcmp(info.name, "tc_portbytes_eg"));
    close(fd);
    return is;
}

/* Far more than sane hosts attach; the kernel fills in as many as fit. */
#define PROGRAMS_MAX 64

/* behind: whether a program of somebody else's comes before ours. */
static int tcx_check(const struct meter *meter, const struct attachment *attachment, bool *behind) {
    __u32 ids[PROGRAMS_MAX], number = PROGRAMS_MAX;
    int error = bpf_prog_query(meter->interface, tcx_type(attachment), 0, NULL, ids, &number);
    bool others = false;

    if (error && error != -ENOSPC)
        return error;
    for (__u32 i = 0; i < number && i < PROGRAMS_MAX; i++) {
        if (ids[i] == attachment->program_id) {
            *behind = others;
            return 0;
        }
        others = others || !is_classifier(ids[i]);
    }
    return error ? 0 : -ENOENT; /* with more programs than fit, no news is good news */
}

/* ---- clsact ---- */

static struct bpf_tc_hook hook_of(int interface, enum direction direction) {
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook),
        .ifindex = interface,
        .attach_point = direction == INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
    };
}

/* The program of the filter at this place. -ENOENT: no filter, or no clsact at all. */
static int filter_program(const struct bpf_tc_hook *hook, __u32 handle, __u32 priority, __u32 *id) {
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = priority);
    int error = bpf_tc_query(hook, &options);

    if (error)
        return error == -EINVAL ? -ENOENT : error; /* -EINVAL: the parent qdisc is not there */
    *id = options.prog_id;
    return 0;
}

/*
 * A filter outlives its daemon, so it can't tell whether that was killed or counts beside us.
 * Hence for each of its filters a daemon holds a socket with an abstract name: it ends with
 * the process, however that ends, leaves no file, and is seen by all who can see the
 * interface, being of the same network namespace.
 */
static socklen_t owner_address(struct sockaddr_un *address, __u32 program) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return offsetof(struct sockaddr_un, sun_path) + 1 +
           snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "tc_portbytes/%u",
                    program);
}

static int owner_begin(struct attachment *attachment) {
    struct sockaddr_un address;
    socklen_t length = owner_address(&address, attachment->program_id);
    int owner;

    if (attachment->owner >= 0)
        return 0;
    owner = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (owner < 0)
        return -errno;
    /* Somebody has the name already? Then it says what it shall. */
    if (bind(owner, (struct sockaddr *)&address, length) && errno != EADDRINUSE) {
        int error = -errno;

        close(owner);
        return error;
    }
    shutdown(owner, SHUT_RD); /* nobody has anything to tell us */
    attachment->owner = owner;
    return 0;
}

static void owner_end(struct attachment *attachment) {
    if (attachment->owner >= 0)
        close(attachment->owner);
    attachment->owner = -1;
}

/* In doubt yes: what is left alone does no harm. */
static bool owner_lives(__u32 program) {
    struct sockaddr_un address;
    socklen_t length = owner_address(&address, program);
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool lives;

    if (probe < 0)
        return true;
    lives = connect(probe, (struct sockaddr *)&address, length) == 0 || errno != ECONNREFUSED;
    close(probe);
    return lives;
}

/* libbpf calls a filter by its program. That, unlike the program itself, may be seen by all. */
static bool is_ours(const struct netlink_filter *filter) {
    return filter->program && (!strncmp(filter->name, "tc_portbytes_in:", 16) ||
                               !strncmp(filter->name, "tc_portbytes_eg:", 16));
}

/*
 * Removes what killed daemons left, but the first of their filters if that is asked for: *heir
 * has its place then, else a program of 0. Returns whether one of us, dead or alive, made the
 * qdisc.
 */
static bool remove_leftovers(int interface, enum direction direction, struct netlink_filter *heir) {
    struct bpf_tc_hook hook = hook_of(interface, direction);
    struct netlink_filter *filters;
    unsigned number;
    bool made = false;

    if (netlink_filters(interface, direction == EGRESS, &filters, &number))
        return false;
    for (unsigned i = 0; i < number; i++) {
        LIBBPF_OPTS(bpf_tc_opts, options, .handle = filters[i].handle,
                    .priority = filters[i].priority);

        if (!is_ours(&filters[i]))
            continue;
        made |= filters[i].handle & 1;
        if (owner_lives(filters[i].program))
            continue;
        if (heir && !heir->program)
            *heir = filters[i];
        else
            bpf_tc_detach(&hook, &options);
    }
    free(filters);
    return made;
}

static int clsact_attach(struct meter *meter, struct attachment *attachment) {
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = attachment->program, .priority = FILTER_PRIORITY);
    struct bpf_tc_hook hook = hook_of(meter->interface, attachment->direction);
    struct netlink_filter heir = {0};
    int error = owner_begin(attachment); /* first: who sees the filter shall find its owner */

    if (error)
        return error;
    error = bpf_tc_hook_create(&hook);
    if (error && error != -EEXIST)
        return error;
    meter->made_qdisc |= !error;
    meter->made_qdisc |= remove_leftovers(meter->interface, attachment->direction, &heir);

    error = -EEXIST;
    if (heir.program) { /* without a gap: it may count still, see meter_leave */
        options.handle = heir.handle;
        options.priority = heir.priority;
        options.flags = BPF_TC_F_REPLACE;
        error = bpf_tc_attach(&hook, &options);
        if (error)
            return error;
    }
    /* -EEXIST: another daemon's, or somebody else's after all. */
    for (__u32 n = 0; n < DAEMONS_MAX && error == -EEXIST; n++) {
        options.handle = FILTER_HANDLE + 2 * n + meter->made_qdisc;
        error = bpf_tc_attach(&hook, &options);
    }
    if (error == -EINVAL) {
        /* A filter of another kind has the first priority: behind it, then. */
        LIBBPF_OPTS(bpf_tc_opts, behind, .prog_fd = attachment->program,
                    .handle = FILTER_HANDLE + meter->made_qdisc);

        error = bpf_tc_attach(&hook, &behind);
        options.handle = behind.handle;
        options.priority = behind.priority;
        if (!error)
            pb_log(LOG_WARNING,
                   "%s: another kind of filter has the first place on %s, so what it decides on "
                   "is not counted.",
                   meter->name, direction_names[attachment->direction]);
        attachment->behind = !error;
    }
    if (error)
        return error;
    attachment->handle = options.handle;
    attachment->priority = options.priority;
    return 0;
}

/* Whether the filter there is ours. */
static int clsact_check(const struct meter *meter, const struct attachment *attachment) {
    struct bpf_tc_hook hook = hook_of(meter->interface, attachment->direction);
    __u32 id = 0;
    int error = filter_program(&hook, attachment->handle, attachment->priority, &id);

    if (error)
        return error;
    return id == attachment->program_id ? 0 : -ENOENT;
}

/*
 * Whether a filter of somebody else's comes before ours; in doubt as before. Learns on the way
 * that another daemon made the qdisc, if that began in the same moment as we.
 */
static bool clsact_behind(struct meter *meter, const struct attachment *attachment) {
    bool others = false, behind = attachment->behind;
    struct netlink_filter *filters;
    unsigned number;

    if (netlink_filters(meter->interface, attachment->direction == EGRESS, &filters, &number))
        return behind;
    for (unsigned i = 0; i < number; i++) {
        if (filters[i].program == attachment->program_id)
            behind = others;
        if (is_ours(&filters[i]))
            meter->made_qdisc |= filters[i].handle & 1;
        else
            others = true;
    }
    free(filters);
    return behind;
}

static void clsact_detach(struct meter *meter, struct attachment *attachment) {
    struct bpf_tc_hook hook = hook_of(meter->interface, attachment->direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = attachment->handle,
                .priority = attachment->priority);

    if (clsact_check(meter, attachment) == 0)
        bpf_tc_detach(&hook, &options);
    attachment->handle = attachment->priority = 0;
}

/* With both directions named, this deletes the qdisc; with one, all filters there. */
static void remove_qdisc(int interface) {
    struct bpf_tc_hook hook = hook_of(interface, INGRESS);

    hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
    bpf_tc_hook_destroy(&hook);
}

void meter_sweep(int interface) {
    bool made = false;

    if (has_tcx(interface)) /* whose links die with the daemon */
        return;
    keep_lines();
    for (int direction = 0; direction < DIRECTIONS; direction++)
        made |= remove_leftovers(interface, direction, NULL);
    if (made && netlink_has_filters(interface) == 0)
        remove_qdisc(interface);
    tell_kept("", -1);
}

/* ---- both ---- */

int meter_attach(struct meter *meter, int interface) {
    bool tcx = has_tcx(interface), first = true, tell = false;
    int error = 0;

    meter->interface = interface;
    keep_lines();
    for (int direction = 0; direction < DIRECTIONS && !error; direction++) {
        struct attachment *attachment = &meter->attachments[direction];

        if (attachment->link >= 0 || attachment->handle)
            first = false;
        else if (attachment->wanted)
            error = tcx ? tcx_attach(meter, attachment) : clsact_attach(meter, attachment);
        else if (tcx) /* an earlier daemon's, of other settings */
            tcx_detach(meter, attachment);
        else
            remove_leftovers(interface, direction, NULL);
        tell = error && error != -ENODEV && !meter->silent;
        if (tell)
            pb_log(LOG_ERR, "%s: cannot attach to %s by %s: %s.", meter->name,
                   direction_names[direction], tcx ? "tcx" : "clsact", strerror(-error));
    }
    tell_kept(meter->name, tell ? LOG_NOTICE : -1);
    if (error && first)
        meter_detach(meter);
    meter->silent = false;
    return error;
}

void meter_detach(struct meter *meter) {
    keep_lines();
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct attachment *attachment = &meter->attachments[direction];

        tcx_detach(meter, attachment);
        if (attachment->handle)
            clsact_detach(meter, attachment);
        owner_end(attachment);
    }
    if (meter->made_qdisc && netlink_has_filters(meter->interface) == 0)
        remove_qdisc(meter->interface);
    meter->made_qdisc = false;
    tell_kept(meter->name, -1);
}

void meter_leave(struct meter *meter) {
    if (!*meter->pins)
        return;
    for (int direction = 0; direction < DIRECTIONS; direction++) {
        struct attachment *attachment = &meter->attachments[direction];

        if (attachment->link >= 0)
            close(attachment->link);
        owner_end(attachment);
        attachment->link = -1;
        attachment->handle = 0;
    }
    meter->made_qdisc = false;
    meter->pins[0] = 0;
}

/* Said when it begins, not at every read. Nothing is done: two that fight are worse. */
static void tell_behind(const struct meter *meter, struct attachment *attachment, bool behind) {
    if (behind && !attachment->behind)
        pb_log(LOG_WARNING,
               "%s: another classifier is now in front on %s; what it drops or ends is not "
               "counted.",
               meter->name, direction_names[attachment->direction]);
    attachment->behind = behind;
}

int meter_check(struct meter *meter, const char *name) {
    int result = 0;

    snprintf(meter->name, sizeof(meter->name), "%s", name); /* it may have been renamed */

    keep_lines();
    for (int direction = 0; direction < DIRECTIONS && result != -ENODEV; direction++) {
        struct attachment *attachment = &meter->attachments[direction];
        bool behind = attachment->behind;
        int error;

        if (!attachment->wanted)
            continue;
        if (attachment->handle)
            error = clsact_check(meter, attachment);
        else
            error = attachment->link < 0 ? -ENOENT : tcx_check(meter, attachment, &behind);
        if (!error && attachment->handle)
            behind = clsact_behind(meter, attachment);
        tell_behind(meter, attachment, behind);
        if (error == -ENOENT) { /* whatever we hold of it attaches nothing any more */
            tcx_detach(meter, attachment);
            attachment->handle = 0;
        }
        if (error)
            result = error;
    }
    tell_kept(meter->name, -1);
    return result;
}

/* ---- reading ---- */

void meter_read(const struct meter *meter, struct pb_counters *counters, __u32 slots) {
    memset(counters, 0, slots * sizeof(*counters));
    for (int c = 0; c < meter->cpus; c++) {
        const volatile struct pb_counters *cpu = meter->counters + (size_t)c * meter->slots;

        for (__u32 slot = 0; slot < slots; slot++) {
            counters[slot].rx_bytes += cpu[slot].rx_bytes;
            counters[slot].rx_packets += cpu[slot].rx_packets;
            counters[slot].tx_bytes += cpu[slot].tx_bytes;
            counters[slot].tx_packets += cpu[slot].tx_packets;
        }
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int meter_grace_period(void) {
    /* MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), see kernel/sched/membarrier.c. */
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}
