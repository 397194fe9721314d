/* Between a server and its file system: lets a chosen call fail, hang, stop half way or kill.
 *
 * Loaded with LD_PRELOAD. FAULTS_CONTROL names a file that is shared memory with the test, laid
 * out as in shim.py. Calls on paths that do not contain the chosen text pass untouched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { OFF, FAIL, KILL_BEFORE, KILL_AFTER, TORN, SHORT, HANG };
enum call {
    OPEN = 1, CREATE = 2, WRITE = 4, READ = 8, FDATASYNC = 16, FSYNC = 32, RENAME = 64,
    LINK = 128, UNLINK = 256, TRUNCATE = 512, MKDIR = 1024, CLOSE = 2048, COPY = 4096
};

struct control {
    _Atomic uint32_t action;
    uint32_t calls;
    uint32_t skip;         /* that many calls pass first */
    uint32_t times;        /* then that many meet the action */
    int32_t error;
    _Atomic uint32_t seen; /* calls that were of the chosen kind */
    _Atomic uint32_t met;
    _Atomic uint32_t hung;
    char path[512];
};

static struct control *control;

__attribute__((constructor)) static void set_up(void)
{
    const char *name = getenv("FAULTS_CONTROL");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *place = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place != MAP_FAILED)
        control = place;
    close(fd);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static void end_here(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int chosen(enum call call)
{
    return control && control->action != OFF && control->calls & call;
}

/* What shall become of this call; a call that hung goes on as if nothing had been. */
static enum action meet(enum call call, const char *path)
{
    if (!chosen(call) || !path || !strstr(path, control->path))
        return OFF;
    uint32_t number = atomic_fetch_add(&control->seen, 1);
    if (number < control->skip || number - control->skip >= control->times)
        return OFF;
    enum action action = control->action;
    atomic_fetch_add(&control->met, 1);
    if (action == KILL_BEFORE)
        end_here();
    if (action == HANG) {
        atomic_fetch_add(&control->hung, 1);
        while (control->action == HANG)
            usleep(1000);
        atomic_fetch_sub(&control->hung, 1);
        return OFF;
    }
    if (action == FAIL)
        errno = control->error;
    return action;
}

/* How the file of a descriptor is called; 0 if that cannot be told. */
static size_t name_of(int fd, char *name, size_t room)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, room - 1);
    if (length < 0)
        return 0;
    name[length] = 0;
    return length;
}

static enum action meet_fd(enum call call, int fd)
{
    char path[4096];
    return chosen(call) && name_of(fd, path, sizeof path) ? meet(call, path) : OFF;
}

static enum action meet_at(enum call call, int at, const char *path)
{
    char whole[8192];
    if (!chosen(call) || !path || *path == '/' || at == AT_FDCWD)
        return meet(call, path);
    size_t length = name_of(at, whole, 4096);
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return meet(call, whole);
}

#define FINISH(action, result)              \
    do {                                    \
        __typeof__(result) value = (result); \
        if ((action) == KILL_AFTER)         \
            end_here();                     \
        return value;                       \
    } while (0)

#define ON_PATH_AT(call, at, path, result)        \
    enum action action = meet_at(call, at, path); \
    if (action == FAIL)                           \
        return -1;                                \
    FINISH(action, result)

#define ON_PATH(call, path, result) ON_PATH_AT(call, AT_FDCWD, path, result)

#define ON_FD(call, fd, result)                   \
    enum action action = meet_fd(call, fd);       \
    if (action == FAIL)                           \
        return -1;                                \
    FINISH(action, result)

#define OPENER(name, folder, at, ...)                                       \
    {                                                                       \
        mode_t mode = 0;                                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                                \
            va_list rest;                                                   \
            va_start(rest, flags);                                          \
            mode = va_arg(rest, mode_t);                                    \
            va_end(rest);                                                   \
        }                                                                   \
        ON_PATH_AT(flags & O_CREAT ? CREATE : OPEN, folder, path,           \
                ((int (*)(at const char *, int, mode_t))next(name))(__VA_ARGS__)); \
    }

