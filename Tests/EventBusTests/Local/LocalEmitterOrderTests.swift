import EventBus
import Testing

@Suite("LocalEmitter: order of nested emits", .timeLimit(.minutes(1)))
struct LocalEmitterOrderTests {
    @Test("An asynchronous listener receives the cause before the effect, whenever it was registered")
    func causeFirst() async {
        let emitter = LocalEmitter()
        let (early, late, once) = (Notes<Topic>(), Notes<Topic>(), Notes<Topic>())
        emitter.on("#") { event async in early.add(event.topic) }
        emitter.on(OrderPlaced.self) { emitter.emit(OrderShipped(number: $0.number)) }
        emitter.on(OrderShipped.self) { emitter.emit(StockCounted(count: $0.number)) }
        emitter.on("#") { event async in late.add(event.topic) }
        emitter.once("#") { event async in once.add(event.topic) }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        let expected: [Topic] = ["order.placed", "order.shipped.express", "stock.counted"]
        #expect(early.values == expected)
        #expect(late.values == expected)
        #expect(once.values == ["order.placed"])
    }

    @Test("Synchronous listeners are called depth-first")
    func depthFirst() {
        let emitter = LocalEmitter()
        let seen = Notes<String>()
        emitter.on(OrderPlaced.self) {
            seen.add("first placed")
            emitter.emit(OrderShipped(number: $0.number))
        }
        emitter.on(OrderPlaced.self) { _ in seen.add("second placed") }
        emitter.on("order.#") { seen.add("pattern \($0.topic)") }
        emitter.emit(OrderPlaced(number: 1))
        #expect(
            seen.values == ["first placed", "pattern order.shipped.express", "second placed", "pattern order.placed"]
        )
    }

    @Test("Events that the handler of a full mailbox emits follow the event in every mailbox")
    func reporting() async {
        let holder = Locked<LocalEmitter?>(nil)
        let emitter = LocalEmitter { failure in
            if failure.topic == "order.placed" { holder.withLock { $0 }?.emit(StockCounted(count: 1)) }
        }
        holder.withLock { $0 = emitter }
        let (door, entered) = (Door(), Door())
        let seen = Notes<Topic>()
        emitter.on(OrderPlaced.self, capacity: 1) { _ in
            entered.open()
            await door.pass()
        }
        emitter.on("#", capacity: 10) { event async in seen.add(event.topic) }
        emitter.emit(OrderPlaced(number: 1))
        await entered.pass()
        emitter.emit(OrderPlaced(number: 2))
        // Refused by the full mailbox, which is reported.
        emitter.emit(OrderPlaced(number: 3))
        door.open()
        await emitter.idle()
        #expect(seen.values == ["order.placed", "order.placed", "order.placed", "stock.counted"])
        holder.withLock { $0 = nil }
    }

    @Test("Every asynchronous listener receives the events of one thread in order, including nested ones")
    func threads() async {
        let emitter = LocalEmitter()
        let (first, second) = (Notes<Int>(), Notes<Int>())
        emitter.on("#", capacity: 100_000) { event async in
            if let placed = event.as(OrderPlaced.self) { first.add(placed.number * 2) }
            if let shipped = event.as(OrderShipped.self) { first.add(shipped.number * 2 + 1) }
        }
        emitter.on(OrderPlaced.self) { emitter.emit(OrderShipped(number: $0.number)) }
        emitter.on("order.*.#", capacity: 100_000) { event async in
            if let placed = event.as(OrderPlaced.self) { second.add(placed.number * 2) }
            if let shipped = event.as(OrderShipped.self) { second.add(shipped.number * 2 + 1) }
        }
        await withTaskGroup(of: Void.self) { group in
            for thread in 0..<8 {
                group.addTask { for number in 0..<500 { emitter.emit(OrderPlaced(number: thread * 1000 + number)) } }
            }
        }
        await emitter.idle()
        for notes in [first, second] {
            for thread in 0..<8 {
                let own = notes.values.filter { $0 / 2000 == thread }
                #expect(own == (0..<1000).map { thread * 2000 + $0 })
            }
        }
    }
}
