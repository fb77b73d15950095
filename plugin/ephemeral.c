/* SPDX-License-Identifier: MIT */
#include "ephemeral.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"

/* Linux's default, Documentation/networking/ip-sysctl.rst. */
#define FIRST 32768
#define LAST  60999

/* The decimal number at *text, which is advanced behind it. False: none, or no port. */
static bool parse_port(const char **text, __u32 *port) {
    unsigned long number;
    char *end;

    if (!isdigit((unsigned char)**text)) /* strtoul() accepts blanks and signs */
        return false;
    number = strtoul(*text, &end, 10);
    *text = end;
    *port = (__u32)number;
    return number < PB_PORTS;
}

static void add_local_range(struct port_set *set, const char *text) {
    __u32 first, last;
    int length = 0;

    if (!text || sscanf(text, "%u %u %n", &first, &last, &length) != 2 || text[length] ||
        first > last || last >= PB_PORTS) {
        first = FIRST;
        last = LAST;
    }
    port_set_add_range(set, first, last);
}

/* "8080,9148,30000-32767\n", or an empty line. */
static void parse_reserved(struct port_set *out, const char *text) {
    struct port_set set = {0};
    __u32 first, last;

    if (!text)
        return;
    while (*text && *text != '\n') {
        if (!parse_port(&text, &first))
            return;
        last = first;
        if (*text == '-') {
            text++;
            if (!parse_port(&text, &last) || last < first)
                return;
        }
        port_set_add_range(&set, first, last);
        if (*text == ',')
            text++; /* anything else is no port */
    }
    *out = set;
}

static bool is_on(const char *text) {
    return text && atoi(text) != 0;
}

void ephemeral_parse(struct ephemeral *out, const struct ephemeral_files *files) {
    struct port_set reserved = {0};

    *out = (struct ephemeral){0};
    parse_reserved(&reserved, files->reserved);
    add_local_range(&out->local, files->range);
    port_set_remove_all(&out->local, &reserved);
    out->passing = out->local;
    if (is_on(files->forward4) || is_on(files->forward6))
        port_set_add_range(&out->passing, FIRST, PB_PORTS - 1);
    port_set_remove_all(&out->passing, &reserved);
}

/*
 * The kernel writes what fits into the first read() of a file and nothing into a second one
 * (proc_do_large_bitmap() in kernel/sysctl.c). 32,768 reserved ports that are no neighbours take
 * less than this.
 */
#define TEXT_MAX (256 * 1024)

static size_t read_at_once(const char *path, char *text, size_t size) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? 0 : (size_t)length;
}

void ephemeral_read(struct ephemeral *out) {
    char range[64], forward4[16], forward6[16], reserved[1024], *all = NULL;
    struct ephemeral_files files = {range, reserved, forward4, forward6};

    read_at_once("/proc/sys/net/ipv4/ip_local_port_range", range, sizeof(range));
    read_at_once("/proc/sys/net/ipv4/ip_forward", forward4, sizeof(forward4));
    read_at_once("/proc/sys/net/ipv6/conf/all/forwarding", forward6, sizeof(forward6));
    if (read_at_once("/proc/sys/net/ipv4/ip_local_reserved_ports", reserved, sizeof(reserved)) ==
            sizeof(reserved) - 1 &&
        (all = malloc(TEXT_MAX))) {
        read_at_once("/proc/sys/net/ipv4/ip_local_reserved_ports", all, TEXT_MAX);
        files.reserved = all;
    }
    ephemeral_parse(out, &files);
    free(all);
}

void ephemeral_remote(struct port_set *out) {
    *out = (struct port_set){0};
    port_set_add_range(out, FIRST, PB_PORTS - 1);
}
