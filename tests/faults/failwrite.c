/* A preloaded library that counts what a process changes under one folder, and at chosen points
 * fails the change or sends the process a signal.
 *
 * Nothing happens before faults_arm(). The plan lies in memory that parent and child share, so
 * the count outlives a kill. Deletions are points for signals alone: a full disk lets one delete.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct plan {
    atomic_long seen;  /* changes so far */
    long first, last;  /* the changes that fail or, for a signal, the one it comes before */
    long error;        /* errno of the failure, or 0 */
    long signal;       /* signal to send instead, or 0 */
};

static struct plan *plan;
static char folder[PATH_MAX];

void faults_arm(const char *path, struct plan *shared) {
    snprintf(folder, sizeof folder, "%s/", path);
    plan = shared;
}

static int strike(const char *path, int deletion) {
    if (strncmp(path, folder, strlen(folder)) || (deletion && !plan->signal)) return 0;
    long now = atomic_fetch_add(&plan->seen, 1) + 1;
    if (now < plan->first || now > plan->last) return 0;
    if (plan->signal) kill(getpid(), (int)plan->signal);
    errno = (int)plan->error;
    return plan->error != 0;
}

static int strike_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!plan) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strike(path, 0);
}

static int strike_at(int at, const char *name, int deletion) {
    char link[64] = "/proc/self/cwd", path[2 * PATH_MAX];
    if (!plan || !name) return 0;
    if (*name == '/') return strike(name, deletion);
    if (at != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    return strike(path, deletion);
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define PASS(type, name, point, parameters, ...)  \
    type name parameters {                        \
        if (point) return -1;                     \
        return REAL(name)(__VA_ARGS__);           \
    }
#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                     \
        if ((flags & O_CREAT) && strike_at(AT_FDCWD, path, 0)) return -1; \
        return REAL(name)(path, flags, mode);                             \
    }
#define OPENAT(name)                                                      \
    int name(int at, const char *path, int flags, ...) {                  \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                     \
        if ((flags & O_CREAT) && strike_at(at, path, 0)) return -1;       \
        return REAL(name)(at, path, flags, mode);                         \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
PASS(ssize_t, write, strike_fd(fd), (int fd, const void *from, size_t size), fd, from, size)
PASS(ssize_t, pwrite, strike_fd(fd), (int fd, const void *from, size_t size, off_t at), fd, from, size, at)
PASS(ssize_t, pwrite64, strike_fd(fd), (int fd, const void *from, size_t size, off64_t at), fd, from, size, at)
PASS(ssize_t, writev, strike_fd(fd), (int fd, const struct iovec *from, int parts), fd, from, parts)
PASS(int, fsync, strike_fd(fd), (int fd), fd)
PASS(int, fdatasync, strike_fd(fd), (int fd), fd)
PASS(int, ftruncate, strike_fd(fd), (int fd, off_t size), fd, size)
PASS(int, ftruncate64, strike_fd(fd), (int fd, off64_t size), fd, size)
PASS(int, mkdir, strike_at(AT_FDCWD, path, 0), (const char *path, mode_t mode), path, mode)
PASS(int, mkdirat, strike_at(at, path, 0), (int at, const char *path, mode_t mode), at, path, mode)
PASS(int, rename, strike_at(AT_FDCWD, to, 0), (const char *from, const char *to), from, to)
PASS(int, renameat, strike_at(there, to, 0), (int here, const char *from, int there, const char *to), here, from, there, to)
PASS(int, link, strike_at(AT_FDCWD, to, 0), (const char *from, const char *to), from, to)
PASS(int, linkat, strike_at(there, to, 0), (int here, const char *from, int there, const char *to, int flags), here, from, there, to, flags)
PASS(int, unlink, strike_at(AT_FDCWD, path, 1), (const char *path), path)
PASS(int, unlinkat, strike_at(at, path, 1), (int at, const char *path, int flags), at, path, flags)
PASS(int, rmdir, strike_at(AT_FDCWD, path, 1), (const char *path), path)

int posix_fallocate(int fd, off_t from, off_t size) {
    return strike_fd(fd) ? errno : REAL(posix_fallocate)(fd, from, size);
}

/* a network file system reports on closing what it could not write; the file is closed all the same */
int close(int fd) {
    int written = plan && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    int failed = written && strike_fd(fd);
    int error = errno, status = REAL(close)(fd);
    if (failed) errno = error;
    return failed ? -1 : status;
}
