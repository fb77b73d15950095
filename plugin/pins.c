/* SPDX-License-Identifier: MIT */
#include "pins.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "array.h"
#include "cleanup.h"
#include "directory.h"
#include "log.h"
#include "program.h"

#define BPFFS    "/sys/fs/bpf"
#define TOP_NAME "tc_portbytes"
#define TOP      BPFFS "/" TOP_NAME

#define NAME_SIZE 24

struct pins {
    char name[NAME_SIZE]; /* of the network namespace's directory */
    int directory;        /* that, locked */
};

/* ---- the directory of the network namespace ---- */

/*
 * -ENOENT: no bpffs is mounted. -EPERM: others could exchange directories in it, ours included:
 * its owner could, and where all may write anybody could, but for the sticky bit. O_PATH: search
 * permission is enough.
 */
static int open_bpffs(void) {
    CLEANUP_CLOSE int directory = open(BPFFS, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs mounted;
    struct stat status;

    if (directory < 0)
        return -errno;
    if (fstatfs(directory, &mounted) || (unsigned long)mounted.f_type != BPF_FS_MAGIC ||
        fstat(directory, &status))
        return -ENOENT;
    if ((status.st_uid != 0 && status.st_uid != geteuid()) ||
        (status.st_mode & (S_IWGRP | S_IWOTH) && !(status.st_mode & S_ISVTX)))
        return -EPERM;
    return take_fd(&directory);
}

static void report_not_ours(int priority, const char *path) {
    pb_log(priority,
           "%s is not a directory of uid %u that nobody else may write; it was left alone, "
           "remove it by hand.",
           path, (unsigned)geteuid());
}

static void report_bpffs(int error) {
    if (error == -ENOENT)
        pb_log(LOG_ERR, "Persist needs a bpf file system at " BPFFS
                        ": mount -t bpf -o mode=0700 bpf " BPFFS ".");
    else if (error == -EPERM)
        pb_log(LOG_ERR, "Persist needs a " BPFFS " that only root can change: chown root " BPFFS
                        "; chmod 0700 " BPFFS ".");
    else
        pb_log(LOG_ERR, "Persist cannot open " BPFFS ": %s.", strerror(-error));
}

#define PATH_SIZE 64
static void path_of(const char *name, char path[PATH_SIZE]) {
    snprintf(path, PATH_SIZE, TOP "/%s", name);
}

static int open_namespace(const char *name, bool create) {
    CLEANUP_CLOSE int bpffs = open_bpffs(), top = -1;
    char path[PATH_SIZE];
    int directory;

    if (bpffs < 0) {
        if (create)
            report_bpffs(bpffs);
        return bpffs;
    }
    path_of(name, path);
    top = directory = directory_open(bpffs, TOP_NAME, create);
    if (top >= 0)
        directory = directory_open(top, name, create);
    if (directory == -EPERM)
        report_not_ours(create ? LOG_ERR : LOG_WARNING, top < 0 ? TOP : path);
    else if (directory < 0 && create)
        pb_log(LOG_ERR,
               "Persist cannot create the directory %s: %s; run collectd as a user who may "
               "write there.",
               path, strerror(-directory));
    return directory;
}

/*
 * As open_namespace, and locked until it is closed, however the process ends. -EBUSY: another
 * process has it.
 */
static int lock_namespace(const char *name, bool create) {
    struct stat status;

    for (int attempt = 0; attempt < 2; attempt++) {
        CLEANUP_CLOSE int directory = open_namespace(name, create);

        if (directory < 0)
            return directory;
        if (flock(directory, LOCK_EX | LOCK_NB))
            return -EBUSY;
        if (fstat(directory, &status) == 0 && status.st_nlink > 0)
            return take_fd(&directory);
        /* Another process has removed it since it was opened, as its last act. */
    }
    return -EBUSY;
}

/* Its directory is called by the inode number of the network namespace. */
static int name_of_namespace(char name[NAME_SIZE]) {
    struct stat namespace;

    if (stat("/proc/thread-self/ns/net", &namespace))
        return -errno;
    snprintf(name, NAME_SIZE, "%lu", (unsigned long)namespace.st_ino);
    return 0;
}

int pins_open(struct pins **out, bool create) {
    CLEANUP_CLOSE int directory = -1;
    char name[NAME_SIZE], path[PATH_SIZE];
    struct pins *pins;
    int error;

    *out = NULL;
    error = name_of_namespace(name);
    if (error && create)
        pb_log(LOG_ERR, "Persist cannot name the network namespace: /proc/thread-self/ns/net: %s.",
               strerror(-error));
    if (!error)
        error = directory = lock_namespace(name, create);
    if (error < 0) {
        path_of(name, path);
        if (error == -EBUSY && create)
            pb_log(LOG_ERR,
                   "another collectd uses %s: only one in a network namespace may have "
                   "Persist true.",
                   path);
        return create || error == -EBUSY ? error : 0;
    }
    pins = calloc(1, sizeof(*pins));
    if (!pins) {
        pb_log(LOG_ERR, "cannot start: out of memory.");
        return -ENOMEM;
    }
    memcpy(pins->name, name, sizeof(name));
    pins->directory = take_fd(&directory);
    *out = pins;
    return 0;
}

void pins_close(struct pins *pins) {
    CLEANUP_CLOSE int bpffs = -1, top = -1;

    if (!pins)
        return;
    bpffs = open_bpffs();
    top = bpffs < 0 ? -1 : directory_open(bpffs, TOP_NAME, false);
    if (top >= 0 && unlinkat(top, pins->name, AT_REMOVEDIR) == 0)
        unlinkat(bpffs, TOP_NAME, AT_REMOVEDIR);
    close(pins->directory);
    free(pins);
}

bool pins_are_removed(const struct pins *pins) {
    struct stat status;

    return fstat(pins->directory, &status) == 0 && status.st_nlink == 0;
}

/* ---- one interface, or what all share ---- */

#define SHARED_NAME "shared"

static void name_of_interface(int interface, char name[NAME_SIZE]) {
    if (interface == PINS_SHARED)
        snprintf(name, NAME_SIZE, "%s", SHARED_NAME);
    else
        snprintf(name, NAME_SIZE, "%d", interface);
}

/* The interface whose directory is called so, or PINS_SHARED. -1: it is called otherwise. */
static int interface_of_name(const char *name) {
    char canonical[NAME_SIZE];
    long index = strtol(name, NULL, 10);

    if (!strcmp(name, SHARED_NAME))
        return PINS_SHARED;
    if (index < 1 || index > INT_MAX)
        return -1;
    name_of_interface((int)index, canonical);
    return strcmp(name, canonical) ? -1 : (int)index;
}

static int open_interface(const struct pins *pins, int interface, bool create) {
    char name[NAME_SIZE];

    name_of_interface(interface, name);
    return directory_open(pins->directory, name, create);
}

/*
 * bpf(2) takes a path; one relative to a descriptor it takes from Linux 6.5 on only
 * (cb8edce28073). The directory was checked, so nobody else can have put anything there.
 */
#define PIN_PATH (32 + NAME_MAX)
static void pin_path(int directory, const char *name, char path[PIN_PATH]) {
    snprintf(path, PIN_PATH, "/proc/self/fd/%d/%s", directory, name);
}

int pins_get(const struct pins *pins, int interface, const char *name) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);
    char path[PIN_PATH];

    if (directory < 0)
        return directory;
    pin_path(directory, name, path);
    return bpf_obj_get(path);
}

