// Preloaded into a daemon under test: a host whose clock stands still at the time, in seconds since 1970, that the file named by
// SET_CLOCK says. Without the file it is the system's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(clock, time);
    const char *name = getenv("SET_CLOCK");
    if (result != 0 || clock != CLOCK_REALTIME || !name)
        return result;
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return result;
    char text[32] = "";
    if (read(file, text, sizeof text - 1) > 0) {
        time->tv_sec = atoll(text);
        time->tv_nsec = 0;
    }
    close(file);
    return result;
}
