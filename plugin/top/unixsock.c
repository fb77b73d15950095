/* SPDX-License-Identifier: MIT */
#include "unixsock.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

/* While a server's backlog is full, connect() blocks for as long as send() may. */
static int connect_within(int fd, const char *path, unsigned timeout) {
    const struct timeval limit = {.tv_sec = timeout};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return 0;
}

int unixsock_open(struct unixsock *socket_, const char *path, unsigned timeout) {
    __u64 deadline = monotonic() + timeout * SECOND;
    int fd, error;

    do { /* a signal interrupts connect() for good: with a new socket */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
        error = connect_within(fd, path, timeout);
        if (error)
            close(fd);
    } while (error == -EINTR && monotonic() < deadline);
    if (error)
        return error == -EINTR ? -ETIMEDOUT : error;
    socket_->fd = fd;
    socket_->deadline = deadline;
    socket_->begin = socket_->end = 0;
    return 0;
}

void unixsock_close(struct unixsock *socket) {
    close(socket->fd);
}

/* Waits until the socket is ready. */
static int wait_for(const struct unixsock *socket, short events) {
    struct pollfd fd = {.fd = socket->fd, .events = events};
    __u64 now;

    do {
        now = monotonic();
        if (now >= socket->deadline)
            return -ETIMEDOUT;
    } while (poll(&fd, 1, (int)((socket->deadline - now) / 1000000) + 1) <= 0);
    return 0;
}

int unixsock_send(struct unixsock *socket, const char *text) {
    size_t left = strlen(text);

    while (left) {
        ssize_t sent = send(socket->fd, text, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        int error = sent < 0 && errno != EAGAIN && errno != EINTR ? -errno
                    : sent < 0                                    ? wait_for(socket, POLLOUT)
                                                                  : 0;

        if (error)
            return error;
        if (sent > 0) {
            text += sent;
            left -= (size_t)sent;
        }
    }
    return 0;
}

/* Appends to the buffer, which is not full. */
static int receive_more(struct unixsock *socket) {
    for (;;) {
        int error = wait_for(socket, POLLIN);
        ssize_t received;

        if (error)
            return error;
        received = recv(socket->fd, socket->buffer + socket->end,
                        sizeof(socket->buffer) - socket->end, MSG_DONTWAIT);
        if (received > 0) {
            socket->end += (size_t)received;
            return 0;
        }
        if (received == 0)
            return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
}

int unixsock_receive(struct unixsock *socket, const char **line) {
    size_t seen = 0;

    for (;;) {
        char *begin = socket->buffer + socket->begin, *end;
        int error;

        end = memchr(begin + seen, '\n', socket->end - socket->begin - seen);
        if (end) {
            *end = '\0';
            *line = begin;
            socket->begin = (size_t)(end + 1 - socket->buffer);
            return 0;
        }
        seen = socket->end - socket->begin;
        if (seen >= UNIXSOCK_LINE)
            return -EPROTO;
        if (sizeof(socket->buffer) - socket->end < UNIXSOCK_LINE) {
            memmove(socket->buffer, begin, seen);
            socket->begin = 0;
            socket->end = seen;
        }
        error = receive_more(socket);
        if (error)
            return error;
    }
}
