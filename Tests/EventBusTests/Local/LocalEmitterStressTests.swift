import EventBus
import Testing

@Suite("LocalEmitter: many threads", .timeLimit(.minutes(2)))
struct LocalEmitterStressTests {
    @Test func `emits, registrations and removals from many threads lose nothing of a steady listener`() {
        let emitter = LocalEmitter()
        let (typed, matched, passing) = (Counter(), Counter(), Counter())
        emitter.on(OrderPlaced.self) { _ in typed.add() }
        emitter.on("order.#") { _ in matched.add() }
        let rounds = 2_000
        let emitters = (0..<3).map { _ in
            onOwnThread {
                for number in 0..<rounds {
                    emitter.emit(OrderPlaced(number: number))
                    emitter.emit(OrderShipped(number: number))
                    emitter.emit(StockCounted(count: number))
                }
            }
        }
        let changers = (0..<3).map { index in
            onOwnThread {
                for round in 0..<rounds {
                    let token =
                        switch (index + round) % 3 {
                        case 0: emitter.on(OrderPlaced.self) { _ in passing.add() }
                        case 1: emitter.on("*.*") { _ in passing.add() }
                        default: emitter.once(StockCounted.self) { _ in passing.add() }
                        }
                    _ = emitter.hasListeners(for: OrderShipped.self)
                    token.remove()
                }
            }
        }
        for thread in emitters + changers { thread.wait() }
        #expect(typed.value == 3 * rounds)
        #expect(matched.value == 6 * rounds)
        #expect(emitter.listenerCount == 2)
    }

    @Test func `every closure removed under load is released`() {
        let emitter = LocalEmitter()
        let alive = Counter()
        let stop = Flag()
        let emitters = (0..<2).map { _ in
            onOwnThread {
                while !stop.isSet { emitter.emit(OrderPlaced(number: 1)) }
            }
        }
        let changers = (0..<2).map { _ in
            onOwnThread {
                for _ in 0..<5_000 {
                    let counted = Counted(alive)
                    emitter.on(OrderPlaced.self) { _ in counted.touch() }.remove()
                }
            }
        }
        for thread in changers { thread.wait() }
        stop.set(true)
        for thread in emitters { thread.wait() }
        #expect(alive.value == 0)
    }

    @Test func `a removal that returned is seen by every later emit`() {
        let emitter = LocalEmitter()
        let isRemoved = Flag()
        let late = Counter()
        let noise = Flag()
        let other = onOwnThread {
            while !noise.isSet { emitter.emit(OrderShipped(number: 1)) }
        }
        for _ in 0..<3_000 {
            isRemoved.set(false)
            let token = emitter.on(OrderPlaced.self) { _ in
                if isRemoved.isSet { late.add() }
            }
            emitter.emit(OrderPlaced(number: 1))
            token.remove()
            isRemoved.set(true)
            emitter.emit(OrderPlaced(number: 2))
        }
        noise.set(true)
        other.wait()
        #expect(late.value == 0)
    }

    @Test func `mailboxes keep each thread's order and account for every event`() async {
        let failures = Counter()
        let emitter = LocalEmitter { _ in failures.add() }
        let seen = Notes<OrderPlaced>()
        emitter.on(OrderPlaced.self, capacity: 64) { event async in seen.add(event) }
        let rounds = 5_000
        let threads = ["Ada", "Grace", "Barbara"].map { name in
            onOwnThread {
                for number in 0..<rounds { emitter.emit(OrderPlaced(number: number, customer: name)) }
            }
        }
        for thread in threads { thread.wait() }
        await emitter.idle()
        #expect(seen.values.count + failures.value == 3 * rounds)
        for (_, events) in Dictionary(grouping: seen.values, by: \.customer) {
            let numbers = events.map(\.number)
            #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 })
        }
    }

    @Test func `idle holds for what was emitted before it, on any thread`() async {
        let emitter = LocalEmitter()
        let handled = Counter()
        emitter.on(OrderPlaced.self) { _ async in handled.add() }
        for round in 1...500 {
            await withTaskGroup { group in
                for _ in 0..<4 { group.addTask { emitter.emit(OrderPlaced(number: round)) } }
            }
            await emitter.idle()
            #expect(handled.value == 4 * round)
        }
    }
}

private final class Counted: Sendable {
    private let alive: Counter

    init(_ alive: Counter) {
        self.alive = alive
        alive.add()
    }

    deinit { alive.add(-1) }

    func touch() {}
}
