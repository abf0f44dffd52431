/* Preloaded before the agent: the clock on the wall is set back or forth by an hour each time that somebody looks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <time.h>

typedef int get_time(clockid_t, struct timespec *);

int clock_gettime(clockid_t clock, struct timespec *now) {
    static _Atomic(get_time *) known;
    static atomic_uint looks;
    get_time *get = atomic_load(&known);
    if (!get) {
        get = (get_time *)dlsym(RTLD_NEXT, "clock_gettime");
        atomic_store(&known, get);
    }
    int result = get(clock, now);
    if (clock == CLOCK_REALTIME) {
        now->tv_sec += atomic_fetch_add(&looks, 1) % 2 ? 3600 : -3600;
    }
    return result;
}
