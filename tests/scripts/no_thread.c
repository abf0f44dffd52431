/* Preloaded before the agent: no thread is to be had for it, as where the limit on threads is reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef int create_thread(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    Dl_info info;
    if (dladdr((void *)start, &info) && strstr(info.dli_fname, "libtraincheck")) {
        return EAGAIN;
    }
    create_thread *create = (create_thread *)dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, attributes, start, argument);
}
