/* The little of HTTP/1.1 that load.c and limit.c share. */
#ifndef WIRE_H
#define WIRE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Returns the length of a head with its empty line; 0: there is more to come. */
static inline size_t head_length(const char *text, size_t length)
{
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    return end ? (size_t)(end - text) + 4 : 0;
}

/* Returns where the value of a field begins; NULL: there is no such field. `name` has its colon. */
static inline const char *field(const char *head, size_t length, const char *name)
{
    size_t size = strlen(name);
    const char *line = memchr(head, '\n', length), *end = head + length;
    while (line && line + 1 + size < end) {
        line++;
        if (strncasecmp(line, name, size) == 0) {
            for (line += size; *line == ' '; line++)
                ;
            return line;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

/* Returns the number in a field; `missing`: there is no such field. */
static inline long long number(const char *head, size_t length, const char *name, long long missing)
{
    const char *value = field(head, length, name);
    return value ? strtoll(value, NULL, 10) : missing;
}

static inline void more_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

#endif
