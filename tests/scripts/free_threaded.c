/* Says of itself what a free-threaded CPython says, and notes if anything is asked of it: none could be had to test with. */
#include <stdio.h>

const char *Py_GetVersion(void)
{
    return "3.15.0 free-threading build (main, Oct  9 2026, 19:59:52) [GCC 16.2.0]";
}

int PySys_AddAuditHook(void *hook, void *data)
{
    (void)hook, (void)data;
    puts("a hook was added");
    return 0;
}

int main(void)
{
    puts("on");
    return 5;
}
