// Preloaded into a daemon that is measured: a disk on which each sync takes SYNC_DELAY_US microseconds longer.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int synced(const char *name, int fd)
{
    int result = ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
    const char *delay = getenv("SYNC_DELAY_US");
    if (delay)
        usleep(atoi(delay));
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
