/* A disk that hangs, for LD_PRELOAD: while the file "hang" is in the state directory, no sync returns. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    while (access("/var/lib/bls-signer/hang", F_OK) == 0)
        usleep(50000);
}

int fsync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
