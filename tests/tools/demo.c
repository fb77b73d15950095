/* SPDX-License-Identifier: MIT */
/*
 * Known traffic for conf/try.sh --demo.
 *
 * demo serve FAMILIES          answers until SIGTERM; says "ready" when it listens
 * demo send FAMILIES SECONDS   sends to ADDRESS4 and ADDRESS6, the addresses below
 *
 * FAMILIES is "4" or "46". Both say at the end what they sent, a line a flow:
 * TRANSPORT PORT FAMILY PACKETS PAYLOAD, with PACKETS 0 for TCP, which cuts as it likes.
 * Every flow is a process of its own, so all of it can be plain blocking calls.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS4 "198.51.100.1" /* the server's: addresses for documentation */
#define ADDRESS6 "2001:db8::1"

/*
 * UDP: so many datagrams of so many bytes, each answered by one of another size.
 * TCP: so many requests of so many bytes, each answered by so many bytes.
 * Primes, to be recognised.
 */
static const struct flow {
    int type, family, port;
    unsigned requests, size, answer;
    double waves, depth; /* how the rate swings: so often in all, 0 not to 1 down to zero */
} flows[] = {
    {SOCK_STREAM, AF_INET, 443, 1999, 211, 16001, 3, 0.8},
    {SOCK_STREAM, AF_INET6, 443, 997, 211, 20011, 2, 0.6},
    {SOCK_STREAM, AF_INET6, 5201, 601, 49999, 2, 1, 0.9},
    {SOCK_STREAM, AF_INET, 8080, 499, 10007, 19997, 5, 1.0},
    {SOCK_DGRAM, AF_INET, 53, 4001, 61, 479, 2, 0.5},
    {SOCK_DGRAM, AF_INET6, 53, 2003, 61, 479, 4, 0.5},
    {SOCK_DGRAM, AF_INET, 443, 10007, 1187, 1201, 2, 0.7},
    {SOCK_DGRAM, AF_INET6, 5060, 1009, 401, 0, 0, 0},
};

#define FLOWS (sizeof(flows) / sizeof(flows[0]))

/* Begins every request. */
struct request {
    uint32_t size, answer;
};

static char buffer[1 << 16];
static volatile sig_atomic_t stopped;

static void on_term(int signal) {
    (void)signal;
    stopped = 1;
}

static void fail(const char *what) {
    fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void report(const struct flow *flow, uint64_t packets, uint64_t payload) {
    char line[100];
    int length = snprintf(line, sizeof(line), "%s %d %d %llu %llu\n",
                          flow->type == SOCK_STREAM ? "tcp" : "udp", flow->port,
                          flow->family == AF_INET ? 4 : 6, (unsigned long long)packets,
                          (unsigned long long)payload);

    /* At once, so that lines of several processes don't mix. */
    if (write(STDOUT_FILENO, line, length) != length)
        fail("write");
}

static socklen_t address_of(const struct flow *flow, struct sockaddr_storage *storage) {
    struct sockaddr_in *in = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

    memset(storage, 0, sizeof(*storage));
    storage->ss_family = flow->family;
    if (flow->family == AF_INET) {
        in->sin_port = htons(flow->port);
        inet_pton(AF_INET, ADDRESS4, &in->sin_addr);
        return sizeof(*in);
    }
    in6->sin6_port = htons(flow->port);
    inet_pton(AF_INET6, ADDRESS6, &in6->sin6_addr);
    return sizeof(*in6);
}

static void write_all(int fd, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, buffer, size < sizeof(buffer) ? size : sizeof(buffer), MSG_NOSIGNAL);

        if (n < 0)
            fail("send");
        size -= n;
    }
}

/* False: the other side is done. */
static bool read_all(int fd, void *into, size_t size) {
    while (size > 0) {
        size_t room = into ? size : size < sizeof(buffer) ? size : sizeof(buffer);
        ssize_t n = recv(fd, into ? into : buffer, room, 0);

        if (n < 0)
            fail("recv");
        if (n == 0)
            return false;
        size -= n;
        if (into)
            into = (char *)into + n;
    }
    return true;
}

/* ---- the server ---- */

static int listen_for(const struct flow *flow) {
    struct sockaddr_storage address;
    socklen_t length = address_of(flow, &address);
    int one = 1, much = 1 << 22, fd = socket(flow->family, flow->type, 0);

    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof(much));
    if (flow->family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, length) ||
        (flow->type == SOCK_STREAM && listen(fd, 1)))
        fail("bind");
    return fd;
}

