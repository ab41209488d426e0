#ifndef EVENTBUS_COPENSSL_SHIM_H
#define EVENTBUS_COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

/* Most of these are macros of OpenSSL, which Swift cannot call. */

/* Requires TLS 1.2, forbids renegotiation and compression, and lets a write end after a part of its bytes and be repeated
   from another address. */
static inline int eventbus_tls_restrict(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return (int)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

static inline int eventbus_tls_set_server_name(SSL *session, const char *name) {
  return (int)SSL_set_tlsext_host_name(session, name);
}

/* Copies the password of a key, which is the user data. Returns 0 if there is none, or no room for it. */
static inline int eventbus_tls_password(char *buffer, int size, int is_writing, void *password) {
  size_t length = password ? strlen((const char *)password) : 0;
  (void)is_writing;
  if (size < 0 || length > (size_t)size) return 0;
  memcpy(buffer, password ? password : "", length);
  return (int)length;
}

/* Sets the password of the key, or none, because OpenSSL would ask for it at the terminal. */
static inline void eventbus_tls_set_password(SSL_CTX *context, char *password) {
  SSL_CTX_set_default_passwd_cb_userdata(context, password);
  SSL_CTX_set_default_passwd_cb(context, eventbus_tls_password);
}

#endif
