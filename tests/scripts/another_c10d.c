/* A library that has functions of c10d of its own, and calls them as libtorch does: through the dynamic linker. What it
 * is given comes in registers, in memory, and in vector registers; what it gives back, through a hidden pointer. */
#include <stdio.h>

#ifndef WHICH
#define WHICH 1
#endif

typedef struct { long words[4]; double sum; } result;

/* c10d::ProcessGroupGloo::alltoall_base: with the hidden pointer seven arguments, of which the last comes in memory. */
__attribute__((noinline)) result
_ZN4c10d16ProcessGroupGloo13alltoall_baseERN2at6TensorES3_RSt6vectorIlSaIlEES7_RKNS_15AllToAllOptionsE(
    long a, long b, long c, long d, long e, long f, double x, double y) {
    return (result){{WHICH, a * 100000 + b * 10000 + c * 1000 + d * 100 + e * 10 + f, (long)&_ZN4c10d16ProcessGroupGloo13alltoall_baseERN2at6TensorES3_RSt6vectorIlSaIlEES7_RKNS_15AllToAllOptionsE != 0, 0}, x + y};
}

/* c10d::Work::finish */
__attribute__((noinline)) int
_ZN4c10d4Work6finishENSt15__exception_ptr13exception_ptrE(void *work, void *exception) {
    return WHICH * 10 + (work != exception);
}

void call(void) {
    for (int again = 0; again < 2; again++) {
        result found =
            _ZN4c10d16ProcessGroupGloo13alltoall_baseERN2at6TensorES3_RSt6vectorIlSaIlEES7_RKNS_15AllToAllOptionsE(
                1, 2, 3, 4, 5, 6, 0.25, 0.5);
        printf("%ld %ld %g\n", found.words[0], found.words[1], found.sum);
        printf("%d\n", _ZN4c10d4Work6finishENSt15__exception_ptr13exception_ptrE(&found, 0));
    }
}
