import EventBus
import Instrumentation
import Testing

@Suite("LocalEmitter: async listeners", .timeLimit(.minutes(1)))
struct LocalEmitterMailboxTests {
    @Test func `an async listener gets every event in order, one at a time`() async {
        let emitter = LocalEmitter()
        let seen = Notes<Int>()
        let running = Counter()
        let overlaps = Counter()
        emitter.on(OrderPlaced.self, capacity: 1_000) { event in
            if running.add() > 1 { overlaps.add() }
            await Task.yield()
            seen.add(event.number)
            running.add(-1)
        }
        for number in 0..<1_000 { emitter.emit(OrderPlaced(number: number)) }
        await emitter.idle()
        #expect(seen.values == Array(0..<1_000))
        #expect(overlaps.value == 0)
    }

    @Test func `an async pattern listener gets what its pattern matches, in order`() async {
        let emitter = LocalEmitter()
        let seen = Notes<Topic>()
        emitter.on("order.#", capacity: 8) { event async in seen.add(event.topic) }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(StockCounted(count: 1))
        emitter.emit(OrderShipped(number: 1))
        await emitter.idle()
        #expect(seen.values == ["order.placed", "order.shipped.express"])
    }

    @Test func `a full mailbox refuses the event and reports it, for that listener alone`() async {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let (door, entered) = (Door(), Door())
        let (slow, fast) = (Notes<Int>(), Notes<Int>())
        let slowListener = emitter.on(OrderPlaced.self, capacity: 2) { event in
            entered.open()
            await door.pass()
            slow.add(event.number)
        }
        emitter.on(OrderPlaced.self) { fast.add($0.number) }
        emitter.emit(OrderPlaced(number: 1))
        await entered.pass()
        for number in 2...5 { emitter.emit(OrderPlaced(number: number)) }
        #expect(failures.values.map { ($0.error as? EventBusError)?.code } == [.mailboxFull, .mailboxFull])
        #expect(failures.values.allSatisfy { $0.listener === slowListener && $0.topic == "order.placed" })
        door.open()
        await emitter.idle()
        #expect(slow.values == [1, 2, 3])
        #expect(fast.values == [1, 2, 3, 4, 5])
        emitter.emit(OrderPlaced(number: 6))
        await emitter.idle()
        #expect(slow.values == [1, 2, 3, 6])
        #expect(failures.values.count == 2)
    }

    @Test func `an async listener that throws is reported and gets the next event`() async {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let seen = Notes<Int>()
        let listener = emitter.on(OrderPlaced.self) { event async throws in
            if event.number == 1 { throw Refusal(reason: "one") }
            seen.add(event.number)
        }
        emitter.on("#") { event async throws in throw Refusal(reason: "\(event.topic)") }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        emitter.emit(OrderPlaced(number: 2))
        await emitter.idle()
        #expect(seen.values == [2])
        let reasons = failures.values.compactMap { ($0.error as? Refusal)?.reason }
        #expect(reasons.sorted() == ["one", "order.placed", "order.placed"])
        #expect(failures.values.contains { $0.listener === listener && $0.topic == "order.placed" })
    }

    @Test func `idle returns at once when nothing is under way`() async {
        let emitter = LocalEmitter()
        await emitter.idle()
        emitter.on(OrderPlaced.self) { _ async in }
        await emitter.idle()
        #expect(emitter.listenerCount == 1)
    }

    @Test func `idle waits for every listener, and for what they emit`() async {
        let emitter = LocalEmitter()
        let seen = Notes<String>()
        emitter.on(OrderPlaced.self) { event async in
            await Task.yield()
            seen.add("placed")
            emitter.emit(OrderShipped(number: event.number))
        }
        emitter.on("order.shipped.*") { _ async in
            await Task.yield()
            seen.add("shipped")
            emitter.emit(StockCounted(count: 1))
        }
        emitter.on(StockCounted.self) { _ async in
            await Task.yield()
            seen.add("counted")
        }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        #expect(seen.values == ["placed", "shipped", "counted"])
    }

    @Test func `idle returns when its task is cancelled`() async {
        let emitter = LocalEmitter()
        let door = Door()
        emitter.on(OrderPlaced.self) { _ in await door.pass() }
        emitter.emit(OrderPlaced(number: 1))
        let waiting = Task { await emitter.idle() }
        waiting.cancel()
        await waiting.value
        door.open()
        await emitter.idle()
        #expect(waiting.isCancelled)
    }

    @Test func `removal drops what waits and lets the running call end`() async {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let (door, entered) = (Door(), Door())
        let seen = Notes<Int>()
        let token = emitter.on(OrderPlaced.self) { event in
            entered.open()
            await door.pass()
            seen.add(event.number)
        }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderPlaced(number: 2))
        await entered.pass()
        token.remove()
        emitter.emit(OrderPlaced(number: 3))
        door.open()
        await emitter.idle()
        #expect(seen.values == [1])
        #expect(failures.values.isEmpty)
    }

    @Test func `a removed async listener is released once it has ended`() async {
        let emitter = LocalEmitter()
        weak var canary: Canary?
        let token: LocalListener
        do {
            let strong = Canary()
            canary = strong
            token = emitter.on(OrderPlaced.self) { _ async in strong.sing() }
        }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        #expect(canary != nil)
        token.remove()
        // The task that drained the mailbox releases it after it has reported that it is idle.
        while canary != nil { await Task.yield() }
    }

    @Test func `what was accepted is handled even when the emitter is gone`() async {
        let seen = Notes<Int>()
        let (door, handled) = (Door(), Door())
        weak var gone: LocalEmitter?
        do {
            let emitter = LocalEmitter()
            gone = emitter
            emitter.on(OrderPlaced.self) { event in
                await door.pass()
                seen.add(event.number)
                if event.number == 2 { handled.open() }
            }
            emitter.emit(OrderPlaced(number: 1))
            emitter.emit(OrderPlaced(number: 2))
        }
        #expect(gone == nil)
        door.open()
        await handled.pass()
        #expect(seen.values == [1, 2])
    }

    @Test func `an async listener runs in the service context of whoever emitted`() async {
        let emitter = LocalEmitter()
        let seen = Notes<String?>()
        emitter.on(OrderPlaced.self) { _ async in seen.add(ServiceContext.current?[WhoKey.self]) }
        for name in ["Ada", "Grace"] {
            var context = ServiceContext.topLevel
            context[WhoKey.self] = name
            ServiceContext.withValue(context) { emitter.emit(OrderPlaced(number: 1)) }
        }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        #expect(seen.values == ["Ada", "Grace", nil])
    }
}

private enum WhoKey: ServiceContextKey {
    typealias Value = String
}
