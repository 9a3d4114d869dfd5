// Preloaded into a daemon under test: no file can be opened (EMFILE) while the file named by NO_DESCRIPTORS exists.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int opened(const char *name, const char *path, int flags, mode_t mode)
{
    const char *flag = getenv("NO_DESCRIPTORS");
    if (flag && access(flag, F_OK) == 0) {
        errno = EMFILE;
        return -1;
    }
    return ((int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

#define OPEN(name)                                                                                                         \
    int name(const char *path, int flags, ...)                                                                             \
    {                                                                                                                      \
        va_list rest;                                                                                                      \
        va_start(rest, flags);                                                                                             \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                            \
        va_end(rest);                                                                                                      \
        return opened(#name, path, flags, mode);                                                                           \
    }
OPEN(open)
OPEN(open64)
