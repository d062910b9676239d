/* Preloaded into a program: a disk that takes 0.8 s for each sync, as a busy one may. */

#include <time.h>

static int late(void)
{
    struct timespec wait = {0, 800000000};
    return nanosleep(&wait, 0);
}

int fsync(int file) { (void)file; return late(); }

int fdatasync(int file) { (void)file; return late(); }
