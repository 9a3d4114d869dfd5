// Preloaded into a daemon under test: a disk on which nothing gets synced while the file named by HANGING_DISK exists.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int synced(const char *name, int fd)
{
    const char *flag = getenv("HANGING_DISK");
    while (flag && access(flag, F_OK) == 0)
        usleep(10000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
