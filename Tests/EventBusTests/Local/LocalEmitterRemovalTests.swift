import EventBus
import Testing

@Suite("LocalEmitter: once and removal", .timeLimit(.minutes(1)))
struct LocalEmitterRemovalTests {
    let emitter = LocalEmitter()

    @Test func `a removed listener gets nothing, and removing twice does no harm`() {
        let seen = Notes<Int>()
        let token = emitter.on(OrderPlaced.self) { seen.add($0.number) }
        emitter.on(OrderPlaced.self) { seen.add(-$0.number) }
        emitter.emit(OrderPlaced(number: 1))
        token.remove()
        token.remove()
        emitter.remove(token)
        emitter.emit(OrderPlaced(number: 2))
        #expect(seen.values == [1, -1, -2])
    }

    @Test func `a token of another emitter removes nothing`() {
        let other = LocalEmitter()
        let foreign = other.on(OrderPlaced.self) { _ in }
        emitter.on(OrderPlaced.self) { _ in }
        emitter.remove(foreign)
        #expect(emitter.listenerCount == 1)
        #expect(other.listenerCount == 1)
    }

    @Test func `removeAll leaves an emitter that can be used again`() {
        let seen = Notes<String>()
        let old = emitter.on(OrderPlaced.self) { _ in seen.add("old") }
        emitter.on("#") { _ in seen.add("old pattern") }
        emitter.emit(OrderPlaced(number: 1))
        emitter.removeAll()
        #expect(emitter.listenerCount == 0)
        #expect(!emitter.hasListeners(for: OrderPlaced.self))
        emitter.emit(OrderPlaced(number: 2))
        emitter.on(OrderPlaced.self) { _ in seen.add("new") }
        old.remove()
        emitter.emit(OrderPlaced(number: 3))
        #expect(seen.values == ["old", "old pattern", "new"])
    }

