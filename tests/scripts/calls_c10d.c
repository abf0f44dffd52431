/* Loads the libraries that it is given, each for itself, and has each call its functions of c10d. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **paths) {
    void (*calls[8])(void);
    for (int i = 1; i < count && i < 8; i++) {
        void *library = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            puts(dlerror());
            return 1;
        }
        calls[i] = (void (*)(void))dlsym(library, "call");
    }
    for (int i = 1; i < count && i < 8; i++) {
        calls[i]();
    }
    return 0;
}
