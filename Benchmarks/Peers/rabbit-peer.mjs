// The typed work of RabbitThroughput in Node: amqplib, JSON.stringify and JSON.parse.
//
//   node rabbit-peer.mjs [--events N] [--queue-type quorum|classic] [--name NAME]
//
// Publishes N persistent orders of 271 bytes to a topic exchange that leads to one durable queue, mandatory and with
// publisher confirms, 1,000 in flight; then consumes them with a prefetch of 256, decodes each, and acknowledges it. The
// broker is that of EVENTBUS_TEST_RABBITMQ_URL. Prints one line for each half.

import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '100000' },
    'queue-type': { type: 'string', default: 'quorum' },
    name: { type: 'string', default: 'peer' },
  },
})
const [events, queueType, name] = [Number(values.events), values['queue-type'], values.name]
const url = process.env.EVENTBUS_TEST_RABBITMQ_URL
if (!url) throw new Error('EVENTBUS_TEST_RABBITMQ_URL is not set; run under Scripts/brokers')
const amqplib = createRequire(`${process.cwd()}/`)('amqplib')
const topic = 'bench.filler'

function makeOrder(number) {
  return {
    id: `01936f5e-7a2b-7c3d-8e4f-${String(number).padStart(12, '0')}`,
    customer: 'customer-47',
    placedAt: '2026-01-31T12:00:00.250Z',
    total: 149.97,
    lines: [
      { sku: 'SKU-1000', quantity: 1, price: 19.99 },
      { sku: 'SKU-1001', quantity: 2, price: 20.25 },
      { sku: 'SKU-1002', quantity: 3, price: 20.01 },
    ],
  }
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function report(half, start, cpu) {
  const seconds = (performance.now() - start) / 1000
  const cpuPerEvent = ((cpuSeconds() - cpu) * 1e6) / events
  console.log(`${half} events=${events} seconds=${seconds.toFixed(3)} rate=${Math.round(events / seconds)} `
    + `cpu_us=${cpuPerEvent.toFixed(2)}`)
}

async function publish(channel) {
  const [start, cpu] = [performance.now(), cpuSeconds()]
  await new Promise((resolve, reject) => {
    let next = 0
    let inFlight = 0
    const fill = () => {
      while (next < events && inFlight < 1000) {
        const order = makeOrder(next++)
        inFlight++
        channel.publish(name, topic, Buffer.from(JSON.stringify(order)), {
          mandatory: true,
          persistent: true,
          contentType: 'application/json',
          correlationId: order.id,
          messageId: order.id,
          type: topic,
          timestamp: Math.floor(Date.now() / 1000),
          headers: { 'event-version': 1, 'event-time': new Date().toISOString() },
        }, (error) => {
          if (error) return reject(error)
          inFlight--
          if (next < events) fill()
          else if (inFlight === 0) resolve()
        })
      }
    }
    fill()
  })
  report('publish', start, cpu)
}

async function consume(channel, queue) {
  await channel.prefetch(256)
  const cpu = cpuSeconds()
  let start
  let handled = 0
  await new Promise((resolve, reject) => {
    channel.consume(queue, (message) => {
      start ??= performance.now()
      if (JSON.parse(message.content.toString()).lines.length !== 3) return reject(new Error('an event lacks its lines'))
      channel.ack(message)
      if (++handled === events) resolve()
    }, { consumerTag: 'peer' }).catch(reject)
  })
  await channel.cancel('peer')
  report('consume', start, cpu)
}

const connection = await amqplib.connect(url)
const channel = await connection.createConfirmChannel()
await channel.assertExchange('eventbus.dead.v1', 'direct', { durable: true })
await channel.assertExchange(name, 'topic', { durable: true })
const queue = `${name}.bench-filler`
const quorum = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish', 'x-delivery-limit': 20 }
await channel.assertQueue(queue, {
  durable: true,
  arguments: {
    'x-dead-letter-exchange': 'eventbus.dead.v1',
    'x-dead-letter-routing-key': name,
    'x-queue-type': queueType,
    ...(queueType === 'quorum' ? quorum : {}),
  },
})
await channel.bindQueue(queue, name, topic)
await publish(channel)
await consume(channel, queue)
await channel.deleteQueue(queue)
await connection.close()
