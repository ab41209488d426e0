import ConnectionThread
import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct PublishTrafficTests {
    private typealias Traffic = PublishTraffic<Int>

    private var traffic = Traffic(maximumCount: 100, maximumBytes: 1 << 20)
    private var resolved: [Traffic.Machine.Resolved] = []

    private static let noAccess = AMQPFailure(
        .channelClosed(403),
        "ACCESS_REFUSED - access to exchange 'delay' in vhost '/' refused for user 'shop'"
    )
    private static let noExchange = AMQPFailure(
        .channelClosed(404),
        "NOT_FOUND - no exchange 'delay' in vhost '/'"
    )
    private static let unexplained = AMQPFailure(.channelClosed(406), "PRECONDITION_FAILED - fast reply consumer")

    private func item(_ id: UInt64, to exchange: String = "events", key: String = "a.b") -> Traffic.Item {
        Traffic.Item(
            id: id,
            publish: AMQPPublish(exchange: exchange, routingKey: key, properties: AMQPProperties(), body: []),
            outcome: .routed,
            deadline: MonotonicTime(nanoseconds: 1000),
            token: Int(id)
        )
    }

    private mutating func takeAll(_ line: Traffic.Line) -> Int {
        var count = 0
        while traffic.takeNext(line) != nil { count += 1 }
        return count
    }

    private func became(_ token: Int) -> Traffic.Machine.Resolution? {
        resolved.first { $0.token == token }?.resolution
    }

    private mutating func start(_ items: [Traffic.Item]) {
        traffic.connected(.main, isBlocked: false)
        for item in items { traffic.add(item) }
        _ = takeAll(.main)
    }

    @Test mutating func `what goes where the broker refuses events fails, and everything else goes on`() {
        start([item(1), item(2, to: "delay"), item(3), item(4, to: "delay")])
        let news = traffic.disconnected(.main, Self.noAccess, &resolved)
        #expect(news?.exchange == "delay")
        let refusal = PublishRefusal(Self.noAccess)
        #expect(refusal?.busError.code == .accessRefused)
        for token in [2, 4] { #expect(became(token) == refusal.map { .refused($0) }) }
        #expect(resolved.count == 2)
        traffic.connected(.main, isBlocked: false)
        #expect(takeAll(.main) == 2)

        // A later event tries again, where it cannot harm others.
        traffic.add(item(5, to: "delay"))
        traffic.add(item(6))
        #expect(takeAll(.main) == 1)
        #expect(traffic.needsProbe)
        traffic.connected(.probe, isBlocked: false)
        #expect(takeAll(.probe) == 1)
        #expect(traffic.disconnected(.probe, Self.noAccess, &resolved) == nil, "it is no news")
        #expect(became(5) == refusal.map { .refused($0) })
        #expect(traffic.unconfirmed == 3)

        // After one is accepted, all are sent on the regular channel again.
        for id in 7...9 { traffic.add(item(UInt64(id), to: "delay")) }
        traffic.connected(.probe, isBlocked: false)
        #expect(takeAll(.probe) == 1)
        traffic.confirmed(.probe, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(7) == .confirmed(.routed))
        #expect(traffic.refusals.isEmpty)
        #expect(takeAll(.probe) == 0)
        #expect(takeAll(.main) == 2)
    }

    @Test mutating func `what found no exchange gets one more chance, in order`() {
        start([item(1), item(2, to: "delay"), item(3, to: "delay")])
        _ = traffic.disconnected(.main, Self.noExchange, &resolved)
        #expect(resolved.isEmpty)
        traffic.add(item(4, to: "delay"))
        traffic.connected(.main, isBlocked: false)
        traffic.connected(.probe, isBlocked: false)
        #expect(takeAll(.main) == 1)
        #expect(takeAll(.probe) == 1)
        traffic.confirmed(.probe, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(2) == .confirmed(.routed))
        #expect(takeAll(.main) == 2)
        traffic.confirmed(.main, tag: 3, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolved.map(\.token) == [2, 1, 3, 4])

        // The second refusal is reported to the caller.
        traffic.add(item(5, to: "delay"))
        _ = takeAll(.main)
        _ = traffic.disconnected(.main, Self.noExchange, &resolved)
        traffic.connected(.main, isBlocked: false)
        traffic.connected(.probe, isBlocked: false)
        #expect(takeAll(.probe) == 1)
        _ = traffic.disconnected(.probe, Self.noExchange, &resolved)
        #expect(became(5) == PublishRefusal(Self.noExchange).map { .refused($0) })
    }

    @Test mutating func `where the broker does not say which it meant, each goes alone and one is condemned`() {
        start([item(1), item(2), item(3)])
        _ = traffic.disconnected(.main, Self.unexplained, &resolved)
        traffic.connected(.main, isBlocked: false)
        traffic.connected(.probe, isBlocked: false)
        traffic.add(item(4))
        #expect(takeAll(.main) == 1, "a new one is not suspected")
        #expect(takeAll(.probe) == 1)
        traffic.confirmed(.probe, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(takeAll(.probe) == 1)
        _ = traffic.disconnected(.probe, Self.unexplained, &resolved)
        traffic.connected(.probe, isBlocked: false)
        #expect(takeAll(.probe) == 1)
        traffic.confirmed(.probe, tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(became(1) == .confirmed(.routed))
        #expect(became(2) == PublishRefusal(Self.unexplained).map { .refused($0) })
        #expect(became(3) == .confirmed(.routed))
        #expect(PublishRefusal(Self.unexplained)?.busError.code == .rejected)
    }

    @Test mutating func `a lost connection holds nothing against anyone`() {
        start([item(1), item(2)])
        #expect(traffic.disconnected(.main, AMQPFailure(.connectionLost, ""), &resolved) == nil)
        #expect(traffic.disconnected(.main, AMQPFailure(.channelClosed(0), "ours"), &resolved) == nil)
        #expect(resolved.isEmpty && !traffic.needsProbe)
        traffic.connected(.main, isBlocked: false)
        #expect(takeAll(.main) == 2)
    }

    @Test mutating func `what is larger than the broker accepts is given up, not suspected`() {
        start([item(1)])
        let text = "PRECONDITION_FAILED - message size 20 is larger than configured max size -1"
        _ = traffic.disconnected(.main, AMQPFailure(.channelClosed(406), text), &resolved)
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
        var traffic = Traffic(maximumCount: 5, maximumBytes: 1 << 20)
        var resolved: [Traffic.Machine.Resolved] = []
        var added: UInt64 = 0
        var isGranted = false
        var mayBeRefused: Set<Int> = []
        // The events that the broker has received on each channel, in order. It processes the first one next.
        var sent: [Traffic.Line: [(tag: UInt64, publish: AMQPPublish)]] = [:]
        var tags: [Traffic.Line: UInt64] = [:]
        func isBad(_ publish: AMQPPublish) -> Bool {
            publish.routingKey == "bad" || (publish.exchange == "delay" && !isGranted)
        }
        func failure(_ publish: AMQPPublish) -> AMQPFailure {
            publish.routingKey == "bad" ? Self.unexplained : Self.noAccess
        }
        for step in 0..<400 {
            if step == 300 { isGranted = true }
            let line: Traffic.Line = Bool.random(using: &generator) ? .main : .probe
            switch Int.random(in: 0..<8, using: &generator) {
            case 0, 1:
                added += 1
                let key = Int.random(in: 0..<6, using: &generator) == 0 ? "bad" : "a.b"
                let exchange = Bool.random(using: &generator) ? "events" : "delay"
                if key == "bad" || exchange == "delay" { mayBeRefused.insert(Int(added)) }
                traffic.add(item(added, to: exchange, key: key))
            case 2:
                if sent[line] == nil, line == .main || traffic.needsProbe {
                    traffic.connected(line, isBlocked: false)
                    sent[line] = []
                    tags[line] = 0
                }
            case 3, 4:
                if sent[line] != nil, let publish = traffic.takeNext(line) {
                    tags[line, default: 0] += 1
                    sent[line]?.append((tags[line] ?? 0, publish))
                }
            case 5, 6:
                guard let first = sent[line]?.first else { continue }
                if isBad(first.publish) {
                    sent[line] = nil
                    _ = traffic.disconnected(line, failure(first.publish), &resolved)
                } else {
                    sent[line]?.removeFirst()
                    traffic.confirmed(line, tag: first.tag, multiple: false, isAcknowledged: true, &resolved)
                }
            default:
                if Int.random(in: 0..<4, using: &generator) == 0 {
                    for line in Traffic.Line.allCases {
                        sent[line] = nil
                        _ = traffic.disconnected(line, AMQPFailure(.connectionLost, ""), &resolved)
                    }
                } else if added > 0 {
                    traffic.cancel(UInt64.random(in: 1...added, using: &generator), &resolved)
                }
            }
        }
        traffic.cancelWaiting(&resolved)
        for line in Traffic.Line.allCases {
            _ = traffic.disconnected(line, AMQPFailure(.connectionLost, ""), &resolved)
        }
        traffic.cancelWaiting(&resolved)
        #expect(resolved.count == Int(added))
        #expect(Set(resolved.map(\.token)).count == Int(added))
        for (token, resolution) in resolved {
            if case .refused = resolution { #expect(mayBeRefused.contains(token)) }
        }
    }

    private static let crash = AMQPFailure(.connectionClosed(541), "INTERNAL_ERROR")
    private static let forced = AMQPFailure(.connectionClosed(320), "CONNECTION_FORCED")

    private mutating func connectionEnds(_ failure: AMQPFailure) {
        for line in Traffic.Line.allCases { _ = traffic.disconnected(line, failure, &resolved) }
        for line in Traffic.Line.allCases { traffic.connected(line, isBlocked: false) }
    }

    @Test mutating func `events in flight at repeated ends of the connection go on one at a time`() {
        start([item(1), item(2), item(3)])
        connectionEnds(Self.crash)
        #expect(takeAll(.main) == 3)
        connectionEnds(Self.crash)
        #expect(takeAll(.main) == 0)
        for token in 1...3 {
            #expect(takeAll(.probe) == 1)
            traffic.confirmed(.probe, tag: UInt64(token), multiple: false, isAcknowledged: true, &resolved)
            #expect(became(token) == .confirmed(.routed))
        }
    }

    @Test mutating func `a connection that the broker ends in good order says nothing of its events`() {
        start([item(1)])
        for _ in 0..<10 {
            connectionEnds(Self.forced)
            #expect(takeAll(.main) == 1)
        }
        #expect(resolved.isEmpty)
    }

    @Test mutating func `an event alone in flight at repeated ends of the connection is refused with the text`() {
        start([item(1)])
        var rounds = 0
        while resolved.isEmpty, rounds < 20 {
            rounds += 1
            connectionEnds(Self.crash)
            _ = takeAll(.main)
            _ = takeAll(.probe)
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
