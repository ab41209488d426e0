import ConnectionThread
import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct PublishStateMachineTests {
    private typealias Machine = PublishStateMachine<Int>

    private var machine = Machine(maximumCount: 3, maximumBytes: 10_000)

    private func item(
        _ id: UInt64,
        messageID: String? = nil,
        size: Int = 1,
        deadline: UInt64 = 100,
        isResent: Bool = true
    ) -> Machine.Item {
        var properties = AMQPProperties()
        properties.messageID = messageID ?? "m\(id)"
        return Machine.Item(
            id: id,
            publish: AMQPPublish(
                exchange: "e",
                routingKey: "r\(id)",
                properties: properties,
                body: [UInt8](repeating: 0, count: size)
            ),
            outcome: .routed,
            deadline: MonotonicTime(nanoseconds: deadline),
            isResent: isResent,
            token: Int(id)
        )
    }

    private func resolutions(_ resolved: [Machine.Resolved]) -> [Int: Machine.Resolution] {
        Dictionary(resolved.map { ($0.token, $0.resolution) }, uniquingKeysWith: { _, _ in .cancelled })
    }

    @Test mutating func `nothing goes out before there is a connection`() {
        machine.add(item(1))
        #expect(machine.takeNext() == nil)
        machine.connected()
        #expect(machine.takeNext()?.routingKey == "r1")
    }

    @Test mutating func `the window bounds events and bytes, and one event may exceed it alone`() {
        machine.connected()
        for id in 1...4 { machine.add(item(UInt64(id))) }
        for _ in 1...3 { #expect(machine.takeNext() != nil) }
        #expect(machine.takeNext() == nil)

        var bytes = Machine(maximumCount: 10, maximumBytes: 1000)
        bytes.connected()
        bytes.add(item(1, size: 5000))
        bytes.add(item(2))
        #expect(bytes.takeNext() != nil)
        #expect(bytes.takeNext() == nil)
        var resolved: [Machine.Resolved] = []
        bytes.confirmed(tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(bytes.takeNext()?.routingKey == "r2")
    }

    @Test mutating func `confirms come in any order, one by one or many at a time`() {
        machine.connected()
        for id in 1...3 {
            machine.add(item(UInt64(id)))
            _ = machine.takeNext()
        }
        var resolved: [Machine.Resolved] = []
        machine.confirmed(tag: 2, multiple: false, isAcknowledged: true, &resolved)
        #expect(resolutions(resolved) == [2: .confirmed(.routed)])
        machine.confirmed(tag: 3, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolved.map(\.token) == [2, 1, 3])
        #expect(machine.unconfirmed == 0)
        machine.confirmed(tag: 3, multiple: true, isAcknowledged: true, &resolved)
        machine.confirmed(tag: 99, multiple: true, isAcknowledged: true, &resolved)
        machine.confirmed(tag: 0, multiple: false, isAcknowledged: true, &resolved)
        #expect(resolved.count == 3, "a confirm of nothing resolved something")
    }

    @Test mutating func `a returned event is unroutable when its confirm comes, a refused one rejected`() {
        machine.connected()
        for id in 1...2 {
            machine.add(item(UInt64(id)))
            _ = machine.takeNext()
        }
        var resolved: [Machine.Resolved] = []
        machine.returned(messageID: "m1", exchange: "e", routingKey: "r1")
        machine.returned(messageID: "unknown", exchange: "e", routingKey: "r2")
        #expect(resolved.isEmpty)
        machine.confirmed(tag: 1, multiple: false, isAcknowledged: true, &resolved)
        machine.confirmed(tag: 2, multiple: false, isAcknowledged: false, &resolved)
        #expect(resolutions(resolved) == [1: .confirmed(.unroutable), 2: .rejected])
    }

    /// One event is sent to the dead letters of two groups, and only one of them is gone.
    @Test mutating func `a return is taken for the event that went where it says`() {
        machine.connected()
        for id in 1...2 {
            machine.add(item(UInt64(id), messageID: "same"))
            _ = machine.takeNext()
        }
        var resolved: [Machine.Resolved] = []
        machine.returned(messageID: "same", exchange: "e", routingKey: "r2")
        machine.returned(messageID: "same", exchange: "other", routingKey: "r1")
        machine.confirmed(tag: 2, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolutions(resolved) == [1: .confirmed(.routed), 2: .confirmed(.unroutable)])
    }

    @Test mutating func `what a lost connection had not confirmed goes out again first, in order`() {
        machine.connected()
        for id in 1...4 { machine.add(item(UInt64(id), isResent: id != 2)) }
        for _ in 1...3 { _ = machine.takeNext() }
        var resolved: [Machine.Resolved] = []
        machine.disconnected(&resolved)
        #expect(resolutions(resolved) == [2: .indeterminate])
        #expect(machine.takeNext() == nil)
        machine.connected()
        #expect([1, 3, 4].map { _ in machine.takeNext()?.routingKey } == ["r1", "r3", "r4"])
        machine.confirmed(tag: 3, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolved.count == 4)
    }

    @Test mutating func `a deadline tells what is known by then`() {
        var resolved: [Machine.Resolved] = []
        machine.add(item(1, deadline: 10))
        machine.connected()
        _ = machine.takeNext()
        machine.add(item(2, deadline: 10))
        machine.add(item(3, deadline: 30))
        machine.isBlocked = true
        #expect(machine.earliestDeadline == MonotonicTime(nanoseconds: 10))
        machine.expire(at: MonotonicTime(nanoseconds: 10), &resolved)
        #expect(resolutions(resolved) == [1: .indeterminate, 2: .blocked])
        machine.isBlocked = false
        machine.expire(at: MonotonicTime(nanoseconds: 30), &resolved)
        #expect(resolutions(resolved)[3] == .timedOut)
        #expect(machine.earliestDeadline == nil)
        // The late confirm matches no event.
        machine.confirmed(tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(resolved.count == 3)
        #expect(machine.unconfirmed == 0)
    }

    @Test mutating func `events that nobody waits for any more leave the window, whether they are confirmed or not`() {
        var resolved: [Machine.Resolved] = []
        machine.connected()
        for id in 1...3 { machine.add(item(UInt64(id), size: 4000, deadline: 10)) }
        // The third event waits for room, because two of them reach the limit on bytes.
        while machine.takeNext() != nil {}
        machine.add(item(4, size: 4000))
        machine.add(item(5, size: 4000))
        machine.expire(at: MonotonicTime(nanoseconds: 10), &resolved)
        #expect(machine.unconfirmed == 0)
        #expect(machine.takeNext()?.routingKey == "r4")
        #expect(machine.takeNext()?.routingKey == "r5")
        // Tags 1 and 2, of the events that were given up, still count.
        machine.confirmed(tag: 2, multiple: true, isAcknowledged: true, &resolved)
        #expect(resolved.count == 3)
        machine.confirmed(tag: 3, multiple: false, isAcknowledged: true, &resolved)
        machine.confirmed(tag: 4, multiple: false, isAcknowledged: false, &resolved)
        #expect(
            resolutions(resolved)
                == [1: .indeterminate, 2: .indeterminate, 3: .timedOut, 4: .confirmed(.routed), 5: .rejected]
        )
        #expect(machine.unconfirmed == 0)
    }

    @Test mutating func `cancelled before it was sent an event is not sent, after that its outcome is open`() {
        var resolved: [Machine.Resolved] = []
        machine.connected()
        machine.add(item(1))
        _ = machine.takeNext()
        machine.add(item(2))
        machine.cancel(1, &resolved)
        machine.cancel(2, &resolved)
        machine.cancel(7, &resolved)
        #expect(resolutions(resolved) == [1: .indeterminate, 2: .cancelled])
        #expect(machine.takeNext() == nil)
    }

    @Test mutating func `what the socket had no room for is as if it had not been taken`() {
        var resolved: [Machine.Resolved] = []
        machine.connected()
        machine.add(item(1))
        machine.add(item(2))
        _ = machine.takeNext()
        machine.putBack()
        #expect(machine.unconfirmed == 0)
        machine.cancel(1, &resolved)
        #expect(resolutions(resolved) == [1: .cancelled], "it counts as sent")
        #expect(machine.takeNext()?.routingKey == "r2")
        machine.confirmed(tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(resolutions(resolved)[2] == .confirmed(.routed))
    }

    @Test mutating func `what is larger than the broker accepts is given up, the rest goes on`() {
        var resolved: [Machine.Resolved] = []
        machine.add(item(1, size: 50))
        machine.add(item(2, size: 51))
        machine.refuse(largerThan: 50, &resolved)
        #expect(resolutions(resolved) == [2: .tooLarge])
        #expect(machine.waitingCount == 1)
    }

    /// Random histories: every token is resolved exactly once, whatever happens.
    @Test(arguments: 0..<200)
    func `every publish is resolved exactly once`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var machine = Machine(maximumCount: 4, maximumBytes: 3000)
        var resolved: [Machine.Resolved] = []
        var added: UInt64 = 0
        var taken: UInt64 = 0
        for step in 1...300 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0, 1, 2:
                added += 1
                machine.add(item(added, size: Int.random(in: 0...1500, using: &generator), deadline: UInt64(step + 40)))
            case 3, 4, 5:
                if machine.takeNext() != nil {
                    taken += 1
                    if Int.random(in: 0..<5, using: &generator) == 0 {
                        machine.putBack()
                        taken -= 1
                    }
                }
            case 6:
                let tag = UInt64.random(in: 0...(taken + 1), using: &generator)
                machine.confirmed(
                    tag: tag,
                    multiple: .random(using: &generator),
                    isAcknowledged: .random(using: &generator),
                    &resolved
                )
            case 7:
                machine.expire(at: MonotonicTime(nanoseconds: UInt64(step)), &resolved)
            case 8:
                machine.cancel(UInt64.random(in: 0...(added + 1), using: &generator), &resolved)
            default:
                machine.disconnected(&resolved)
                machine.connected()
                taken = 0
            }
            #expect(machine.unconfirmed <= 4)
        }
        machine.disconnected(&resolved)
        machine.cancelWaiting(&resolved)
        #expect(resolved.map(\.token).sorted() == Array(1...max(1, Int(added))).filter { _ in added > 0 })
    }
}
