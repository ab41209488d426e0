#ifndef EVENTBUS_CRABBITMQ_SHIM_H
#define EVENTBUS_CRABBITMQ_SHIM_H

#include <sys/time.h>

/* librabbitmq 0.12 moved its headers into a folder of their own; newer releases warn about the old names. */
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#if AMQP_VERSION < AMQP_VERSION_CODE(0, 10, 0, 1)
#error "librabbitmq 0.10 or later is required"
#endif

/* amqp_login_with_properties is variadic, and Swift cannot call variadic functions. */
static inline amqp_rpc_reply_t eventbus_amqp_login_plain(
    amqp_connection_state_t state, const char *vhost, int frame_max, int heartbeat,
    const amqp_table_t *properties, const char *user, const char *password) {
  return amqp_login_with_properties(state, vhost, AMQP_DEFAULT_MAX_CHANNELS, frame_max, heartbeat, properties,
                                    AMQP_SASL_METHOD_PLAIN, user, password);
}

/* The same with the EXTERNAL mechanism, which takes the identity from the client certificate. */
static inline amqp_rpc_reply_t eventbus_amqp_login_external(
    amqp_connection_state_t state, const char *vhost, int frame_max, int heartbeat,
    const amqp_table_t *properties, const char *identity) {
  return amqp_login_with_properties(state, vhost, AMQP_DEFAULT_MAX_CHANNELS, frame_max, heartbeat, properties,
                                    AMQP_SASL_METHOD_EXTERNAL, identity);
}

/* Sets the password of an encrypted key. Returns 0 where the library, 0.10, has no such function: OpenSSL would ask the
   terminal for the password. */
static inline int eventbus_amqp_set_key_password(amqp_socket_t *socket, const char *password) {
#if AMQP_VERSION >= AMQP_VERSION_CODE(0, 11, 0, 0)
  amqp_ssl_socket_set_key_passwd(socket, password);
  return 1;
#else
  (void)socket;
  (void)password;
  return 0;
#endif
}

#endif