int pins_put(const struct pins *pins, int interface, const char *name, int fd) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, true);
    char path[PIN_PATH];

    if (directory < 0)
        return directory;
    unlinkat(directory, name, 0);
    pin_path(directory, name, path);
    return bpf_obj_pin(fd, path);
}

/*
 * unlinkat neither follows a symbolic link nor removes a directory. A link of BPF is detached when
 * its last descriptor is closed, before close returns; if a pin was the last, by a kernel worker
 * some time later, and many such workers keep everybody else from the rtnl lock.
 */
static int remove_pin(void *context, const char *name) {
    int directory = *(const int *)context;
    char path[PIN_PATH];
    int object;

    pin_path(directory, name, path);
    object = bpf_obj_get(path);
    unlinkat(directory, name, 0);
    if (object >= 0)
        close(object);
    return 0;
}

void pins_remove(const struct pins *pins, int interface, const char *name) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);

    if (directory >= 0)
        remove_pin(&directory, name);
}

static int remove_other_pin(void *context, const char *name) {
    for (int direction = 0; direction < DIRECTIONS; direction++)
        if (!strcmp(name, direction_names[direction]))
            return 0;
    return remove_pin(context, name);
}

void pins_remove_all(const struct pins *pins, int interface) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);
    char name[NAME_SIZE];

    if (directory < 0)
        return;
    directory_for_each(directory, remove_pin, &directory);
    name_of_interface(interface, name);
    unlinkat(pins->directory, name, AT_REMOVEDIR);
}

void pins_remove_others(const struct pins *pins, int interface) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);

    if (directory >= 0)
        directory_for_each(directory, remove_other_pin, &directory);
}

/* ---- all interfaces ---- */

struct list {
    const struct pins *pins;
    int *interfaces;
    unsigned number, capacity;
};

static int list_entry(void *context, const char *name) {
    struct list *list = context;
    CLEANUP_CLOSE int directory = -1;
    int interface = interface_of_name(name);
    int *interfaces;

    if (interface < 1)
        return 0;
    directory = open_interface(list->pins, interface, false);
    if (directory < 0)
        return directory == -EPERM || directory == -ENOENT ? 0 : directory;
    interfaces =
        array_grow(list->interfaces, list->number, &list->capacity, sizeof(*list->interfaces));
    if (!interfaces)
        return -ENOMEM;
    interfaces[list->number++] = interface;
    list->interfaces = interfaces;
    return 0;
}

int pins_list(const struct pins *pins, int **interfaces, unsigned *number) {
    struct list list = {.pins = pins};
    int error = directory_for_each(pins->directory, list_entry, &list);

    if (error) {
        free(list.interfaces);
        return error;
    }
    *interfaces = list.interfaces;
    *number = list.number;
    return 0;
}

struct sweep {
    const struct pins *pins;
    bool (*keep)(void *context, int interface);
    void *context;
};

static bool is_kept(const struct sweep *sweep, int interface) {
    return sweep->keep && (interface == PINS_SHARED || sweep->keep(sweep->context, interface));
}

static int sweep_entry(void *context, const char *name) {
    const struct sweep *sweep = context;
    CLEANUP_CLOSE int directory = directory_open(sweep->pins->directory, name, false);
    char path[PATH_SIZE + NAME_MAX];
    int interface = interface_of_name(name);

    snprintf(path, sizeof(path), TOP "/%s/%s", sweep->pins->name, name);
    if (interface < 0)
        pb_log(LOG_WARNING, "%s is nothing that this plugin pins; it was left alone.", path);
    else if (directory == -EPERM)
        report_not_ours(LOG_WARNING, path);
    else if (!is_kept(sweep, interface))
        pins_remove_all(sweep->pins, interface);
    return 0;
}

void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface),
                void *context) {
    directory_for_each(pins->directory, sweep_entry,
                       &(struct sweep){.pins = pins, .keep = keep, .context = context});
}
