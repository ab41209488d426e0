import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct ReconnectStateMachineTests {
    private let hosts = [RabbitConfiguration.Host("a"), .init("b"), .init("c")]
    private let reconnect = ReconnectDelays(initial: .milliseconds(100), maximum: .seconds(1))
    private let unreachable = AMQPFailure(.connectFailed, "refused")

    @Test func `all hosts are tried before the first wait`() {
        var machine = ReconnectStateMachine(hosts: hosts, reconnect: reconnect)
        var generator = SplitMix64(seed: 1)
        var tried: [String] = []
        for _ in hosts {
            guard case .connect(let host) = machine.next(using: &generator) else { break }
            tried.append(host.name)
            #expect(machine.failed(unreachable) == true)
        }
        #expect(tried.sorted() == ["a", "b", "c"])
        guard case .wait = machine.next(using: &generator) else {
            Issue.record("no wait after the last host")
            return
        }
    }

    @Test func `a refused connection is tried again if another one of the transport was accepted before`() {
        for wasConnected in [true, false] {
            var machine = ReconnectStateMachine(hosts: [hosts[0]], reconnect: reconnect, wasConnected: wasConnected)
            var generator = SplitMix64(seed: 1)
            var isTriedAgain = true
            for _ in 0..<10 where isTriedAgain {
                guard case .connect = machine.next(using: &generator) else { continue }
                isTriedAgain = machine.failed(AMQPFailure(.connectionClosed(403), "ACCESS_REFUSED"))
            }
            #expect(isTriedAgain == wasConnected)
        }
    }

    @Test func `the order of hosts differs from one machine to the next`() {
        let orders = (0..<40).map { seed -> String in
            var machine = ReconnectStateMachine(hosts: hosts, reconnect: reconnect)
            var generator = SplitMix64(seed: UInt64(seed))
            return hosts.map { _ in
                guard case .connect(let host) = machine.next(using: &generator) else { return "-" }
                _ = machine.failed(unreachable)
                return host.name
            }.joined()
        }
        #expect(Set(orders).count > 3)
    }

    @Test func `the bound of the waits doubles to its maximum, and the waits spread below it`() {
        var bounds: [Duration] = []
        for round in 1...6 {
            var longest = Duration.zero
            var shortest = Duration.seconds(9)
            for seed in 0..<100 {
                var machine = ReconnectStateMachine(hosts: [hosts[0]], reconnect: reconnect)
                var generator = SplitMix64(seed: UInt64(seed))
                var waited = Duration.zero
                for _ in 0..<round {
                    while case .wait = machine.next(using: &generator) {}
                    _ = machine.failed(unreachable)
                    if case .wait(let duration) = machine.next(using: &generator) { waited = duration }
                }
                longest = max(longest, waited)
                shortest = min(shortest, waited)
            }
            bounds.append(longest)
            #expect(shortest < longest / 4)
        }
        let expected: [Duration] = [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) }
        for (bound, limit) in zip(bounds, expected) {
            #expect(bound <= limit)
            #expect(bound > limit / 2)
        }
    }

    private static let refused = AMQPFailure(.connectionClosed(AMQPFailure.accessRefused), "no")

    /// Records an answer of every host, in the order in which they are tried. Returns whether another round is useful.
    private func round(_ machine: inout ReconnectStateMachine, _ failures: [AMQPFailure]) -> Bool {
        var generator = SplitMix64(seed: 1)
        var goesOn = true
        for failure in failures {
            while case .wait = machine.next(using: &generator) {}
            goesOn = machine.failed(failure)
        }
        return goesOn
    }

    @Test func `a user whom every host refuses ends it after three rounds, and not once it was connected`() {
        var machine = ReconnectStateMachine(hosts: hosts, reconnect: reconnect)
        let all = hosts.map { _ in Self.refused }
        #expect(round(&machine, all))
        #expect(round(&machine, all))
        #expect(!round(&machine, all))
        machine.connected()
        machine.lost(after: .seconds(60))
        for _ in 0..<5 { #expect(round(&machine, all)) }
    }

    @Test(arguments: [
        AMQPFailure(.connectFailed, "timeout"),
        AMQPFailure(.connectionClosed(530), "NOT_ALLOWED - access to vhost '/' refused: connection limit (1)"),
        AMQPFailure(.connectionClosed(541), "INTERNAL_ERROR"),
    ])
    func `a host that fails otherwise keeps it going`(failure: AMQPFailure) {
        var machine = ReconnectStateMachine(hosts: hosts, reconnect: reconnect)
        for _ in 0..<10 { #expect(round(&machine, [Self.refused, failure, Self.refused])) }
    }

    @Test func `a connection that held sets the bound back, one that broke at once does not`() {
        func waitAfterLoss(of duration: Duration) -> Duration {
            var longest = Duration.zero
            for seed in 0..<100 {
                var machine = ReconnectStateMachine(hosts: [hosts[0]], reconnect: reconnect)
                var generator = SplitMix64(seed: UInt64(seed))
                for _ in 0..<4 { machine.lost(after: .milliseconds(1)) }
                machine.connected()
                machine.lost(after: duration)
                if case .wait(let wait) = machine.next(using: &generator) { longest = max(longest, wait) }
            }
            return longest
        }
        #expect(waitAfterLoss(of: .seconds(60)) <= .milliseconds(100))
        #expect(waitAfterLoss(of: .milliseconds(1)) > .milliseconds(500))
    }
}
