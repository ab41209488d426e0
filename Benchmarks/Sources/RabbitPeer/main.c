// The work of RabbitThroughput on bare librabbitmq: what a careful C program reaches on the same broker.
//
//   RabbitPeer [--events N] [--queue-type quorum|classic] [--name NAME] [--size BYTES] [--bare]
//
// Publishes N persistent events of 256 bytes (or --size) to a topic exchange that leads to one durable queue, mandatory and with
// publisher confirms, 1,000 in flight; then consumes them with a prefetch of 256 and one basic.ack each. The events
// carry the properties and headers that the bus gives its own; with --bare only the delivery mode. The broker is
// that of EVENTBUS_TEST_RABBITMQ_URL. Prints one line for each half.

#define _GNU_SOURCE

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CHANNEL = 1, LARGEST_BODY = 65536, WINDOW = 1000, RING = 1 << 16, PREFETCH = 256 };

static amqp_connection_state_t connection;
static const char *name = "peer";
static const char *queue_type = "quorum";
static uint64_t events = 100000;
static uint64_t body_size = 256;
static bool is_bare = false;

_Noreturn static void fail(const char *what, const char *why) {
  fprintf(stderr, "RabbitPeer: %s: %s\n", what, why);
  exit(1);
}

static void check(int status, const char *what) {
  if (status < 0) fail(what, amqp_error_string2(status));
}

static void check_reply(amqp_rpc_reply_t reply, const char *what) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) fail(what, amqp_error_string2(reply.library_error));
  fail(what, reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD ? "the broker closed the channel" : "the broker refused");
}

static void check_call(const char *what) { check_reply(amqp_get_rpc_reply(connection), what); }

// MARK: time

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const char *half, double seconds, double cpu) {
  printf("%s events=%" PRIu64 " seconds=%.3f rate=%.0f cpu_us=%.2f\n", half, events, seconds,
         (double)events / seconds, cpu * 1e6 / (double)events);
  fflush(stdout);
}

// MARK: set up

static void connect_to_broker(void) {
  const char *variable = getenv("EVENTBUS_TEST_RABBITMQ_URL");
  if (!variable) fail("EVENTBUS_TEST_RABBITMQ_URL", "not set; run under Scripts/brokers");
  char *url = strdup(variable);
  struct amqp_connection_info info;
  if (!url || amqp_parse_url(url, &info) != AMQP_STATUS_OK) fail("EVENTBUS_TEST_RABBITMQ_URL", "not a URL of a broker");
  connection = amqp_new_connection();
  amqp_socket_t *socket = connection ? amqp_tcp_socket_new(connection) : NULL;
  if (!socket) fail("connecting", "out of memory");
  check(amqp_socket_open(socket, info.host, info.port), "connecting");
  check_reply(amqp_login(connection, info.vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, 0,
                         AMQP_SASL_METHOD_PLAIN, info.user, info.password),
              "logging in");
  amqp_channel_open(connection, CHANNEL);
  check_call("opening a channel");
  free(url);
}

static amqp_table_entry_t text_entry(const char *key, const char *value) {
  amqp_table_entry_t entry = {.key = amqp_cstring_bytes(key)};
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = amqp_cstring_bytes(value);
  return entry;
}

/// The queue has the arguments of a subscription's queue, so that the broker has the same to do.
static void declare(const char *queue) {
  amqp_exchange_declare(connection, CHANNEL, amqp_cstring_bytes("eventbus.dead.v1"), amqp_cstring_bytes("direct"), 0, 1,
                        0, 0, amqp_empty_table);
  check_call("declaring the dead-letter exchange");
  amqp_exchange_declare(connection, CHANNEL, amqp_cstring_bytes(name), amqp_cstring_bytes("topic"), 0, 1, 0, 0,
                        amqp_empty_table);
  check_call("declaring the exchange");
  amqp_table_entry_t entries[6] = {
      text_entry("x-dead-letter-exchange", "eventbus.dead.v1"),
      text_entry("x-dead-letter-routing-key", name),
      text_entry("x-queue-type", queue_type),
      text_entry("x-dead-letter-strategy", "at-least-once"),
      text_entry("x-overflow", "reject-publish"),
      {.key = amqp_cstring_bytes("x-delivery-limit"), .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = 20}},
  };
  amqp_table_t arguments = {.num_entries = strcmp(queue_type, "quorum") == 0 ? 6 : 3, .entries = entries};
  amqp_queue_declare(connection, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
  check_call("declaring the queue");
  amqp_queue_bind(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_cstring_bytes(name),
                  amqp_cstring_bytes("bench.filler"), amqp_empty_table);
  check_call("binding the queue");
}

// MARK: publish

/// The events that the broker has not confirmed: the ring has a place for each tag from `lowest` on, since later ones
/// may be confirmed first.
static struct {
  bool is_settled[RING];
  uint64_t lowest, next;
  unsigned in_flight;
} window = {.lowest = 1, .next = 1};

static void settle(uint64_t tag) {
  if (tag < window.lowest || tag >= window.next || window.is_settled[tag % RING]) return;
  window.is_settled[tag % RING] = true;
  window.in_flight--;
}

static void confirmed(const amqp_basic_ack_t *ack) {
  if (ack->multiple)
    for (uint64_t tag = window.lowest; tag <= ack->delivery_tag; tag++) settle(tag);
  else
    settle(ack->delivery_tag);
  while (window.lowest < window.next && window.is_settled[window.lowest % RING]) window.lowest++;
}

