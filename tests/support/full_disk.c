// Preloaded into a daemon under test: a disk without room while the file named by FULL_DISK exists. What is there can be written over.
// If the file has the number of an error in it, every write to a file fails with that one instead.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// 0 if there is no such file.
static int error_wanted(void)
{
    const char *flag = getenv("FULL_DISK");
    int file = flag ? open(flag, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    char text[16] = "";
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atoi(text) : ENOSPC;
}

static int has_room(int fd, off_t end)
{
    struct stat file;
    int error = error_wanted();
    if (!error || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || (error == ENOSPC && end <= file.st_size))
        return 1;
    errno = error;
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
