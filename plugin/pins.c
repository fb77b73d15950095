/* SPDX-License-Identifier: MIT */
#include "pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
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

#include "cleanup.h"
#include "log.h"

#define BPFFS    "/sys/fs/bpf"
#define TOP_NAME "tc_portbytes"
#define TOP      BPFFS "/" TOP_NAME

#define NAME_SIZE 24

struct pins {
    char name[NAME_SIZE]; /* of the network namespace's directory */
    int directory;        /* that, locked */
};

/* Whether an open directory is one that only our own user can have prepared. */
static bool is_ours(int directory) {
    struct stat status;

    return fstat(directory, &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == geteuid() && !(status.st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * Opens `name` below `parent`. -ENOENT: it is not there; -EPERM: it is there, and is no directory
 * of ours. With `create` it is created if it is not there.
 */
static int open_ours(int parent, const char *name, bool create) {
    CLEANUP_CLOSE int directory = -1;

    if (create && mkdirat(parent, name, 0700) && errno != EEXIST)
        return -errno;
    directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) /* with O_NOFOLLOW and O_DIRECTORY a link is ENOTDIR; ELOOP by open(2) */
        return errno == ENOTDIR || errno == ELOOP || errno == EACCES ? -EPERM : -errno;
    return is_ours(directory) ? take_fd(&directory) : -EPERM;
}

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
    top = directory = open_ours(bpffs, TOP_NAME, create);
    if (top >= 0)
        directory = open_ours(top, name, create);
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
        return create ? error : 0;
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
    top = bpffs < 0 ? -1 : open_ours(bpffs, TOP_NAME, false);
    if (top >= 0 && unlinkat(top, pins->name, AT_REMOVEDIR) == 0)
        unlinkat(bpffs, TOP_NAME, AT_REMOVEDIR);
    close(pins->directory);
    free(pins);
}

/* ---- one interface ---- */

static int open_interface(const struct pins *pins, int interface, bool create) {
    char name[16];

    snprintf(name, sizeof(name), "%d", interface);
    return open_ours(pins->directory, name, create);
}

/*
 * bpf(2) takes a path; one relative to a descriptor it takes from Linux 6.5 on only
 * (cb8edce28073). The directory was checked, so nobody else can have put anything there.
 */
#define PIN_PATH 64
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

void pins_remove(const struct pins *pins, int interface, const char *name) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);

    if (directory >= 0)
        unlinkat(directory, name, 0);
}

/* Calls each() for every entry of a directory but "." and "..". */
static void for_each_entry(int directory, void (*each)(void *context, const char *name),
                           void *context) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (!entries) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((entry = readdir(entries)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(context, entry->d_name);
    closedir(entries);
}

static void remove_pin(void *context, const char *name) {
    unlinkat(*(const int *)context, name, 0); /* neither follows a link nor removes a directory */
}

void pins_remove_all(const struct pins *pins, int interface) {
    CLEANUP_CLOSE int directory = open_interface(pins, interface, false);
    char name[16];

    if (directory < 0)
        return;
    for_each_entry(directory, remove_pin, &directory);
    snprintf(name, sizeof(name), "%d", interface);
    unlinkat(pins->directory, name, AT_REMOVEDIR);
}

/* ---- all interfaces ---- */

struct sweep {
    const struct pins *pins;
    bool (*keep)(void *context, int interface);
    void *context;
};

/* The index that a directory is called by; 0: it is called otherwise. */
static int index_of(const char *name) {
    char canonical[16];
    long index = strtol(name, NULL, 10);

    if (index < 1 || index > INT_MAX)
        return 0;
    snprintf(canonical, sizeof(canonical), "%ld", index);
    return strcmp(name, canonical) ? 0 : (int)index;
}

static void sweep_entry(void *context, const char *name) {
    const struct sweep *sweep = context;
    CLEANUP_CLOSE int directory = open_ours(sweep->pins->directory, name, false);
    char path[PATH_SIZE + NAME_MAX];
    int interface = index_of(name);

    snprintf(path, sizeof(path), TOP "/%s/%s", sweep->pins->name, name);
    if (!interface)
        pb_log(LOG_WARNING, "%s is nothing that this plugin pins; it was left alone.", path);
    else if (directory == -EPERM)
        report_not_ours(LOG_WARNING, path);
    else if (!sweep->keep || !sweep->keep(sweep->context, interface))
        pins_remove_all(sweep->pins, interface);
}

void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface),
                void *context) {
    for_each_entry(pins->directory, sweep_entry,
                   &(struct sweep){.pins = pins, .keep = keep, .context = context});
}