static void serve_tcp(const struct flow *flow, int listener) {
    int fd = accept(listener, NULL, NULL);
    struct request request;
    uint64_t payload = 0;

    if (fd < 0 && stopped)
        return;
    if (fd < 0)
        fail("accept");
    while (read_all(fd, &request, sizeof(request)) &&
           read_all(fd, NULL, request.size - sizeof(request))) {
        write_all(fd, request.answer);
        payload += request.answer;
    }
    report(flow, 0, payload);
}

static void serve_udp(const struct flow *flow, int fd) {
    struct timeval patience = {.tv_usec = 100000}; /* to see that we are stopped */
    struct sockaddr_storage from;
    struct request *request = (struct request *)buffer;
    uint64_t packets = 0, payload = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    for (;;) {
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length);

        if (n < 0 && stopped)
            break;
        if (n < (ssize_t)sizeof(*request) || request->answer == 0)
            continue;
        n = sendto(fd, buffer, request->answer, 0, (struct sockaddr *)&from, length);
        if (n < 0)
            continue;
        packets++;
        payload += n;
    }
    report(flow, packets, payload);
}

/* ---- the client ---- */

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* How many requests are due when this part of the time has passed: the rate is 1 - depth cos. */
static unsigned due(const struct flow *flow, double part) {
    double turn = 2 * M_PI * flow->waves;

    if (part >= 1)
        return flow->requests;
    if (turn > 0)
        part -= flow->depth * sin(turn * part) / turn;
    return part * flow->requests;
}

static void request_tcp(const struct flow *flow, int fd) {
    struct request request = {.size = flow->size, .answer = flow->answer};

    memcpy(buffer, &request, sizeof(request));
    write_all(fd, flow->size);
    if (!read_all(fd, NULL, flow->answer)) {
        errno = ECONNRESET;
        fail("recv");
    }
}

static void request_udp(const struct flow *flow, int fd) {
    struct request request = {.size = flow->size, .answer = flow->answer};

    memcpy(buffer, &request, sizeof(request));
    while (send(fd, buffer, flow->size, 0) < 0)
        if (errno != ENOBUFS && errno != EINTR)
            fail("send");
    while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0)
        ;
}

static void send_flow(const struct flow *flow, double seconds) {
    struct sockaddr_storage address;
    socklen_t length = address_of(flow, &address);
    int fd = socket(flow->family, flow->type, 0);
    double start = now();
    unsigned sent = 0;

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, length))
        fail("connect");
    while (sent < flow->requests && !stopped) {
        for (unsigned n = due(flow, (now() - start) / seconds); sent < n; sent++) {
            if (flow->type == SOCK_STREAM)
                request_tcp(flow, fd);
            else
                request_udp(flow, fd);
        }
        usleep(5000);
    }
    usleep(300000); /* a socket closed too early answers the last datagrams by ICMP */
    close(fd);
    report(flow, flow->type == SOCK_STREAM ? 0 : sent, (uint64_t)sent * flow->size);
}

/* ---- both ---- */

int main(int count, char **arguments) {
    bool serving = count == 3 && !strcmp(arguments[1], "serve");
    pid_t children[FLOWS] = {0};
    int sockets[FLOWS], result = 0;
    struct sigaction action = {.sa_handler = on_term}; /* no SA_RESTART: calls are interrupted */

    if (!serving && !(count == 4 && !strcmp(arguments[1], "send"))) {
        fprintf(stderr, "usage: demo serve 4|46, demo send 4|46 SECONDS\n");
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    bool with_ipv6 = !strcmp(arguments[2], "46");

    for (unsigned i = 0; i < FLOWS && serving; i++)
        if (flows[i].family == AF_INET || with_ipv6)
            sockets[i] = listen_for(&flows[i]);
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *flow = &flows[i];

        if (flow->family == AF_INET6 && !with_ipv6)
            continue;
        children[i] = fork();
        if (children[i] < 0)
            fail("fork");
        if (children[i] > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (!serving)
            send_flow(flow, atof(arguments[3]));
        else if (flow->type == SOCK_STREAM)
            serve_tcp(flow, sockets[i]);
        else
            serve_udp(flow, sockets[i]);
        return 0;
    }

    if (serving) {
        if (write(STDOUT_FILENO, "ready\n", 6) != 6)
            fail("write");
        while (!stopped)
            usleep(100000);
    }
    for (unsigned i = 0; i < FLOWS; i++) {
        int status;

        if (!children[i])
            continue;
        if (serving || stopped)
            kill(children[i], SIGTERM);
        while (waitpid(children[i], &status, 0) < 0 && errno == EINTR)
            if (stopped)
                kill(children[i], SIGTERM);
        result |= status != 0;
    }
    return result;
}
