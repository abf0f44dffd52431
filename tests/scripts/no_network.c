/* Ends whoever asks for a socket. */
#include <stdlib.h>

int socket(int domain, int type, int protocol) { abort(); }
int socketpair(int domain, int type, int protocol, int pair[2]) { abort(); }
