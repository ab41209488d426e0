import EventBus
import Synchronization

struct OrderPlaced: Event, Equatable {
    static let topic: Topic = "order.placed"
    var number: Int
    var customer = "Ada"
}

struct OrderShipped: Event, Equatable {
    static let topic: Topic = "order.shipped.express"
    var number: Int
}

struct StockCounted: Event, Equatable {
    static let topic: Topic = "stock.counted"
    var count: Int
}

struct Refusal: Error, Equatable {
    var reason: String
}

/// Values that any thread may append.
final class Notes<Value: Sendable>: Sendable {
    private let storage = Locked<[Value]>([])

    func add(_ value: Value) { storage.withLock { $0.append(value) } }
    var values: [Value] { storage.withLock { $0 } }
}

/// A counter that any thread may increment.
final class Counter: Sendable {
    private let storage = Atomic<Int>(0)

    @discardableResult
    func add(_ amount: Int = 1) -> Int { storage.wrappingAdd(amount, ordering: .sequentiallyConsistent).newValue }
    var value: Int { storage.load(ordering: .sequentiallyConsistent) }
}

/// A Boolean value that any thread may set.
final class Flag: Sendable {
    private let storage = Atomic<Bool>(false)

    func set(_ value: Bool = true) { storage.store(value, ordering: .sequentiallyConsistent) }
    var isSet: Bool { storage.load(ordering: .sequentiallyConsistent) }
}

/// A gate that holds listeners until the test opens it.
final class Door: Sendable {
    private let state = Locked<(isOpen: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
