/*
 * limit: what this machine could do at best.
 *
 * One thread, one epoll, one file for each upload, and as much of HTTP and tus as load.c needs:
 * POST creates (and takes a body), PATCH receives up to 1 MiB at a time and writes it, HEAD tells
 * the offset. Nothing survives its end, and nothing is checked but the offset.
 *
 *     limit DIRECTORY PORT
 */
#include "wire.h"

#include <sys/prctl.h>

enum { HEAD_BYTES = 16384, PIECE = 1 << 20, MOST_UPLOADS = 1 << 22, MOST_CONNECTIONS = 1 << 14 };

struct upload {
    long long length, offset;
};

struct connection {
    int file;         /* of the request whose body is coming */
    unsigned upload;
    long long due;    /* bytes of the body still to come */
    bool created;     /* the request is a POST */
    size_t filled;
    char head[HEAD_BYTES];
};

static struct upload *uploads; /* as large as it can be, but only what is used takes memory */
static struct connection **connections;
static unsigned count;
static char piece[PIECE];
static int poll_fd, port;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void answer(int fd, const char *text, int length)
{
    /* Answers are short, and the client waits for them: there is always room. */
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        shutdown(fd, SHUT_RDWR);
}

static void refuse(int fd, const char *status)
{
    char text[128];
    answer(fd, text, snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status));
}

static void finish(int fd, struct connection *c)
{
    char text[256];
    struct upload *u = &uploads[c->upload];
    int length;
    if (c->file >= 0)
        close(c->file);
    c->file = -1;
    if (c->created)
        length = snprintf(text, sizeof text,
                          "HTTP/1.1 201 Created\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n"
                          "Location: http://127.0.0.1:%d/files/%u\r\nUpload-Offset: %lld\r\n\r\n",
                          port, c->upload, u->offset);
    else
        length = snprintf(text, sizeof text,
                          "HTTP/1.1 204 No Content\r\nTus-Resumable: 1.0.0\r\n"
                          "Upload-Offset: %lld\r\n\r\n", u->offset);
    answer(fd, text, length);
}

static void store(int fd, struct connection *c, const char *bytes, size_t length)
{
    if (write(c->file, bytes, length) != (ssize_t)length)
        fail("write");
    uploads[c->upload].offset += (long long)length;
    c->due -= (long long)length;
    if (c->due == 0)
        finish(fd, c);
}

static void open_file(struct connection *c, int flags)
{
    char name[32];
    snprintf(name, sizeof name, "%u", c->upload);
    c->file = open(name, O_WRONLY | O_CLOEXEC | flags, 0644);
    if (c->file < 0)
        fail(name);
}

/* A whole head has come: decide what its body is for. */
static void begin(int fd, struct connection *c, size_t length)
{
    char text[256];
    c->due = number(c->head, length, "Content-Length:", 0);
    c->created = strncmp(c->head, "POST ", 5) == 0;
    if (c->created) {
        if (count == MOST_UPLOADS)
            fail("too many uploads");
        c->upload = count++;
        uploads[c->upload].length = number(c->head, length, "Upload-Length:", 0);
        open_file(c, O_CREAT | O_TRUNC);
        if (c->due == 0)
            finish(fd, c);
        return;
    }
    const char *path = memmem(c->head, length, "/files/", 7);
    c->upload = path ? (unsigned)strtoul(path + 7, NULL, 10) : count;
    if (c->upload >= count) {
        refuse(fd, "404 Not Found");
        return;
    }
    struct upload *u = &uploads[c->upload];
    if (strncmp(c->head, "HEAD ", 5) == 0) {
        answer(fd, text, snprintf(text, sizeof text,
                                  "HTTP/1.1 200 OK\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n"
                                  "Upload-Offset: %lld\r\nUpload-Length: %lld\r\n\r\n",
                                  u->offset, u->length));
    } else if (number(c->head, length, "Upload-Offset:", -1) != u->offset) {
        refuse(fd, "409 Conflict");
    } else {
        open_file(c, O_APPEND);
        if (c->due == 0)
            finish(fd, c);
    }
}

static void end(int fd)
{
    struct connection *c = connections[fd];
    if (c->file >= 0)
        close(c->file);
    free(c);
    connections[fd] = NULL;
    close(fd);
}

static void receive(int fd)
{
    struct connection *c = connections[fd];
    if (c->due > 0) {
        size_t most = c->due < PIECE ? (size_t)c->due : PIECE;
        ssize_t got = recv(fd, piece, most, 0);
        if (got > 0)
            store(fd, c, piece, (size_t)got);
        else if (got == 0 || errno != EAGAIN)
            end(fd);
        return;
    }
    ssize_t got = recv(fd, c->head + c->filled, HEAD_BYTES - c->filled, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            end(fd);
        return;
    }
    c->filled += (size_t)got;
    size_t length = head_length(c->head, c->filled);
    if (length == 0)
        return;
    size_t rest = c->filled - length;
    begin(fd, c, length);
    if (rest > 0 && c->due > 0)
        store(fd, c, c->head + length, rest);
    c->filled = 0;
}

static void welcome(int listener)
{
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MOST_CONNECTIONS)
            fail("too many connections");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd] = calloc(1, sizeof(struct connection));
        connections[fd]->file = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || chdir(argv[1]) != 0)
        fail("limit DIRECTORY PORT");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    more_descriptors();
    uploads = calloc(MOST_UPLOADS, sizeof *uploads);
    connections = calloc(MOST_CONNECTIONS, sizeof *connections);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port = atoi(argv[2]));
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        fail("listen");
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll_fd, events, 256, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.fd == listener)
                welcome(listener);
            else
                receive(events[i].data.fd);
    }
}
