import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Async sequences and awaited emissions of the local emitter", .timeLimit(.minutes(1)))
struct LocalStreamTests {
    @Test("A sequence receives the events after its creation in order, by type and by pattern")
    func sequences() async throws {
        let emitter = LocalEmitter()
        emitter.emit(OrderPlaced(number: 0))
        let (typed, matching) = (emitter.events(OrderPlaced.self), emitter.events("order.#"))
        for number in 1...3 { emitter.emit(OrderPlaced(number: number)) }
        emitter.emit(OrderShipped(number: 4))
        var numbers: [Int] = []
        for await order in typed {
            numbers.append(order.number)
            if order.number == 3 { break }
        }
        #expect(numbers == [1, 2, 3])
        var topics: [Topic] = []
        for await event in matching {
            topics.append(event.topic)
            if event.topic == OrderShipped.topic { break }
        }
        #expect(topics == [OrderPlaced.topic, OrderPlaced.topic, OrderPlaced.topic, OrderShipped.topic])
    }

    @Test("A sequence that is not read receives no more than its capacity, and the rest is reported")
    func capacity() async throws {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let orders = emitter.events(OrderPlaced.self, capacity: 2)
        for number in 1...5 { emitter.emit(OrderPlaced(number: number)) }
        #expect(failures.values.count == 3)
        #expect(failures.values.allSatisfy { ($0.error as? EventBusError)?.code == .mailboxFull })
        var numbers: [Int] = []
        for await order in orders {
            numbers.append(order.number)
            if numbers.count == 2 { break }
        }
        #expect(numbers == [1, 2])
    }

