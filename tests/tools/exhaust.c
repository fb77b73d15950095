/* SPDX-License-Identifier: MIT */
/*
 * What the plugin does when something fails, wherever that is:
 *
 *     exhaust [-s STRIDE] [-n POINT] [-v] WHAT INTERFACE PEER SECOND SECOND-PEER
 *
 * One life after the other, each in a process of its own: configure, start, count, read,
 * stop. In the Nth life the Nth call of that kind fails: once, or from then on until the
 * fault is lifted before the end of the life. The kinds, WHAT:
 *
 *     memory     malloc, calloc, realloc, mmap                ENOMEM
 *     ERRNO      bpf(2), by a number                          that
 *     files      socket, eventfd, bind and bpf(2)             EMFILE
 *     rights     no call: a life that has no capability from its start on
 *
 * The points where the plugin itself calls are all tried, those within libraries each
 * STRIDE-th (1); with -n no other than that one. INTERFACE and SECOND are in this network
 * namespace, so are their peers.
 *
 * In each life: no crash; nothing is leaked, no memory, mapping or fd; a start that fails says
 * why, in a line or in one for each interface; an interface that is not counted is spoken of;
 * no series falls; and when the fault is lifted, what was sent is what is counted, on either
 * interface, the second having come up while the fault was there.
 *
 * Prints "STATUS NAME" for each test, and comments.
 */
#include <collectd/liboconfig/oconfig.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/libc_names.h"
#include "config.h"
#include "log.h"
#include "monitor.h"
#include "netlink.h"

#define SECOND     1000000000ull
#define POINTS_MAX 65536

enum kind { MEMORY = 1, BPF = 2, FILES = 4 };

/* What a life is to suffer. */
struct plan {
    unsigned kinds;
    int error;     /* of bpf() */
    unsigned nth;  /* 0: nothing fails */
    bool lasting;  /* everything from the nth on, until it is lifted */
    bool unarmed;  /* only from when the second interface comes up */
    bool helpless; /* no capability after the start */
};

/* What became of it. Shared with the parent. */
static struct report {
    bool ended;
    bool failed;         /* the point was reached */
    int start;           /* monitor_start's answer */
    unsigned errors;     /* lines of LOG_ERR, until the fault was lifted */
    bool mute;           /* not counted, and not a word of it */
    unsigned falls;      /* of any series */
    unsigned leaks, fds; /* more than at the beginning */
    long mapped;         /* bytes */
    bool filters;        /* clsact: left there */
    bool selected;       /* the port that was selected has its series */
    unsigned long long sent[2], said[2];
    char text[1024]; /* the last line of LOG_ERR */
    char leak[512];
    unsigned points;
    bool ours[POINTS_MAX]; /* in a life without faults: whether the plugin itself called */
} * report;

static const char *interfaces[2], *peers[2];

/* ---- what may fail ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t number, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *block);

static struct plan plan;
static bool armed, tracking;
static unsigned points;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside; /* backtrace and dladdr may allocate */

static long (*next_syscall)(long number, ...);
static int (*next_socket)(int family, int type, int protocol);
static int (*next_bind)(int fd, const struct sockaddr *address, socklen_t length);
static int (*next_eventfd)(unsigned value, int flags);
static int (*next_poll)(struct pollfd *fds, nfds_t number, int timeout);
static int (*next_clock_gettime)(clockid_t clock, struct timespec *now);
static void *(*next_mmap)(void *address, size_t size, int protection, int flags, int fd,
                          off64_t offset);
static int (*next_munmap)(void *address, size_t size);

/* Whether the plugin is the first that is no part of libc among the callers. */
static bool is_ours(void) {
    static void *libc, *self;
    void *callers[24];
    Dl_info info;
    int number = backtrace(callers, 24);

    if (!libc) {
        dladdr(*(void **)&next_syscall, &info);
        libc = info.dli_fbase;
        dladdr((void *)is_ours, &info);
        self = info.dli_fbase;
    }
    for (int i = 3; i < number; i++) /* behind this, reached and the function that stands in */
        if (dladdr(callers[i], &info) && info.dli_fbase != libc)
            return info.dli_fbase == self;
    return false;
}

/* One more call of that kind: whether it shall fail. */
static __attribute__((noinline)) bool reached(enum kind kind) {
    bool fails;

    if (!armed || !(plan.kinds & kind) || inside)
        return false;
    pthread_mutex_lock(&lock);
    inside = true;
    points++;
    fails = plan.nth && (plan.lasting ? points >= plan.nth : points == plan.nth);
    report->failed |= fails;
    if (!plan.nth && points < POINTS_MAX)
        report->ours[points] = is_ours();
    inside = false;
    pthread_mutex_unlock(&lock);
    return fails;
}