    @Test func `once is called for one event and then gone`() {
        let seen = Notes<String>()
        emitter.once(OrderPlaced.self) { seen.add("typed \($0.number)") }
        emitter.once("order.*") { seen.add("pattern \($0.topic)") }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderPlaced(number: 2))
        #expect(seen.values == ["typed 1", "pattern order.placed"])
        #expect(emitter.listenerCount == 0)
    }

    @Test func `once that throws is gone all the same`() {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        emitter.once(OrderPlaced.self) { _ in throw Refusal(reason: "no") }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderPlaced(number: 2))
        #expect(failures.values.count == 1)
    }

    @Test func `once is called once when its own event is emitted from within it`() {
        let calls = Counter()
        emitter.once(OrderPlaced.self) { [emitter] event in
            calls.add()
            emitter.emit(event)
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(calls.value == 1)
    }

    @Test func `an async once handles its one event`() async {
        let seen = Notes<String>()
        emitter.once(OrderPlaced.self) { event async in seen.add("typed \(event.number)") }
        emitter.once("#") { event async in seen.add("pattern \(event.topic)") }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderPlaced(number: 2))
        await emitter.idle()
        #expect(Set(seen.values) == ["typed 1", "pattern order.placed"])
        #expect(seen.values.count == 2)
        #expect(emitter.listenerCount == 0)
    }

    @Test func `once fires exactly once when many threads emit at once`() async {
        for _ in 0..<200 {
            let calls = Counter()
            let emitter = LocalEmitter()
            emitter.once(OrderPlaced.self) { _ in calls.add() }
            await withTaskGroup { group in
                for number in 0..<8 {
                    group.addTask { emitter.emit(OrderPlaced(number: number)) }
                }
            }
            #expect(calls.value == 1)
        }
    }

    // MARK: Memory

    @Test func `removal releases what the closure held, at once`() {
        func check(
            sourceLocation: SourceLocation = #_sourceLocation,
            _ register: (LocalEmitter, Canary) -> LocalListener
        ) {
            weak var canary: Canary?
            let token: LocalListener
            do {
                let strong = Canary()
                canary = strong
                token = register(emitter, strong)
            }
            #expect(canary != nil, sourceLocation: sourceLocation)
            emitter.emit(OrderPlaced(number: 1))
            token.remove()
            #expect(canary == nil, sourceLocation: sourceLocation)
        }
        check { emitter, canary in emitter.on(OrderPlaced.self) { _ in canary.sing() } }
        check { emitter, canary in emitter.on("order.*") { _ in canary.sing() } }
        check { emitter, canary in emitter.on("order.*") { _ in canary.sing() } }
        check { emitter, canary in emitter.on(StockCounted.self) { _ async in canary.sing() } }
        check { emitter, canary in emitter.on("stock.#") { _ async in canary.sing() } }
        check { emitter, canary in emitter.once(StockCounted.self) { _ in canary.sing() } }
    }

    @Test func `a once that fired is released`() {
        weak var canary: Canary?
        do {
            let strong = Canary()
            canary = strong
            emitter.once(OrderPlaced.self) { _ in strong.sing() }
        }
        #expect(canary != nil)
        emitter.emit(OrderPlaced(number: 1))
        #expect(canary == nil)
    }

    @Test func `removeAll and the end of the emitter release every closure`() {
        weak var first: Canary?
        weak var second: Canary?
        weak var gone: LocalEmitter?
        do {
            let emitter = LocalEmitter()
            gone = emitter
            do {
                let (one, two) = (Canary(), Canary())
                (first, second) = (one, two)
                emitter.on(OrderPlaced.self) { _ in one.sing() }
                emitter.emit(OrderPlaced(number: 1))
                emitter.removeAll()
                #expect(emitter.listenerCount == 0)
                emitter.on("#") { _ in two.sing() }
                emitter.emit(OrderPlaced(number: 1))
            }
            withExtendedLifetime(emitter) { #expect(second != nil) }
        }
        #expect(first == nil)
        #expect(second == nil)
        #expect(gone == nil)
    }

    @Test func `a listener removed while it is called is released when the call ends`() {
        weak var canary: Canary?
        let token = Locked<LocalListener?>(nil)
        do {
            let strong = Canary()
            canary = strong
            let listener = emitter.on(OrderPlaced.self) { _ in
                token.withLock { $0 }?.remove()
                strong.sing()
            }
            token.withLock { $0 = listener }
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(canary == nil)
    }

    @Test func `a listener removed while another thread emits is released when that ends`() async {
        weak var canary: Canary?
        let entered = DispatchGate()
        let leave = DispatchGate()
        let emitter = LocalEmitter()
        emitter.on(OrderPlaced.self) { _ in
            entered.open()
            leave.wait()
        }
        let token: LocalListener
        do {
            let strong = Canary()
            canary = strong
            token = emitter.on(OrderPlaced.self) { _ in strong.sing() }
        }
        let emitting = onOwnThread { emitter.emit(OrderPlaced(number: 1)) }
        entered.wait()
        token.remove()
        // The emit began before the removal and has yet to call this listener, so the closure must be alive.
        #expect(canary != nil)
        #expect(emitter.listenerCount == 1)
        leave.open()
        emitting.wait()
        #expect(canary == nil)
    }

    @Test func `what a deinitialiser emits, registers and removes does no harm`() {
        final class Meddler: Sendable {
            let emitter: LocalEmitter
            let seen: Notes<String>
            init(_ emitter: LocalEmitter, _ seen: Notes<String>) {
                self.emitter = emitter
                self.seen = seen
            }
            deinit {
                emitter.on(StockCounted.self) { [seen] _ in seen.add("stock") }.remove()
                emitter.emit(OrderPlaced(number: 2))
                seen.add("gone")
            }
        }
        let seen = Notes<String>()
        emitter.on("#") { _ in seen.add("event") }
        do {
            let meddler = Meddler(emitter, seen)
            emitter.on("order.*") { _ in withExtendedLifetime(meddler) {} }.remove()
            emitter.once("order.*") { _ in withExtendedLifetime(meddler) {} }
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(seen.values == ["event", "event", "gone"])
    }
}

final class Canary: Sendable {
    func sing() {}
}
