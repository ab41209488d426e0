import ConnectionThread
import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct PublishRouterTests {
    private typealias Router = PublishRouter<Int>

    private var router = Router(maximumCount: 100, maximumBytes: 1 << 20)
    private var resolved: [Router.Machine.Resolved] = []

    private static let noAccess = AMQPFailure(
        .channelClosed(403),
        "ACCESS_REFUSED - access to exchange 'delay' in vhost '/' refused for user 'shop'"
    )
    private static let noExchange = AMQPFailure(
        .channelClosed(404),
        "NOT_FOUND - no exchange 'delay' in vhost '/'"
    )
    private static let unexplained = AMQPFailure(.channelClosed(406), "PRECONDITION_FAILED - fast reply consumer")

    private func item(_ id: UInt64, to exchange: String = "events", key: String = "a.b") -> Router.Item {
        Router.Item(
            id: id,
            publish: AMQPPublish(exchange: exchange, routingKey: key, properties: AMQPProperties(), body: []),
            outcome: .routed,
            deadline: MonotonicTime(nanoseconds: 1000),
            token: Int(id)
        )
    }

    private mutating func takeAll(_ role: Router.ChannelRole) -> Int {
        var count = 0
        while router.takeNext(role) != nil { count += 1 }
        return count
    }

    private func became(_ token: Int) -> Router.Machine.Resolution? {
        resolved.first { $0.token == token }?.resolution
    }

    private mutating func start(_ items: [Router.Item]) {
        router.connected(.primary, isBlocked: false)
        for item in items { router.add(item) }
        _ = takeAll(.primary)
    }

    @Test mutating func `what goes where the broker refuses events fails, and everything else goes on`() {
        start([item(1), item(2, to: "delay"), item(3), item(4, to: "delay")])
        let news = router.disconnected(.primary, Self.noAccess, &resolved)
        #expect(news?.exchange == "delay")
        let refusal = PublishRefusal(Self.noAccess)
        #expect(refusal?.busError.code == .accessRefused)
        for token in [2, 4] { #expect(became(token) == refusal.map { .refused($0) }) }
        #expect(resolved.count == 2)
        router.connected(.primary, isBlocked: false)
        #expect(takeAll(.primary) == 2)

        // A later event tries again, where it cannot harm others.
        router.add(item(5, to: "delay"))
        router.add(item(6))
        #expect(takeAll(.primary) == 1)
        #expect(router.needsIsolatedChannel)
        router.connected(.isolated, isBlocked: false)
        #expect(takeAll(.isolated) == 1)
        #expect(router.disconnected(.isolated, Self.noAccess, &resolved) == nil, "it is no news")
        #expect(became(5) == refusal.map { .refused($0) })
        #expect(router.unconfirmed == 3)

        // After one is accepted, all are sent on the regular channel again.
        for id in 7...9 { router.add(item(UInt64(id), to: "delay")) }
        router.connected(.isolated, isBlocked: false)
        #expect(takeAll(.isolated) == 1)
        router.confirmed(.isolated, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(7) == .confirmed(.routed))
        #expect(router.refusals.isEmpty)
        #expect(takeAll(.isolated) == 0)
        #expect(takeAll(.primary) == 2)
    }

    @Test mutating func `what found no exchange gets one more chance, in order`() {
        start([item(1), item(2, to: "delay"), item(3, to: "delay")])
        _ = router.disconnected(.primary, Self.noExchange, &resolved)
        #expect(resolved.isEmpty)
        router.add(item(4, to: "delay"))
        router.connected(.primary, isBlocked: false)
        router.connected(.isolated, isBlocked: false)
        #expect(takeAll(.primary) == 1)
        #expect(takeAll(.isolated) == 1)
        router.confirmed(.isolated, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(2) == .confirmed(.routed))
        #expect(takeAll(.primary) == 2)
        router.confirmed(.primary, tag: 3, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolved.map(\.token) == [2, 1, 3, 4])

        // The second refusal is reported to the caller.
        router.add(item(5, to: "delay"))
        _ = takeAll(.primary)
        _ = router.disconnected(.primary, Self.noExchange, &resolved)
        router.connected(.primary, isBlocked: false)
        router.connected(.isolated, isBlocked: false)
        #expect(takeAll(.isolated) == 1)
        _ = router.disconnected(.isolated, Self.noExchange, &resolved)
        #expect(became(5) == PublishRefusal(Self.noExchange).map { .refused($0) })
    }

    @Test mutating func `where the broker does not say which it meant, each goes alone and one is condemned`() {
        start([item(1), item(2), item(3)])
        _ = router.disconnected(.primary, Self.unexplained, &resolved)
        router.connected(.primary, isBlocked: false)
        router.connected(.isolated, isBlocked: false)
        router.add(item(4))
        #expect(takeAll(.primary) == 1, "a new one is not suspected")
        #expect(takeAll(.isolated) == 1)
        router.confirmed(.isolated, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(takeAll(.isolated) == 1)
        _ = router.disconnected(.isolated, Self.unexplained, &resolved)
        router.connected(.isolated, isBlocked: false)
        #expect(takeAll(.isolated) == 1)
        router.confirmed(.isolated, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(1) == .confirmed(.routed))
        #expect(became(2) == PublishRefusal(Self.unexplained).map { .refused($0) })
        #expect(became(3) == .confirmed(.routed))
        #expect(PublishRefusal(Self.unexplained)?.busError.code == .rejected)
    }

    @Test mutating func `a lost connection holds nothing against anyone`() {
        start([item(1), item(2)])
        #expect(router.disconnected(.primary, AMQPFailure(.connectionLost, ""), &resolved) == nil)
        #expect(router.disconnected(.primary, AMQPFailure(.channelClosed(0), "ours"), &resolved) == nil)
        #expect(resolved.isEmpty && !router.needsIsolatedChannel)
        router.connected(.primary, isBlocked: false)
        #expect(takeAll(.primary) == 2)
    }

    @Test mutating func `what is larger than the broker accepts is given up, not suspected`() {
        start([item(1)])
        let text = "PRECONDITION_FAILED - message size 20 is larger than configured max size -1"
        _ = router.disconnected(.primary, AMQPFailure(.channelClosed(406), text), &resolved)
        #expect(resolved.map(\.resolution) == [.tooLarge])
    }

    @Test(arguments: [
        ("ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'", "e", nil),
        ("ACCESS_REFUSED - write access to exchange 'amq.default' in vhost 'v' refused for user 'u'", "", nil),
        ("ACCESS_REFUSED - access to topic 'a.b' in exchange 'e' in vhost '/' refused for user 'u'", "e", "a.b"),
        ("NOT_FOUND - no exchange 'e' in vhost '/'", "e", nil),
        ("ACCESS_REFUSED - access to topic 'cut off in the mid", nil, nil),
        ("", nil, nil),
    ])
    func `the broker's text says where events are refused`(text: String, exchange: String?, topic: String?) {
        let refusal = PublishRefusal(AMQPFailure(.channelClosed(403), text))
        #expect(refusal?.exchange == exchange)
        #expect(refusal?.topic == topic)
        #expect(refusal?.isOfRoute == (exchange != nil))
    }

    /// Random histories: every token is resolved exactly once, and a refused event is one that the broker refuses.
    @Test(arguments: 0..<100)
    func `in any history each event is resolved once, and only the refused ones are refused`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var router = Router(maximumCount: 5, maximumBytes: 1 << 20)
        var resolved: [Router.Machine.Resolved] = []
        var added: UInt64 = 0
        var isGranted = false
        var mayBeRefused: Set<Int> = []
        // The events that the broker has received on each channel, in order. It processes the first one next.
        var sent: [Router.ChannelRole: [(tag: UInt64, publish: AMQPPublish)]] = [:]
        var tags: [Router.ChannelRole: UInt64] = [:]
        func isBad(_ publish: AMQPPublish) -> Bool {
            publish.routingKey == "bad" || (publish.exchange == "delay" && !isGranted)
        }
        func failure(_ publish: AMQPPublish) -> AMQPFailure {
            publish.routingKey == "bad" ? Self.unexplained : Self.noAccess
        }
        for step in 0..<400 {
            if step == 300 { isGranted = true }
            let role: Router.ChannelRole = Bool.random(using: &generator) ? .primary : .isolated
            switch Int.random(in: 0..<8, using: &generator) {
            case 0, 1:
                added += 1
                let key = Int.random(in: 0..<6, using: &generator) == 0 ? "bad" : "a.b"
                let exchange = Bool.random(using: &generator) ? "events" : "delay"
                if key == "bad" || exchange == "delay" { mayBeRefused.insert(Int(added)) }
                router.add(item(added, to: exchange, key: key))
            case 2:
                if sent[role] == nil, role == .primary || router.needsIsolatedChannel {
                    router.connected(role, isBlocked: false)
                    sent[role] = []
                    tags[role] = 0
                }
            case 3, 4:
                if sent[role] != nil, let publish = router.takeNext(role) {
                    tags[role, default: 0] += 1
                    sent[role]?.append((tags[role] ?? 0, publish))
                }
            case 5, 6:
                guard let first = sent[role]?.first else { continue }
                if isBad(first.publish) {
                    sent[role] = nil
                    _ = router.disconnected(role, failure(first.publish), &resolved)
                } else {
                    sent[role]?.removeFirst()
                    router.confirmed(role, tag: first.tag, multiple: false, isAcknowledged: true, &resolved)
                }
            default:
                if Int.random(in: 0..<4, using: &generator) == 0 {
                    for role in Router.ChannelRole.allCases {
                        sent[role] = nil
                        _ = router.disconnected(role, AMQPFailure(.connectionLost, ""), &resolved)
                    }
                } else if added > 0 {
                    router.cancel(UInt64.random(in: 1...added, using: &generator), &resolved)
                }
            }
        }
        router.cancelWaiting(&resolved)
        for role in Router.ChannelRole.allCases {
            _ = router.disconnected(role, AMQPFailure(.connectionLost, ""), &resolved)
        }
        router.cancelWaiting(&resolved)
        #expect(resolved.count == Int(added))
        #expect(Set(resolved.map(\.token)).count == Int(added))
        for (token, resolution) in resolved {
            if case .refused = resolution { #expect(mayBeRefused.contains(token)) }
        }
    }

    private static let crash = AMQPFailure(.connectionClosed(541), "INTERNAL_ERROR")
    private static let forced = AMQPFailure(.connectionClosed(320), "CONNECTION_FORCED")

    private mutating func connectionEnds(_ failure: AMQPFailure) {
        for role in Router.ChannelRole.allCases { _ = router.disconnected(role, failure, &resolved) }
        for role in Router.ChannelRole.allCases { router.connected(role, isBlocked: false) }
    }

    @Test mutating func `events in flight at repeated ends of the connection go on one at a time`() {
        start([item(1), item(2), item(3)])
        connectionEnds(Self.crash)
        #expect(takeAll(.primary) == 3)
        connectionEnds(Self.crash)
        #expect(takeAll(.primary) == 0)
        for token in 1...3 {
            #expect(takeAll(.isolated) == 1)
            router.confirmed(.isolated, tag: UInt64(token), multiple: false, isAcknowledged: true, &resolved)
            #expect(became(token) == .confirmed(.routed))
        }
    }

    @Test mutating func `a connection that the broker ends in good order says nothing of its events`() {
        start([item(1)])
        for _ in 0..<10 {
            connectionEnds(Self.forced)
            #expect(takeAll(.primary) == 1)
        }
        #expect(resolved.isEmpty)
    }

    @Test mutating func `an event alone in flight at repeated ends of the connection is refused with the text`() {
        start([item(1)])
        var rounds = 0
        while resolved.isEmpty, rounds < 20 {
            rounds += 1
            connectionEnds(Self.crash)
            _ = takeAll(.primary)
            _ = takeAll(.isolated)
        }
        #expect(rounds < 20)
        guard case .refused(let refusal)? = became(1) else {
            Issue.record("it became \(String(describing: became(1)))")
            return
        }
        #expect(refusal.busError.code == .rejected)
        #expect(refusal.busError.message.contains("INTERNAL_ERROR"))
    }
}
