// Preloaded into a daemon under test: a disk without room while the file named by FULL_DISK exists. What is there can be written over.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int has_room(int fd, off_t end)
{
    const char *flag = getenv("FULL_DISK");
    struct stat file;
    if (!flag || access(flag, F_OK) != 0 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size)
        return 1;
    errno = ENOSPC;
    return 0;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0 && !has_room(fd, at + count))
        return -1;
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, count);
}

static ssize_t write_at(const char *name, int fd, const void *bytes, size_t count, off_t offset)
{
    if (!has_room(fd, offset + count))
        return -1;
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, name))(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return write_at("pwrite", fd, bytes, count, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) { return write_at("pwrite64", fd, bytes, count, offset); }
