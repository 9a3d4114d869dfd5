/* Requests to valgrind, which are macros of its header (Debian package valgrind). Without valgrind they do nothing. */
#include <stddef.h>
#include <valgrind/memcheck.h>

void mark_secret(const void *bytes, size_t length) { VALGRIND_MAKE_MEM_UNDEFINED(bytes, length); }
void mark_public(const void *bytes, size_t length) { VALGRIND_MAKE_MEM_DEFINED(bytes, length); }
