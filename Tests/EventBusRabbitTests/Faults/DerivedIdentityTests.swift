import EventBus
import EventBusInMemory
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests {
    /// A service whose connections end between its publishes and its acknowledgements, a thousand times.
    @Suite(.serialized, .timeLimit(.minutes(12)), .enabled(if: isFull))
    struct DerivedIdentityTests {
        private static let orderCount = 1000

        @Test(arguments: [true, false])
        func `after a thousand crashes every charge has one effect if identities are derived, and otherwise more`(
            derivesIDs: Bool
        ) async throws {
            let broker = try await TestBroker.shared()
            let name = freshName()
            let direct = try broker.configuration { $0.exchange = "events-\(name)" }
            let proxy = try TestProxy(to: direct.hosts[0].port)
            var proxied = direct
            proxied.hosts = [.init("127.0.0.1", port: proxy.port)]
            let crashes = Crashes(of: proxy)
            let effects = Locked<[Int: Int]>([:])

            let service = try EventBus(transport: .rabbit(proxied))
            var options = SubscriptionOptions(concurrency: Crashes.handlersPerCrash)
            options.derivesEventIDs = derivesIDs
            service.subscribe(to: Ordered.self, group: "cash-\(name)", options: options) { order in
                try await service.publish(Charged(number: order.number))
                try await crashes.crashOnce(handling: order.number)
            }
            let downstream = try EventBus(transport: .rabbit(direct))
            let inbox = SubscriptionOptions(inbox: InMemoryInbox())
            downstream.subscribe(to: Charged.self, group: "mail-\(name)", options: inbox) { charge in
                effects.withLock { $0[charge.number, default: 0] += 1 }
            }
            try await downstream.withRunning {
                try await service.withRunning {
                    let orders = (0..<Self.orderCount).map { Ordered(number: $0) }
                    for result in try await downstream.publish(contentsOf: orders) { _ = try result.get() }
                    try await eventually("every order handled after its crash", within: .seconds(300)) {
                        crashes.handled == Self.orderCount
                    }
                    try await eventually("an effect of every charge", within: .seconds(60)) {
                        effects.withLock { $0.count } == Self.orderCount
                    }
                }
            }
            let total = effects.withLock { $0.values.reduce(0, +) }
            print("derivesEventIDs = \(derivesIDs): \(crashes.count) crashes, \(total) effects")
            #expect(crashes.count == Self.orderCount)
            if derivesIDs { #expect(total == Self.orderCount) } else { #expect(total > Self.orderCount) }
        }
    }
}

private struct Ordered: Event {
    static let topic: Topic = "shop.ordered"
    var number: Int
}

private struct Charged: Event {
    static let topic: Topic = "shop.charged"
    var number: Int
}

/// Handlers that have published and lose their connections before they return, each order once.
private final class Crashes: Sendable {
    private struct State {
        var crashed: Set<Int> = []
        var handled: Set<Int> = []
        /// The number of handlers that wait for the crash.
        var waiting = 0
    }

    static let handlersPerCrash = 10

    private let proxy: TestProxy
    private let state = Locked(State())

    init(of proxy: TestProxy) { self.proxy = proxy }

    var count: Int { state.withLock { $0.crashed.count } }
    var handled: Int { state.withLock { $0.handled.count } }

    /// Waits until all handlers have published, and cuts their connections, which cancels them. Returns if the order's
    /// handler was cut before.
    func crashOnce(handling number: Int) async throws {
        let isLast: Bool? = state.withLock { state in
            guard state.crashed.insert(number).inserted else {
                state.handled.insert(number)
                return nil
            }
            state.waiting += 1
            guard state.waiting == Self.handlersPerCrash else { return false }
            state.waiting = 0
            return true
        }
        guard let isLast else { return }
        if isLast { proxy.cutAll() }
        try await Signal().wait()
    }
}