int open(const char *path, int flags, ...) OPENER("open", AT_FDCWD, , path, flags, mode)
int open64(const char *path, int flags, ...) OPENER("open64", AT_FDCWD, , path, flags, mode)
#define AT int,
int openat(int at, const char *path, int flags, ...) OPENER("openat", at, AT, at, path, flags, mode)
int openat64(int at, const char *path, int flags, ...) OPENER("openat64", at, AT, at, path, flags, mode)

int fsync(int fd) { ON_FD(FSYNC, fd, ((int (*)(int))next("fsync"))(fd)); }
int fdatasync(int fd) { ON_FD(FDATASYNC, fd, ((int (*)(int))next("fdatasync"))(fd)); }

/* As on NFS: what close() says comes too late to undo anything, the descriptor is gone. */
int close(int fd)
{
    enum action action = meet_fd(CLOSE, fd);
    int error = errno;
    int result = ((int (*)(int))next("close"))(fd);
    if (action == KILL_AFTER)
        end_here();
    if (action != FAIL)
        return result;
    errno = error;
    return -1;
}

int rename(const char *old, const char *new)
{
    ON_PATH(RENAME, new, ((int (*)(const char *, const char *))next("rename"))(old, new));
}

int renameat(int at, const char *old, int to, const char *new)
{
    ON_PATH_AT(RENAME, to, new,
            ((int (*)(int, const char *, int, const char *))next("renameat"))(at, old, to, new));
}

int link(const char *old, const char *new)
{
    ON_PATH(LINK, new, ((int (*)(const char *, const char *))next("link"))(old, new));
}

int linkat(int at, const char *old, int to, const char *new, int flags)
{
    ON_PATH_AT(LINK, to, new,
            ((int (*)(int, const char *, int, const char *, int))next("linkat"))(at, old, to, new,
                                                                                 flags));
}

int unlink(const char *path)
{
    ON_PATH(UNLINK, path, ((int (*)(const char *))next("unlink"))(path));
}

int unlinkat(int at, const char *path, int flags)
{
    ON_PATH_AT(UNLINK, at, path, ((int (*)(int, const char *, int))next("unlinkat"))(at, path, flags));
}

int mkdir(const char *path, mode_t mode)
{
    ON_PATH(MKDIR, path, ((int (*)(const char *, mode_t))next("mkdir"))(path, mode));
}

int mkdirat(int at, const char *path, mode_t mode)
{
    ON_PATH_AT(MKDIR, at, path, ((int (*)(int, const char *, mode_t))next("mkdirat"))(at, path, mode));
}

int mkfifo(const char *path, mode_t mode)
{
    ON_PATH(MKDIR, path, ((int (*)(const char *, mode_t))next("mkfifo"))(path, mode));
}

int ftruncate(int fd, off_t size)
{
    ON_FD(TRUNCATE, fd, ((int (*)(int, off_t))next("ftruncate"))(fd, size));
}

int ftruncate64(int fd, off64_t size)
{
    ON_FD(TRUNCATE, fd, ((int (*)(int, off64_t))next("ftruncate64"))(fd, size));
}

