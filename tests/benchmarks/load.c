/*
 * load: drives a tus server from one thread, so that it costs as little as a client can.
 *
 *     load MODE port=8080 path=/files/ pattern=FILE connections=16 ...
 *
 *     post    creations with a body of `size` bytes, for `seconds`
 *     patch   `uploads` uploads of `size` bytes, each in PATCHes of `chunk` bytes (0: one PATCH),
 *             each with the header Upload-Checksum if there is a `checksum`; ends early, in the
 *             middle of bodies, when `most` bytes are sent
 *     slow    every connection sends 1 KiB/s into an upload of its own, for `seconds`, while
 *             one more connection asks for the offsets of `idle` uploads, `heads` times a second
 *
 * Byte N of an upload is byte N of the pattern, which repeats. Prints "go" when uploads are
 * created and connections open, and waits for a line. Then it works, prints one line of JSON,
 * and keeps its connections until stdin ends. The first answer that is wrong ends it all.
 */
#include "client.h"

#include <sys/stat.h>
#include <sys/timerfd.h>

enum { MOST_POST = 65536, MOST_SAMPLES = 1 << 22, PATH_BYTES = 256, CREATORS = 16 };
enum { SLOW_BYTES = 1024, OPENED_A_SECOND = 500, SECOND = 1000000000 };

static long uploads = 1, idle = 100, heads = 200, created, started;
static long long size = 4096, chunk;
static double seconds = 1, cpu_at_go;
static const char *name, *path = "/files/", *pattern, *checksum;

static char (*paths)[PATH_BYTES];
static long long *offsets;
static uint64_t go, over;
static uint32_t *samples, sampled;
static struct connection *all;
static char post[MOST_POST + TEXT_BYTES];
static size_t post_length;

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec)
           + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void sample(uint64_t since)
{
    if (sampled < MOST_SAMPLES)
        samples[sampled++] = (uint32_t)((now() - since) / 1000);
}

static const char COMMON[] = "Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n";
static const char TYPE[] = "Content-Type: application/offset+octet-stream\r\n";
/* Some servers want to know both. */
static const char METADATA[] = "Upload-Metadata: filename Ymlu,filetype YS9i\r\n";

static bool next_create(struct connection *c)
{
    if (created == uploads + idle)
        return false;
    c->upload = created++;
    request(c, "POST %s HTTP/1.1\r\n%s%sUpload-Length: %lld\r\nContent-Length: 0\r\n\r\n", path,
            COMMON, METADATA, size);
    return true;
}

static void expect(const struct answer *a, int status, long long offset)
{
    if (a->status != status || (offset >= 0 && a->offset != offset))
        fail("status %d, Upload-Offset %lld; expected %d, %lld", a->status, a->offset, status,
             offset);
}

static void answered_create(struct connection *c, const struct answer *a)
{
    expect(a, 201, -1);
    const char *from = a->location, *host = from ? strstr(from, "//") : NULL, *end;
    end = from ? strpbrk(from, "\r\n") : NULL;
    if (host && host < end)
        from = strchr(host + 2, '/');
    if (!from || !end || from >= end || end - from >= PATH_BYTES)
        fail("no Location that can be used");
    memcpy(paths[c->upload], from, (size_t)(end - from));
    c->upload = -1;
}

static bool next_patch(struct connection *c)
{
    if (c->upload < 0 || offsets[c->upload] == size) {
        if (started == uploads)
            return false;
        c->upload = started++;
    }
    long long offset = offsets[c->upload], rest = size - offset;
    c->at = offset;
    c->rest = chunk > 0 && chunk < rest ? chunk : rest;
    c->expected = offset + c->rest;
    request(c, "PATCH %s HTTP/1.1\r\n%s%sUpload-Offset: %lld\r\nContent-Length: %lld\r\n%s%s%s\r\n",
            paths[c->upload], COMMON, TYPE, offset, c->rest, checksum ? "Upload-Checksum: " : "",
            checksum ? checksum : "", checksum ? "\r\n" : "");
    return true;
}

static void answered_patch(struct connection *c, const struct answer *a)
{
    expect(a, 204, c->expected);
    offsets[c->upload] = c->expected;
    sample(c->begun);
}

static bool next_post(struct connection *c)
{
    c->text = post;
    c->head = post_length;
    return now() < over;
}

static void answered_post(struct connection *c, const struct answer *a)
{
    expect(a, 201, size);
    bytes += size;
    sample(c->begun);
}

static bool next_head(struct connection *c)
{
    request(c, "HEAD %s HTTP/1.1\r\n%s\r\n", paths[uploads + requests % idle], COMMON);
    return true;
}

static void answered_head(struct connection *c, const struct answer *a)
{
    expect(a, 200, 0);
    sample(c->begun); /* which is when it was due, not when it was sent */
}

static const struct mode CREATE = {next_create, answered_create, false}, PATCH = {next_patch, answered_patch, false},
                         POST = {next_post, answered_post, false}, HEAD = {next_head, answered_head, true};

static void wait_go(void)
{
    printf("go\n");
    fflush(stdout);
    if (getchar() == EOF)
        exit(1);
    requests = 0;
    cpu_at_go = cpu();
    go = now();
    over = go + (uint64_t)(seconds * 1e9);
}

/* A slow upload: the head and 1 KiB at first, 1 KiB whenever its turn comes. */
static void trickle(struct connection *c, long upload)
{
    static char body[SLOW_BYTES];
    if (c->fd < 0) {
        open_connection(c);
        c->upload = upload;
        next_patch(c);
        if (send(c->fd, c->out, c->head, MSG_MORE) != (ssize_t)c->head)
            fail("slow connection: %s", strerror(errno));
    }
    if (pread(pattern_fd, body, sizeof body, offsets[upload] % pattern_size) != sizeof body)
        fail("the pattern is too short");
    if (send(c->fd, body, sizeof body, 0) != sizeof body)
        fail("slow connection: %s", strerror(errno));
    offsets[upload] += SLOW_BYTES;
    bytes += SLOW_BYTES;
}

