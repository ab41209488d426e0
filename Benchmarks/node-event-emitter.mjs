// Node's EventEmitter doing what LocalBenchmarks does. Prints "name<TAB>nanoseconds per event", the median of many runs.
import { EventEmitter } from "node:events";

const event = { orderID: "order-000042-with-a-long-number", total: 42 };
const inner = 10_000;

for (const count of [1, 10]) {
  const emitter = new EventEmitter();
  let sum = 0;
  for (let i = 0; i < count; i++) emitter.on("order.created", (order) => { sum += order.total; });
  const samples = [];
  for (let run = 0; run < 300; run++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < inner; i++) emitter.emit("order.created", event);
    const elapsed = Number(process.hrtime.bigint() - start) / inner;
    if (run >= 50) samples.push(elapsed);
  }
  if (sum !== 42 * count * inner * 300) throw new Error("events were lost");
  samples.sort((a, b) => a - b);
  const name = `emit to ${count} listener${count === 1 ? "" : "s"}: Node EventEmitter`;
  console.log(`${name}\t${samples[samples.length >> 1].toFixed(1)}`);
}
