// Preloaded into a daemon under test: a disk on which one sync fails, the next after the file named by FAILING_DISK appears.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int synced(const char *name, int fd)
{
    const char *flag = getenv("FAILING_DISK");
    if (flag && unlink(flag) == 0) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
