/* SPDX-License-Identifier: MIT */
#include "pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"

#define BPFFS "/sys/fs/bpf"
#define OURS  BPFFS "/tc_portbytes"

struct pins {
    char path[PINS_PATH - 12]; /* room for an ifindex */
    int lock;                  /* the directory, open and locked */
};

static int make_directories(const char *path) {
    struct statfs mounted;

    if (statfs(BPFFS, &mounted) || (unsigned long)mounted.f_type != BPF_FS_MAGIC) {
        pb_log(LOG_ERR, "Persist needs a bpf file system at %s: mount -t bpf bpf %s.", BPFFS,
               BPFFS);
        return -ENOENT;
    }
    if ((mkdir(OURS, 0700) && errno != EEXIST) || (mkdir(path, 0700) && errno != EEXIST)) {
        int error = -errno;

        pb_log(LOG_ERR,
               "Persist cannot make the directory %s: %s; remove it by hand or run "
               "collectd as a user who may write there.",
               path, strerror(-error));
        return error;
    }
    return 0;
}

int pins_open(struct pins **out, bool make) {
    struct pins *pins = calloc(1, sizeof(*pins));
    struct stat namespace;
    int error = 0;

    *out = NULL;
    if (!pins) {
        pb_log(LOG_ERR, "cannot start: no memory.");
        return -ENOMEM;
    }
    if (stat("/proc/thread-self/ns/net", &namespace))
        error = -errno;
    snprintf(pins->path, sizeof(pins->path), OURS "/%lu", (unsigned long)namespace.st_ino);
    if (!error && make)
        error = make_directories(pins->path);
    if (error) {
        free(pins);
        return error;
    }
    pins->lock = open(pins->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pins->lock < 0) {
        error = make ? -errno : 0;
        free(pins);
        return error;
    }
    /* Ends with the process, however that ends. */
    if (flock(pins->lock, LOCK_EX | LOCK_NB)) {
        if (make)
            pb_log(LOG_ERR,
                   "another collectd has %s: only one in a network namespace may have "
                   "Persist true.",
                   pins->path);
        close(pins->lock);
        free(pins);
        return make ? -EBUSY : 0;
    }
    *out = pins;
    return 0;
}

void pins_close(struct pins *pins) {
    if (!pins)
        return;
    if (rmdir(pins->path) == 0)
        rmdir(OURS);
    close(pins->lock);
    free(pins);
}

void pins_path(const struct pins *pins, int interface, char path[PINS_PATH]) {
    snprintf(path, PINS_PATH, "%s/%d", pins->path, interface);
}

void pins_remove(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

void pins_sweep(const struct pins *pins, bool (*keep)(void *context, int interface),
                void *context) {
    DIR *directory = opendir(pins->path);
    char path[PINS_PATH];
    struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory))) {
        int interface = atoi(entry->d_name);

        if (interface <= 0 || (keep && keep(context, interface)))
            continue;
        pins_path(pins, interface, path);
        pins_remove(path);
    }
    closedir(directory);
}