    @Test("A sequence ends with its task, which removes its listener, with the emitter and with the bus")
    func ends() async throws {
        var emitter: LocalEmitter? = LocalEmitter()
        let orders = try #require(emitter).events(OrderPlaced.self)
        let reader = Task { for await _ in orders {} }
        #expect(emitter?.listenerCount == 1)
        reader.cancel()
        await reader.value
        #expect(emitter?.listenerCount == 0)
        let last = try #require(emitter).events(OrderPlaced.self)
        emitter = nil
        for await _ in last {}

        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: ManualClock())))
        let handled = Notes<String>()
        let events = bus.local.events(OrderCreated.self)
        let loop = Task { for await order in events { handled.add(order.orderID) } }
        try await bus.withRunning { _ = try await bus.publish(OrderCreated(orderID: "1")) }
        await loop.value
        #expect(handled.values == ["1"])
        for await _ in bus.local.events(OrderCreated.self) { Issue.record("the bus has ended") }
        #expect(bus.local.listenerCount == 0)
    }

    @Test("The next event is the first that matches after the call, and there is a time limit on the bus's clock")
    func next() async throws {
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        try await bus.withRunning {
            let order = try await bus.local.next(OrderCreated.self, within: .seconds(5)) {
                for number in 1...3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            } where: {
                $0.orderID != "1"
            }
            #expect(order.orderID == "2")
            let isOver = Signal()
            let late = Task {
                defer { isOver.raise() }
                return try await bus.local.next(OrderCreated.self, within: .seconds(5))
            }
            while !isOver.isRaised {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            let error = await #expect(throws: EventBusError.self) { try await late.value }
            #expect(error?.code == .timedOut)
            await #expect(throws: Refusal.self) {
                try await bus.local.next(OrderCreated.self, within: .seconds(5)) { throw Refusal(reason: "no") }
            }
            try await eventually("the listeners are removed") { bus.local.listenerCount == 0 }
        }
        let ended = await #expect(throws: EventBusError.self) {
            try await bus.local.next(OrderCreated.self, within: .seconds(5))
        }
        #expect(ended?.code == .shuttingDown)
    }

    @Test("An awaited emission returns when every listener has handled the event, and throws the first error")
    func awaited() async throws {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let handled = Notes<String>()
        emitter.on(OrderPlaced.self) { order in
            handled.add("sync")
            if order.number == 1 { throw Refusal(reason: "sync") }
        }
        emitter.on("order.*") { event in
            await Task.yield()
            handled.add("async")
            throw Refusal(reason: "async")
        }
        emitter.once(OrderPlaced.self) { _ in
            await Task.yield()
            handled.add("once")
        }
        var error = await #expect(throws: Refusal.self) { try await emitter.emitAndWait(OrderPlaced(number: 1)) }
        #expect(handled.values.sorted() == ["async", "once", "sync"])
        // An asynchronous listener may throw before the synchronous ones are called.
        let reported = failures.values.compactMap { ($0.error as? Refusal)?.reason }
        #expect(([error?.reason ?? "none"] + reported).sorted() == ["async", "sync"])
        error = await #expect(throws: Refusal.self) { try await emitter.emitAndWait(OrderPlaced(number: 2)) }
        #expect(error?.reason == "async")
        #expect(handled.values.count == 5)
        #expect(failures.values.count == 1)
        try await emitter.emitAndWait(StockCounted(count: 1))
    }

    @Test("A cancelled wait returns, the listener goes on, and its error is reported")
    func cancelledWait() async throws {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let (started, proceed) = (Signal(), Signal())
        emitter.on(OrderPlaced.self) { _ in
            started.raise()
            try await proceed.wait()
            throw Refusal(reason: "late")
        }
        let wait = Task { try await emitter.emitAndWait(OrderPlaced(number: 1)) }
        try await started.wait()
        wait.cancel()
        await #expect(throws: CancellationError.self) { try await wait.value }
        #expect(failures.values.isEmpty)
        proceed.raise()
        await emitter.idle()
        #expect(failures.values.count == 1)
    }

    @Test("A listener that would wait for itself, directly or through another, is told so", arguments: [false, true])
    func reentrant(isIndirect: Bool) async throws {
        let emitter = LocalEmitter()
        emitter.on(OrderPlaced.self) { order in
            await Task.yield()
            if order.number == 1 {
                if isIndirect {
                    try await emitter.emitAndWait(OrderShipped(number: 1))
                } else {
                    try await emitter.emitAndWait(OrderPlaced(number: 2))
                }
            }
        }
        emitter.on(OrderShipped.self) { _ in
            await Task.yield()
            try await emitter.emitAndWait(OrderPlaced(number: 2))
        }
        let error = await #expect(throws: EventBusError.self) {
            try await emitter.emitAndWait(OrderPlaced(number: 1))
        }
        #expect(error?.code == .reentrant)
        // Another listener than those that wait may be waited for.
        try await emitter.emitAndWait(OrderPlaced(number: 3))
        emitter.emit(OrderPlaced(number: 4))
        await emitter.idle()
    }

    @Test("Of two listeners that wait for each other in the handling of other events, one is told so")
    func mutual() async throws {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let (placed, shipped) = (Signal(), Signal())
        emitter.on(OrderPlaced.self) { order in
            guard order.number == 1 else { return }
            placed.raise()
            try await shipped.wait()
            try await emitter.emitAndWait(OrderShipped(number: 2))
        }
        emitter.on(OrderShipped.self) { order in
            guard order.number == 1 else { return }
            shipped.raise()
            try await placed.wait()
            try await emitter.emitAndWait(OrderPlaced(number: 2))
        }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderShipped(number: 1))
        await emitter.idle()
        #expect(failures.values.map { ($0.error as? EventBusError)?.code } == [.reentrant])
        // Nobody waits any more, so each may wait for the other again.
        emitter.on(StockCounted.self) { _ in
            await Task.yield()
            try await emitter.emitAndWait(OrderShipped(number: 3))
            try await emitter.emitAndWait(OrderPlaced(number: 3))
        }
        try await emitter.emitAndWait(StockCounted(count: 1))
    }

    @Test("The next event is found behind any number of others")
    func nextBehindMany() async throws {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        let order = try await emitter.next(OrderPlaced.self, within: .seconds(20)) {
            for number in 1...2_000 { emitter.emit(OrderPlaced(number: number)) }
        } where: {
            $0.number >= 1_000
        }
        #expect(order.number == 1_000)
        #expect(failures.values.isEmpty)
    }

    @Test("An awaited emission does not wait for a listener that was removed with the event in its mailbox")
    func removed() async throws {
        let emitter = LocalEmitter()
        let (started, proceed) = (Signal(), Signal())
        let listener = emitter.on(OrderPlaced.self) { _ in
            started.raise()
            try await proceed.wait()
        }
        emitter.emit(OrderPlaced(number: 1))
        try await started.wait()
        let wait = Task { try await emitter.emitAndWait(OrderPlaced(number: 2)) }
        try await eventually("the event is in the mailbox") { emitter.pendingCount == 2 }
        listener.remove()
        try await wait.value
        proceed.raise()
        await emitter.idle()
    }
}
