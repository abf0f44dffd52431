// An allocator whose handlers for fork come after everybody else's. It holds its lock across a fork; who allocates in the
// child before it was given back would wait for ever, and is ended here. Says so on stderr.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static pid_t forking;
static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static char early[65536];
static size_t used;

static void check(void) {
    if (forking && getpid() != forking) {
        static const char text[] = "memory was asked for in the child of a fork, before that was safe\n";
        (void)!write(2, text, sizeof text - 1);
        _exit(99);
    }
}

static void before(void) { forking = getpid(); }
static void after(void) { forking = 0; }

// The libraries that are preloaded are initialised from the last to the first: this one is the first.
__attribute__((constructor)) static void begin(void) {
    pthread_atfork(before, after, after);
}

static void find(void) {
    real_calloc = dlsym(RTLD_NEXT, "calloc");
    real_realloc = dlsym(RTLD_NEXT, "realloc");
    real_free = dlsym(RTLD_NEXT, "free");
    real_malloc = dlsym(RTLD_NEXT, "malloc");
}

static int is_early(void *memory) {
    return (char *)memory >= early && (char *)memory < early + sizeof early;
}

static void *take_early(size_t size) {
    void *memory = early + used;
    used += (size + 15) & ~(size_t)15;
    return memory;
}

void *malloc(size_t size) {
    static int finding;
    check();
    if (!real_malloc) {
        if (finding)
            return take_early(size);
        finding = 1;
        find();
    }
    return real_malloc(size);
}

void *calloc(size_t count, size_t size) {
    check();
    return real_malloc ? real_calloc(count, size) : take_early(count * size);
}

void *realloc(void *memory, size_t size) {
    check();
    return real_malloc ? real_realloc(is_early(memory) ? NULL : memory, size) : take_early(size);
}

void free(void *memory) {
    check();
    if (memory && !is_early(memory))
        real_free(memory);
}