/* ---- memory, with an account of what was not given back ---- */

#define BLOCKS (1u << 16)

static struct block {
    void *address;
    void *caller;
} blocks[BLOCKS];

static long mapped;

static unsigned place_of(const void *address) {
    return ((unsigned long)address >> 4) * 2654435761u % BLOCKS;
}

static void took(void *address, void *caller) {
    if (!tracking || !address || inside)
        return;
    pthread_mutex_lock(&lock);
    for (unsigned i = place_of(address);; i = (i + 1) % BLOCKS) {
        if (blocks[i].address && blocks[i].address != (void *)1)
            continue;
        blocks[i] = (struct block){address, caller};
        break;
    }
    pthread_mutex_unlock(&lock);
}

static void gave(void *address) {
    if (!tracking || !address || inside)
        return;
    pthread_mutex_lock(&lock);
    for (unsigned i = place_of(address); blocks[i].address; i = (i + 1) % BLOCKS) {
        if (blocks[i].address == address) {
            blocks[i].address = (void *)1; /* others may stand behind it */
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

void *malloc(size_t size) {
    void *block;

    if (reached(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    block = __libc_malloc(size);
    took(block, __builtin_return_address(0));
    return block;
}

void *calloc(size_t number, size_t size) {
    void *block;

    if (reached(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    block = __libc_calloc(number, size);
    took(block, __builtin_return_address(0));
    return block;
}

void *realloc(void *old, size_t size) {
    void *block;

    if (reached(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    gave(old);
    block = __libc_realloc(old, size);
    took(block ? block : size ? old : NULL, __builtin_return_address(0));
    return block;
}

void free(void *block) {
    gave(block);
    __libc_free(block);
}

static void *map(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    void *area;

    if (reached(MEMORY)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    area = next_mmap(address, size, protection, flags, fd, offset);
    if (tracking && area != MAP_FAILED && !(flags & MAP_FIXED))
        mapped += (long)((size + 4095) & ~4095ul);
    return area;
}

/*
 * libc's mmap, whose offset is a long, and mmap64: libbpf calls either, by how it was built. By asm
 * labels, since C's mmap is one or the other, see libc_names.h.
 */
void *map_long(void *address, size_t size, int protection, int flags, int fd,
               long offset) __asm__("mmap");
void *map_64(void *address, size_t size, int protection, int flags, int fd,
             off64_t offset) __asm__("mmap64");

void *map_long(void *address, size_t size, int protection, int flags, int fd, long offset) {
    return map(address, size, protection, flags, fd, offset);
}

void *map_64(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    return map(address, size, protection, flags, fd, offset);
}

int munmap(void *address, size_t size) {
    if (tracking)
        mapped -= (long)((size + 4095) & ~4095ul);
    return next_munmap(address, size);
}

/* ---- the kernel ---- */

long syscall(long number, ...) {
    long arguments[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_bpf && (reached(BPF) || reached(FILES))) {
        errno = plan.kinds & BPF ? plan.error : EMFILE;
        return -1;
    }
    return next_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                        arguments[4], arguments[5]);
}

static bool no_file(void) {
    bool fails = reached(FILES);

    if (fails)
        errno = EMFILE;
    return fails;
}

int socket(int family, int type, int protocol) {
    return no_file() ? -1 : next_socket(family, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return no_file() ? -1 : next_bind(fd, address, length);
}

int eventfd(unsigned value, int flags) {
    return no_file() ? -1 : next_eventfd(value, flags);
}

/*
 * The minute until what failed is tried again is a tenth of a second here, in which the plugin's
 * clock goes on by more than that.
 */
static volatile time_t skipped;

int poll(struct pollfd *fds, nfds_t number, int timeout) {
    return next_poll(fds, number, timeout > 100 ? 100 : timeout);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = next_clock_gettime(clock, now);

    if (result == 0 && clock == CLOCK_MONOTONIC)
        now->tv_sec += skipped;
    return result;
}

static void find_functions(void) {
    void *callers[4];

    *(void **)&next_mmap = dlsym(RTLD_NEXT, "mmap64");
    *(void **)&next_munmap = dlsym(RTLD_NEXT, "munmap");
    *(void **)&next_syscall = dlsym(RTLD_NEXT, "syscall");
    *(void **)&next_socket = dlsym(RTLD_NEXT, "socket");
    *(void **)&next_bind = dlsym(RTLD_NEXT, "bind");
    *(void **)&next_eventfd = dlsym(RTLD_NEXT, "eventfd");
    *(void **)&next_poll = dlsym(RTLD_NEXT, "poll");
    *(void **)&next_clock_gettime = dlsym(RTLD_NEXT, CLOCK_GETTIME);
    backtrace(callers, 4); /* loads what it needs, once */
}

/* ---- what the plugin says ---- */

static bool counting[2];
static unsigned errors, words_of[2];

void pb_log(int priority, const char *format, ...) {
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&lock);
    if (priority == LOG_ERR && armed) {
        errors++;
        snprintf(report->text, sizeof(report->text), "%s", line);
    }
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(interfaces[i]);

        if (strncmp(line, interfaces[i], length) != 0 || line[length] != ':')
            continue;
        if (!strcmp(line + length, ": counting."))
            counting[i] = true;
        words_of[i] += priority <= LOG_WARNING;
    }
    pthread_mutex_unlock(&lock);
    if (getenv("PB_VERBOSE"))
        printf("# %u %s\n", points, line);
}

/* The packets of each series, by interface: all of them, and whether any became fewer. */
#define SERIES_MAX 64

static struct {
    char name[48];
    unsigned long long last;
} series[SERIES_MAX];

static void on_say(void *context, const char *interface, const char *instance,
                   const struct pb_counters *total) {
    unsigned long long packets = total->rx_packets + total->tx_packets;
    char name[48];

    (void)context;
    snprintf(name, sizeof(name), "%s %s", interface, instance);
    for (int i = 0; i < 2; i++)
        if (!strcmp(interface, interfaces[i]))
            report->said[i] += packets;
    report->selected |= !strcmp(interface, interfaces[0]) && !strcmp(instance, "udp-1009");
    for (int i = 0; i < SERIES_MAX; i++) {
        if (series[i].name[0] && strcmp(series[i].name, name) != 0)
            continue;
        memcpy(series[i].name, name, sizeof(name));
        report->falls += packets < series[i].last;
        series[i].last = packets;
        break;
    }
}

static void read_once(struct monitor *monitor) {
    report->said[0] = report->said[1] = 0;
    report->selected = false;
    monitor_read(monitor, SECOND, on_say, NULL);
}

/* ---- a life ---- */

static int senders[2];

/* Of the parent: raw sockets need a capability, too. */
static int open_sender(const char *name) {
    struct sockaddr_ll address = {.sll_family = AF_PACKET};
    int fd = next_socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    address.sll_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || !address.sll_ifindex || next_bind(fd, (void *)&address, sizeof(address))) {
        perror(name);
        exit(2);
    }
    return fd;
}

/* UDP over IPv4, to that port. */
static void send_packets(int i, unsigned port, unsigned number) {
    unsigned char frame[60] = {[12] = 8, [13] = 0, [14] = 0x45, [17] = 46, [22] = 64, [23] = 17};

    memset(frame, 0xff, 6);
    frame[36] = (unsigned char)(port >> 8);
    frame[37] = (unsigned char)port;
    frame[39] = 26;
    while (number--) {
        if (send(senders[i], frame, sizeof(frame), 0) == (ssize_t)sizeof(frame))
            report->sent[i]++;
    }
}

static bool set_up(const char *name, bool up) {
    int fd = next_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    bool done;

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    done = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    done = done && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return done;
}

static unsigned open_files(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned number = 0;

    while (readdir(directory))
        number++;
    closedir(directory);
    return number;
}

static void pause_ms(long ms) {
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    nanosleep(&pause, NULL);
}

static int configure(struct settings *settings) {
    struct {
        const char *key;
        oconfig_value_t value;
    } options[] = {
        {"Interface", {.value.string = (char *)interfaces[0], .type = OCONFIG_TYPE_STRING}},
        {"Interface", {.value.string = (char *)interfaces[1], .type = OCONFIG_TYPE_STRING}},
        {"Port", {.value.string = (char *)"udp/1009", .type = OCONFIG_TYPE_STRING}},
        {"DynamicPorts", {.value.boolean = 1, .type = OCONFIG_TYPE_BOOLEAN}},
        {"ListeningPorts", {.value.boolean = 1, .type = OCONFIG_TYPE_BOOLEAN}},
        {"MinBytes", {.value.number = 2000, .type = OCONFIG_TYPE_NUMBER}},
    };
    enum { OPTIONS = sizeof(options) / sizeof(options[0]) };
    oconfig_item_t items[OPTIONS] = {{0}},
                   block = {.key = (char *)"Plugin", .children = items, .children_num = OPTIONS};
    int error = config_defaults(settings);

    for (int i = 0; i < OPTIONS; i++)
        items[i] = (oconfig_item_t){
            .key = (char *)options[i].key, .values = &options[i].value, .values_num = 1};
    return error ? error : config_block(settings, &block);
}

static int spawn(pthread_t *thread, void *(*routine)(void *), void *argument, const char *name) {
    (void)name;
    return pthread_create(thread, NULL, routine, argument);
}

static void drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    if (next_syscall(SYS_capset, &header, none))
        exit(2);
}

/* With the fault gone everything is as it should be: within a (shortened) minute or two. */
static void recover(struct monitor *monitor) {
    armed = false;
    report->errors = errors;
    skipped = 61;
    for (int tries = 0; tries < 6000 && !(counting[0] && counting[1]); tries++)
        pause_ms(10);
    read_once(monitor);
    for (int i = 0; i < 2; i++)
        send_packets(i, 1009, 13);
    for (int i = 0; i < 2; i++)
        send_packets(i, 1013, 17);
    /* What is late follows with the second read; softirqs may be, too. */
    for (int tries = 0; tries < 6000; tries++) {
        read_once(monitor);
        if (tries > 1 && report->said[0] == report->sent[0] && report->said[1] == report->sent[1])
            break;
        if (tries > 2)
            pause_ms(10);
    }
}

/* By clsact. When in doubt, yes. */
static bool has_filters(int interface) {
    bool found = false;

    for (int egress = 0; egress < 2; egress++) {
        struct netlink_filter *filters = NULL;
        unsigned number = 0;

        found |= netlink_filters(interface, egress, &filters, &number) || number;
        free(filters);
    }
    return found;
}

static void live(void) {
    struct monitor *const untouched = (struct monitor *)&plan, *monitor = untouched;
    struct settings settings;
    unsigned files;
    bool first, all;

    if (!set_up(interfaces[1], !plan.unarmed))
        exit(2);
    files = open_files();
    tracking = true;
    armed = !plan.unarmed;

    report->start = configure(&settings);
    if (report->start == 0) {
        report->start = monitor_start(&monitor, &settings, spawn);
        if (report->start)
            report->errors = errors;
    } else {
        errors = 1; /* collectd says it */
        report->errors = 1;
    }
    if (report->start && monitor != untouched)
        report->mute = true;
    if (report->start == 0) {
        if (plan.helpless)
            drop_capabilities();
        first = counting[0];
        if (first) {
            send_packets(0, 1009, 7);
            send_packets(0, 53, 41); /* enough to become a series, which 1009 never has */
        }
        read_once(monitor);
        if (first)
            send_packets(0, 1009, 3);
        if (plan.unarmed) {
            armed = true;
            if (!set_up(interfaces[1], true))
                exit(2);
            /* Attached, or it says why not: well before anybody would have waited a minute. */
            for (int tries = 0; tries < 6000 && !counting[1] && !words_of[1] && !errors; tries++)
                pause_ms(10);
        }
        read_once(monitor);
        read_once(monitor);
        all = counting[0] && counting[1];
        report->mute |= !all && !errors;
        recover(monitor);
        monitor_stop(monitor);
    }
    armed = false;
    config_free(&settings);

    tracking = false;
    report->points = points;
    report->fds = open_files() - files;
    report->mapped = mapped;
    for (unsigned i = 0; i < BLOCKS; i++) {
        Dl_info info = {0};

        if (!blocks[i].address || blocks[i].address == (void *)1)
            continue;
        dladdr(blocks[i].caller, &info);
        /* What a thread's first use of a library costs stays with the library. */
        if (info.dli_fname && (strstr(info.dli_fname, "/ld-") || strstr(info.dli_fname, "/ld.so")))
            continue;
        report->leaks++;
        snprintf(report->leak, sizeof(report->leak), "%s+%#lx",
                 info.dli_fname ? info.dli_fname : "?",
                 (unsigned long)((char *)blocks[i].caller - (char *)info.dli_fbase));
    }
    if (!plan.helpless)
        for (int i = 0; i < 2; i++)
            report->filters |= has_filters((int)if_nametoindex(interfaces[i]));
    report->ended = true;
}

/* ---- all lives ---- */

enum { CRASH, LEAK, WORDS, FALL, VALUE, PORT, LEFT, CHECKS };

static const char *const check_names[CHECKS] = {
    [CRASH] = "no crash",
    [LEAK] = "no memory, mapping or fd is leaked",
    [WORDS] =
        "a failed start says why, in a line or one for each interface; and so does one not counted",
    [FALL] = "no series falls",
    [VALUE] = "when the fault is lifted, all that was sent is counted, on both interfaces",
    [PORT] = "and the selected port has its series",
    [LEFT] = "no filter is left",
};

static unsigned failures[CHECKS];

static void complain(int check, const char *format, ...) {
    va_list arguments;

    if (failures[check]++ >= 5)
        return;
    printf("# point %u%s%s: ", plan.nth, plan.lasting ? " and after" : "",
           plan.unarmed ? " since it came up" : "");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

static void judge(int status) {
    if (!WIFEXITED(status) || WEXITSTATUS(status) || !report->ended) {
        complain(CRASH, "%s %d", WIFSIGNALED(status) ? "signal" : "exit status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return;
    }
    if (report->leaks || report->fds || report->mapped)
        complain(LEAK, "%u blocks (%s), %u fds, %ld bytes mapped", report->leaks, report->leak,
                 report->fds, report->mapped);
    if (report->start && !plan.nth)
        complain(CRASH, "it does not start: %d", report->start);
    /* One for each interface, if neither could be attached. */
    if (report->start ? !report->errors || report->errors > 2 || report->mute : report->mute)
        complain(WORDS, "start says %d, %u lines: %s", report->start, report->errors, report->text);
    if (report->falls)
        complain(FALL, "%u", report->falls);
    if (report->start == 0)
        for (int i = 0; i < 2; i++)
            if (report->said[i] != report->sent[i])
                complain(VALUE, "%s: %llu of %llu; %s", interfaces[i], report->said[i],
                         report->sent[i], report->text);
    if (report->start == 0 && !report->selected)
        complain(PORT, "none");
    /* Taking one away needs memory, too: what a start leaves that has none the next one removes. */
    if (report->filters && !(plan.lasting && report->start))
        complain(LEFT, "clsact");
}

/* Returns whether the point was reached. */
static bool one_life(void) {
    int status;
    pid_t child;

    memset(report, 0, offsetof(struct report, ours));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        live();
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("fork");
        exit(2);
    }
    judge(status);
    return report->failed;
}

static void all_lives(unsigned stride, unsigned only) {
    static bool ours[POINTS_MAX];
    unsigned number, lives = 0, hit = 0;
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    plan.nth = 0;
    plan.lasting = false;
    one_life();
    number = report->points;
    if (!number)
        complain(CRASH, "no call of this kind");
    memcpy(ours, report->ours, sizeof(ours));
    for (unsigned n = 1, mine = 0, others = 0; n <= number && n < POINTS_MAX; n++) {
        mine += ours[n];
        others += !ours[n];
        if (only ? n != only : !ours[n] && others % stride)
            continue;
        plan.nth = n;
        plan.lasting = false;
        hit += one_life();
        lives++;
        if (!only && (ours[n] ? mine % 2 : others / stride % 4))
            continue;
        plan.lasting = true;
        hit += one_life();
        lives++;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("# %s: %u points, %u lives, %u with a fault, %ld s\n",
           plan.unarmed ? "an interface comes" : "from the start on", number, lives, hit,
           (long)(end.tv_sec - begin.tv_sec));
}

int main(int argc, char **argv) {
    static char buffer[4096]; /* stdout's own would pass for a leak */
    unsigned stride = 1, only = 0;
    int option;

    setvbuf(stdout, buffer, _IOLBF, sizeof(buffer));
    while ((option = getopt(argc, argv, "s:n:v")) != -1) {
        if (option == 's')
            stride = (unsigned)atoi(optarg);
        else if (option == 'n')
            only = (unsigned)atoi(optarg);
        else if (option == 'v')
            setenv("PB_VERBOSE", "1", 1);
        else
            return 2;
    }
    argv += optind;
    if (argc - optind != 5 || stride == 0)
        return 2;
    find_functions();
    report =
        next_mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return 2;
    for (int i = 0; i < 2; i++) {
        interfaces[i] = argv[1 + 2 * i];
        peers[i] = argv[2 + 2 * i];
        senders[i] = open_sender(peers[i]);
    }

    if (!strcmp(argv[0], "rights")) {
        plan.helpless = true;
        one_life();
    } else {
        plan.kinds = !strcmp(argv[0], "memory") ? MEMORY : !strcmp(argv[0], "files") ? FILES : BPF;
        plan.error = atoi(argv[0]);
        if (plan.kinds == BPF && plan.error <= 0)
            return 2;
        all_lives(stride, only);
        plan.unarmed = true;
        all_lives(stride, only);
    }
    for (int i = 0; i < CHECKS; i++)
        printf("%d %s\n", failures[i] != 0, check_names[i]);
    return 0;
}