static void set_timer(int timer, uint64_t at)
{
    struct itimerspec t = {.it_value = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Uploads are opened one after the other; a second later HEADs begin. */
static void run_slow(void)
{
    struct connection *slow = all, *asker = all + connections;
    struct epoll_event events[EVENTS];
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event wake = {.events = EPOLLIN};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &wake);
    uint64_t count = (uint64_t)connections, pause = SECOND / (uint64_t)heads;
    uint64_t opening = count > OPENED_A_SECOND ? count * SECOND / OPENED_A_SECOND : SECOND;
    uint64_t due = go, ask = go + opening + SECOND;
    over += opening + SECOND;
    for (long turn = 0; now() < over;) {
        for (; due <= now(); turn++) {
            trickle(&slow[turn % connections], turn % connections);
            due += (turn < connections ? opening : SECOND) / count;
        }
        if (!asker->busy && ask <= now()) {
            begin(asker, &HEAD);
            asker->begun = ask;
            ask += pause;
        }
        set_timer(timer, !asker->busy && ask < due ? ask : due);
        int ready = epoll_wait(poll_fd, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == asker)
                receive(c, &HEAD);
            else if (c)
                fail("a slow upload was answered or closed");
        }
    }
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(void)
{
    double took = 1e-9 * (double)(now() - go), used = cpu() - cpu_at_go;
    qsort(samples, sampled, sizeof *samples, ascending);
    uint32_t last = sampled ? sampled - 1 : 0;
    printf("{\"seconds\": %.6f, \"requests\": %ld, \"bytes\": %lld, \"p50_us\": %u, \"p99_us\": %u, "
           "\"max_us\": %u, \"cpu_s\": %.6f}\n", took, requests, bytes, samples[last / 2],
           samples[(uint32_t)(0.99 * last)], samples[last], used);
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

static void read_arguments(int argc, char **argv)
{
    name = argc > 1 ? argv[1] : "";
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            fail("%s has no value", argv[i]);
        *value++ = 0;
        struct { const char *key; long *number; } numbers[] = {
            {"port", &port}, {"connections", &connections}, {"uploads", &uploads},
            {"idle", &idle}, {"heads", &heads},
        };
        struct { const char *key; long long *number; } sizes[] = {
            {"size", &size}, {"chunk", &chunk}, {"most", &most},
        };
        struct { const char *key; const char **text; } texts[] = {
            {"path", &path}, {"pattern", &pattern}, {"checksum", &checksum},
        };
        bool known = strcmp(argv[i], "seconds") == 0;
        if (known)
            seconds = atof(value);
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
            if (strcmp(argv[i], numbers[j].key) == 0)
                known = true, *numbers[j].number = atol(value);
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            if (strcmp(argv[i], sizes[j].key) == 0)
                known = true, *sizes[j].number = atoll(value);
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++)
            if (strcmp(argv[i], texts[j].key) == 0)
                known = true, *texts[j].text = value;
        if (!known)
            fail("unknown argument %s", argv[i]);
    }
}

static void prepare(void)
{
    struct stat facts;
    pattern_fd = pattern ? open(pattern, O_RDONLY | O_CLOEXEC) : -1;
    if (pattern_fd < 0 || fstat(pattern_fd, &facts) != 0 || facts.st_size < SLOW_BYTES)
        fail("the pattern cannot be used");
    pattern_size = facts.st_size;
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    samples = calloc(MOST_SAMPLES, sizeof *samples);
    paths = calloc((size_t)(uploads + idle), sizeof *paths);
    offsets = calloc((size_t)uploads, sizeof *offsets);
    all = calloc((size_t)connections + 1, sizeof *all);
    for (long i = 0; i <= connections; i++)
        all[i].upload = all[i].fd = -1;
}

static void prepare_post(void)
{
    post_length = (size_t)snprintf(post, TEXT_BYTES,
                                   "POST %s HTTP/1.1\r\n%s%s%sUpload-Length: %lld\r\n"
                                   "Content-Length: %lld\r\n\r\n",
                                   path, COMMON, TYPE, METADATA, size, size);
    if (size > MOST_POST || pread(pattern_fd, post + post_length, (size_t)size, 0) != size)
        fail("the body of a POST is longer than 64 KiB or the pattern");
    post_length += (size_t)size;
}

static void open_connections(long count)
{
    for (long i = 0; i < count; i++)
        open_connection(&all[i]);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    more_descriptors();
    read_arguments(argc, argv);
    bool slow = strcmp(name, "slow") == 0, posts = strcmp(name, "post") == 0;
    uploads = slow ? connections : posts ? 0 : uploads;
    idle = slow ? idle : 0;
    if (!slow && !posts && strcmp(name, "patch") != 0)
        fail("the mode is post, patch or slow");
    prepare();
    long creators = connections < CREATORS ? connections : CREATORS;
    if (!posts) {
        open_connections(creators);
        run(&CREATE, all, creators);
        for (long i = 0; i < creators; i++)
            if (all[i].fd >= 0)
                close_connection(&all[i]);
    }
    if (!slow)
        open_connections(connections);
    if (posts)
        prepare_post();
    wait_go();
    if (slow)
        run_slow();
    else
        run(posts ? &POST : &PATCH, all, connections);
    report();
    return 0;
}