static void publish_one(uint64_t number) {
  static unsigned char body[LARGEST_BODY];
  char id[37], time_text[32];
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
  amqp_table_entry_t headers[2];
  memcpy(body, &number, sizeof number);
  if (!is_bare) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    snprintf(id, sizeof id, "00000000-0000-7000-8000-%012" PRIx64, number);
    snprintf(time_text, sizeof time_text, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", (parts.tm_year + 1900) % 10000,
             parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
    properties._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                         AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_HEADERS_FLAG;
    properties.content_type = amqp_cstring_bytes("application/octet-stream");
    properties.correlation_id = amqp_cstring_bytes(id);
    properties.message_id = amqp_cstring_bytes(id);
    properties.type = amqp_cstring_bytes("bench.filler");
    properties.timestamp = (uint64_t)now.tv_sec;
    headers[0] = (amqp_table_entry_t){.key = amqp_cstring_bytes("event-version"),
                                      .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = 1}};
    headers[1] = text_entry("event-time", time_text);
    properties.headers = (amqp_table_t){.num_entries = 2, .entries = headers};
  }
  check(amqp_basic_publish(connection, CHANNEL, amqp_cstring_bytes(name), amqp_cstring_bytes("bench.filler"), 1, 0,
                           &properties, (amqp_bytes_t){.len = body_size, .bytes = body}),
        "publishing");
  window.is_settled[window.next % RING] = false;
  window.next++;
  window.in_flight++;
}

static void publish_all(void) {
  amqp_confirm_select(connection, CHANNEL);
  check_call("confirm.select");
  uint64_t published = 0;
  double start = seconds_now(), cpu = cpu_seconds();
  while (published < events || window.in_flight > 0) {
    while (published < events && window.in_flight < WINDOW && window.next - window.lowest < RING)
      publish_one(published++);
    // Waits for one frame, then takes what else is there.
    bool must_wait = true;
    for (;;) {
      amqp_frame_t frame;
      struct timeval zero = {0, 0};
      int status = amqp_simple_wait_frame_noblock(connection, &frame, must_wait ? NULL : &zero);
      if (status == AMQP_STATUS_TIMEOUT) break;
      check(status, "waiting for a confirm");
      must_wait = false;
      if (frame.frame_type == AMQP_FRAME_METHOD) {
        if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) fail("publishing", "an event was refused or returned");
        confirmed(frame.payload.method.decoded);
      }
      amqp_maybe_release_buffers(connection);
    }
  }
  report("publish", seconds_now() - start, cpu_seconds() - cpu);
}

// MARK: consume

static amqp_frame_t next_frame(void) {
  amqp_frame_t frame;
  check(amqp_simple_wait_frame(connection, &frame), "waiting for a delivery");
  return frame;
}

static void consume_all(const char *queue) {
  amqp_bytes_t tag = amqp_cstring_bytes("peer");
  amqp_basic_qos(connection, CHANNEL, 0, PREFETCH, 0);
  check_call("basic.qos");
  double cpu = cpu_seconds(), start = 0;
  amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), tag, 0, 0, 0, amqp_empty_table);
  check_call("basic.consume");
  for (uint64_t handled = 0; handled < events; handled++) {
    amqp_frame_t frame = next_frame();
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_DELIVER_METHOD)
      fail("consuming", "something else than a delivery came");
    if (handled == 0) start = seconds_now();
    uint64_t delivery = ((amqp_basic_deliver_t *)frame.payload.method.decoded)->delivery_tag;
    uint64_t missing = next_frame().payload.properties.body_size;
    if (missing != body_size) fail("consuming", "an event has another size");
    while (missing > 0) missing -= next_frame().payload.body_fragment.len;
    amqp_maybe_release_buffers(connection);
    check(amqp_basic_ack(connection, CHANNEL, delivery, 0), "basic.ack");
  }
  // The answer comes when the broker has read every acknowledgement.
  amqp_basic_cancel(connection, CHANNEL, tag);
  check_call("basic.cancel");
  report("consume", seconds_now() - start, cpu_seconds() - cpu);
}

int main(int count, char **arguments) {
  for (int index = 1; index < count; index++) {
    const char *option = arguments[index];
    if (strcmp(option, "--bare") == 0) {
      is_bare = true;
    } else if (index + 1 == count) {
      fail(option, "unknown, or without its value");
    } else if (strcmp(option, "--events") == 0) {
      events = strtoull(arguments[++index], NULL, 10);
    } else if (strcmp(option, "--size") == 0) {
      body_size = strtoull(arguments[++index], NULL, 10);
    } else if (strcmp(option, "--queue-type") == 0) {
      queue_type = arguments[++index];
    } else if (strcmp(option, "--name") == 0) {
      name = arguments[++index];
    } else {
      fail(option, "unknown");
    }
  }
  if (events == 0) fail("--events", "give a number above zero");
  if (body_size < sizeof events || body_size > LARGEST_BODY) fail("--size", "give a number from 8 to 65536");
  char queue[256];
  snprintf(queue, sizeof queue, "%s.bench-filler", name);
  connect_to_broker();
  declare(queue);
  publish_all();
  consume_all(queue);
  amqp_queue_delete(connection, CHANNEL, amqp_cstring_bytes(queue), 0, 0);
  check_call("deleting the queue");
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
  return 0;
}
