/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* Whether an open directory is one that only our own user can have prepared. */
static bool is_ours(int directory) {
    struct stat status;

    return fstat(directory, &status) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == geteuid() && !(status.st_mode & (S_IWGRP | S_IWOTH));
}

int directory_open(int parent, const char *name, bool create) {
    CLEANUP_CLOSE int directory = -1;

    if (create && mkdirat(parent, name, 0700) && errno != EEXIST)
        return -errno;
    directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) /* with O_NOFOLLOW and O_DIRECTORY a link is ENOTDIR; ELOOP by open(2) */
        return errno == ENOTDIR || errno == ELOOP || errno == EACCES ? -EPERM : -errno;
    return is_ours(directory) ? take_fd(&directory) : -EPERM;
}

int directory_for_each(int directory, int (*each)(void *context, const char *name), void *context) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (!entries) {
        error = -errno;
        if (copy >= 0)
            close(copy);
        return error;
    }
    while (!error && (errno = 0, entry = readdir(entries)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = each(context, entry->d_name);
    if (!error)
        error = -errno;
    closedir(entries);
    return error;
}
