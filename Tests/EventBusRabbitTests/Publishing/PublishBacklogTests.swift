import ConnectionThread
import EventBus
import Testing

@testable import EventBusRabbit

/// A backlog of many events. The work for one event must not involve all of them: with a scan for each, these tests
/// would exceed the time limit of the suite.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct PublishBacklogTests {
    private typealias Machine = PublishStateMachine<Int>

    private static let count = 20_000

    private func machine() -> Machine {
        var machine = Machine(maximumCount: 1000, maximumBytes: .max)
        for id in 1...Self.count {
            machine.add(
                Machine.Item(
                    id: UInt64(id),
                    publish: AMQPPublish(exchange: "e", routingKey: "r", properties: AMQPProperties(), body: []),
                    outcome: .routed,
                    deadline: MonotonicTime(nanoseconds: UInt64(id)),
                    token: id
                )
            )
        }
        return machine
    }

    @Test func `each of many is cancelled by itself`() {
        var machine = machine()
        machine.connected()
        for _ in 0..<1000 { _ = machine.takeNext() }
        var resolved: [Machine.Resolved] = []
        // From the end, so that no shortcut at the front helps.
        for id in (1...Self.count).reversed() { machine.cancel(UInt64(id), &resolved) }
        #expect(resolved.count == Self.count)
        #expect(resolved.count { $0.resolution == .indeterminate } == 1000)
        #expect(machine.waitingCount == 0)
    }

    @Test func `each of many runs out of time by itself`() {
        var machine = machine()
        var resolved: [Machine.Resolved] = []
        var rounds = 0
        while let deadline = machine.earliestDeadline {
            machine.expire(at: deadline, &resolved)
            rounds += 1
        }
        #expect(rounds == Self.count)
        #expect(resolved.map(\.token) == Array(1...Self.count))
    }

    @Test func `confirmed events leave no deadlines behind`() {
        var machine = Machine(maximumCount: 10, maximumBytes: .max)
        machine.connected()
        var resolved: [Machine.Resolved] = []
        for id in 1...Self.count {
            machine.add(
                Machine.Item(
                    id: UInt64(id),
                    publish: AMQPPublish(exchange: "e", routingKey: "r", properties: AMQPProperties(), body: []),
                    outcome: .routed,
                    deadline: MonotonicTime(nanoseconds: UInt64(id)),
                    token: id
                )
            )
            _ = machine.takeNext()
            machine.confirmed(tag: UInt64(id), multiple: false, isAcknowledged: true, &resolved)
        }
        #expect(resolved.count == Self.count)
        var left = 0
        while let deadline = machine.earliestDeadline {
            machine.expire(at: deadline, &resolved)
            left += 1
        }
        #expect(left <= 66)
        #expect(resolved.count == Self.count)
    }

    @Test(arguments: 0..<100)
    func `a line keeps its order, whoever leaves it`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var line = PublishBacklog<UInt64>()
        var model: [UInt64] = []
        var last: UInt64 = 100
        for _ in 0..<500 {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1:
                last += UInt64.random(in: 1...3, using: &generator)
                line.insert(last, id: last, size: 1)
                model.append(last)
            case 2:
                let id = UInt64.random(in: 1...last, using: &generator)
                if !model.contains(id) {
                    line.insert(id, id: id, size: 1)
                    model = (model + [id]).sorted()
                }
            case 3:
                #expect(line.popFirst() == model.first)
                if !model.isEmpty { model.removeFirst() }
            case 4:
                let id = model.randomElement(using: &generator) ?? 1
                #expect(line.remove(id) == model.first { $0 == id })
                model.removeAll { $0 == id }
            default:
                let taken = line.removeAll { $0 % 7 == 0 }
                #expect(taken == model.filter { $0 % 7 == 0 })
                model.removeAll { $0 % 7 == 0 }
            }
            #expect(line.count == model.count)
        }
        var rest: [UInt64] = []
        line.forEach { rest.append($0) }
        #expect(rest == model)
    }
}