/* The first half of what there is to write. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, off64_t offset, int at)
{
    size_t total = 0, left;
    for (int n = 0; n < count; n++)
        total += parts[n].iov_len;
    left = total / 2 ? total / 2 : total;
    ssize_t written = 0;
    for (int n = 0; n < count && left; n++) {
        size_t size = parts[n].iov_len < left ? parts[n].iov_len : left;
        ssize_t one = at ? ((ssize_t (*)(int, const void *, size_t, off64_t))next("pwrite64"))(
                               fd, parts[n].iov_base, size, offset + written)
                         : ((ssize_t (*)(int, const void *, size_t))next("write"))(
                               fd, parts[n].iov_base, size);
        if (one < 0)
            return written ? written : one;
        written += one;
        left -= (size_t)one;
    }
    return written;
}

#define WRITER(parts, count, offset, at, result)                        \
    enum action action = meet_fd(WRITE, fd);                            \
    if (action == FAIL)                                                 \
        return -1;                                                      \
    if (action == SHORT)                                                \
        return write_half(fd, parts, count, offset, at);                \
    if (action == TORN) {                                               \
        write_half(fd, parts, count, offset, at);                       \
        end_here();                                                     \
    }                                                                   \
    FINISH(action, result)

ssize_t write(int fd, const void *data, size_t size)
{
    struct iovec one = {(void *)data, size};
    WRITER(&one, 1, 0, 0, ((ssize_t (*)(int, const void *, size_t))next("write"))(fd, data, size));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    struct iovec one = {(void *)data, size};
    WRITER(&one, 1, offset, 1,
           ((ssize_t (*)(int, const void *, size_t, off64_t))next("pwrite64"))(fd, data, size,
                                                                               offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    WRITER(parts, count, 0, 0,
           ((ssize_t (*)(int, const struct iovec *, int))next("writev"))(fd, parts, count));
}

#define PWRITEV(name)                                                                   \
    WRITER(parts, count, offset, 1,                                                     \
           ((ssize_t (*)(int, const struct iovec *, int, off64_t))next(name))(fd, parts, count, \
                                                                              offset))

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { PWRITEV("pwritev"); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    PWRITEV("pwritev64");
}

/* What Python calls. */
#define PWRITEV2(name)                                                                    \
    WRITER(parts, count, offset, 1,                                                       \
           ((ssize_t (*)(int, const struct iovec *, int, off64_t, int))next(name))(        \
               fd, parts, count, offset, flags))

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    PWRITEV2("pwritev2");
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    PWRITEV2("pwritev64v2");
}

ssize_t read(int fd, void *data, size_t size)
{
    ON_FD(READ, fd, ((ssize_t (*)(int, void *, size_t))next("read"))(fd, data, size));
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    ON_FD(READ, fd,
          ((ssize_t (*)(int, void *, size_t, off64_t))next("pread64"))(fd, data, size, offset));
}

#define PREADV(name, last, ...)                                                        \
    ON_FD(READ, fd,                                                                    \
          ((ssize_t (*)(int, const struct iovec *, int, off64_t last))next(name))(     \
              fd, parts, count, offset __VA_ARGS__))
#define AND_FLAGS , int

ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    PREADV("preadv64", );
}

/* What Python calls. */
ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    PREADV("preadv64v2", AND_FLAGS, , flags);
}

#define SENDFILE(name)                                                                   \
    ON_FD(READ, from, ((ssize_t (*)(int, int, off64_t *, size_t))next(name))(to, from, offset, size))

ssize_t sendfile(int to, int from, off_t *offset, size_t size) { SENDFILE("sendfile"); }
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) { SENDFILE("sendfile64"); }

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size,
                        unsigned flags)
{
    enum action action = meet_fd(COPY, to);
    if (action == FAIL)
        return -1;
    if (action == SHORT || action == TORN)
        size = size / 2 ? size / 2 : size;
    ssize_t copied =
        ((ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned))next("copy_file_range"))(
            from, from_at, to, to_at, size, flags);
    if (action == TORN)
        end_here();
    FINISH(action, copied);
}

/* A pipe into a file; into a pipe it is nothing that anybody chooses. */
ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags)
{
    enum action action = meet_fd(WRITE, to);
    if (action == FAIL)
        return -1;
    if (action == SHORT || action == TORN)
        size = size / 2 ? size / 2 : size;
    ssize_t moved =
        ((ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned))next("splice"))(
            from, from_at, to, to_at, size, flags);
    if (action == TORN)
        end_here();
    FINISH(action, moved);
}
