// Preloaded into a daemon under test: a disk on which one directory cannot be synced, the one that the symbolic link
// named by FAILING_DIRECTORY points to, while there is such a link.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int synced(const char *name, int fd)
{
    const char *link = getenv("FAILING_DIRECTORY");
    struct stat failing, this;
    if (link && stat(link, &failing) == 0 && fstat(fd, &this) == 0 && failing.st_dev == this.st_dev
        && failing.st_ino == this.st_ino) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
