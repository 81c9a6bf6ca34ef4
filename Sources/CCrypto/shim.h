#include <openssl/evp.h>
#include <openssl/crypto.h>

// Has libcrypto stay as it is at exit. Otherwise it takes its locks away while threads that still run may take them: a process that
// ends with an error does not wait for those. To be called before anything else of the library.
static inline int ccrypto_begin(void) { return OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }
