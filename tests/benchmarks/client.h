/* Connections that send requests and check answers, many of them in one thread. */
#ifndef CLIENT_H
#define CLIENT_H

#include "wire.h"

#include <stdarg.h>
#include <sys/sendfile.h>
#include <time.h>

enum { TEXT_BYTES = 1024, FEW = 32, AT_ONCE = 1 << 20, EVENTS = 512 };

struct connection {
    int fd;
    bool busy, blocked; /* a request is out; the socket takes no more of it for now */
    long upload;        /* -1: none */
    size_t head, sent;  /* bytes of the request, without what comes from the pattern */
    off_t at;           /* where in the upload the rest of the body goes on */
    long long rest, expected;
    uint64_t begun;
    size_t filled;
    const char *text;   /* a request that is always the same; NULL: it is in `out` */
    char out[TEXT_BYTES], in[8192];
};

struct answer {
    int status;
    long long offset;
    const char *location;
};

struct mode {
    bool (*next)(struct connection *c); /* puts a request together; false: no more */
    void (*answered)(struct connection *c, const struct answer *a);
    bool bodiless; /* answers have no body, whatever they say */
};

static long port, connections = 1, requests;
static long long bytes, most; /* sent of bodies, and when to stop; 0: never */
static int poll_fd, pattern_fd;
static off_t pattern_size;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c == '"' || *c == '\\')
            *c = ' ';
    printf("{\"error\": \"%s\"}\n", text);
    exit(1);
}

static void open_connection(struct connection *c)
{
    struct sockaddr_in address = loopback((int)port);
    int one = 1, room = 128 * 1024;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connect: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connections > FEW) /* or what was sent would be in the kernel for the most part */
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
    c->blocked = false;
    c->filled = 0;
}

static void close_connection(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

static void watch(struct connection *c, bool blocked)
{
    if (c->blocked == blocked)
        return;
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->blocked = blocked;
}

/* Sends what the socket takes: the head, then the body from the pattern. */
static void push(struct connection *c)
{
    const char *text = c->text ? c->text : c->out;
    while (c->sent < c->head) {
        ssize_t n = send(c->fd, text + c->sent, c->head - c->sent, c->rest > 0 ? MSG_MORE : 0);
        if (n < 0)
            goto blocked;
        c->sent += (size_t)n;
    }
    long long turn = AT_ONCE; /* then the other connections */
    while (c->rest > 0) {
        off_t from = c->at % pattern_size;
        long long length = pattern_size - from < c->rest ? pattern_size - from : c->rest;
        ssize_t n = turn > 0 ? sendfile(c->fd, pattern_fd, &from, (size_t)length) : -1;
        if (n < 0)
            goto blocked;
        c->at += n;
        c->rest -= n;
        turn -= n;
        bytes += n;
    }
    watch(c, false);
    return;
blocked:
    watch(c, true); /* of any other error than EAGAIN, reading tells more */
}

static void request(struct connection *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void request(struct connection *c, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    c->head = (size_t)vsnprintf(c->out, sizeof c->out, format, values);
    va_end(values);
}

static bool begin(struct connection *c, const struct mode *mode)
{
    c->rest = 0;
    c->busy = mode->next(c);
    if (c->busy) {
        if (c->fd < 0)
            open_connection(c);
        c->sent = 0;
        c->begun = now();
        push(c);
    }
    return c->busy;
}

/* Returns whether a whole answer has come and been checked. */
static bool receive(struct connection *c, const struct mode *mode)
{
    ssize_t n = recv(c->fd, c->in + c->filled, sizeof c->in - 1 - c->filled, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (!c->busy && n <= 0) { /* the next request opens another one */
        close_connection(c);
        return false;
    }
    if (n <= 0 || !c->busy)
        fail(n > 0 ? "an answer to nothing" : "connection closed instead of an answer");
    c->filled += (size_t)n;
    c->in[c->filled] = 0;
    size_t length = head_length(c->in, c->filled);
    if (length == 0)
        return false;
    struct answer a = {.status = atoi(c->in + 9), .location = field(c->in, length, "Location:")};
    a.offset = number(c->in, length, "Upload-Offset:", -1);
    if (a.status >= 400)
        fail("answer: %.200s | %.200s", c->in, c->in + length);
    const char *coding = field(c->in, length, "Transfer-Encoding:");
    long long body = number(c->in, length, "Content-Length:", 0);
    if (mode->bodiless || a.status == 204)
        body = 0;
    else if (coding)
        body = strcmp(c->in + c->filled - 5, "0\r\n\r\n") ? (long long)sizeof c->in : 0;
    else if (length + (size_t)body >= sizeof c->in)
        fail("the body of an answer is too long");
    if (!coding && c->filled - length < (size_t)body)
        return false;
    if (coding && body > 0)
        return false;
    if (c->rest > 0 || c->sent < c->head)
        fail("answered before the body was sent: %.200s", c->in);
    const char *closing = field(c->in, length, "Connection:");
    requests++;
    mode->answered(c, &a);
    c->filled = 0;
    c->busy = false;
    if (closing && strncasecmp(closing, "close", 5) == 0)
        close_connection(c);
    return true;
}

/* Works until no connection has anything left to do; false: until enough bytes were sent. */
static bool run(const struct mode *mode, struct connection *all, long count)
{
    struct epoll_event events[EVENTS];
    long active = 0;
    for (long i = 0; i < count; i++)
        active += begin(&all[i], mode);
    while (active > 0) {
        int ready = epoll_wait(poll_fd, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                push(c);
            if (c->fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT && receive(c, mode))
                active -= !begin(c, mode);
        }
        if (most > 0 && bytes >= most)
            return false;
    }
    return true;
}

#endif
