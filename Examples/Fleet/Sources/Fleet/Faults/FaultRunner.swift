import Foundation
import Glibc
import ShopData
import Synchronization
import TerminalText

/// Applies a ``Disturbance`` to the fleet and records it.
///
/// If the last order is placed early, the runner applies no further disturbance and starts the members that are down.
final class FaultRunner: Sendable {
    private let fleet: Fleet
    private let till: LoadGenerator
    private let display: ProgressDisplay?
    private let start: ContinuousClock.Instant
    private let record = Mutex<[FleetEvent]>([])
    private let exits = Mutex<[String]>([])

    init(_ fleet: Fleet, till: LoadGenerator, start: ContinuousClock.Instant, reporting display: ProgressDisplay?) {
        self.fleet = fleet
        self.till = till
        self.start = start
        self.display = display
    }

    /// The events so far.
    var events: [FleetEvent] { record.withLock { $0 } }

    /// The services that did not exit with 0 when they were asked to.
    var badExits: [String] { exits.withLock { $0 } }

    /// Applies a disturbance. Returns when everything is running again.
    ///
    /// - Parameter window: The time that placing the orders takes.
    func run(_ disturbance: Disturbance, within window: Duration) async throws {
        switch disturbance {
        case .none:
            return
        case .chaos(let seed, let strikes):
            let members = fleet.members
            let plan = ChaosPlan(seed: seed, members: members.map(\.name), count: strikes, within: window)
            try await withThrowingTaskGroup { group in
                for member in members {
                    let own = plan.strikes.filter { $0.member == member.name }
                    group.addTask { for strike in own { try await self.strike(member, strike) } }
                }
                try await group.waitForAll()
            }
        case .rolling:
            try await pause(until: window * 0.1)
            for service in fleet.services where !till.isClosed { try await roll(service) }
        case .rabbitMQStop(let duration):
            try await pause(until: (window - duration) * 0.3)
            if !till.isClosed { try await stopRabbitMQ(for: duration) }
        }
    }

    private func strike(_ member: any FleetMember, _ strike: ChaosPlan.Strike) async throws {
        try await pause(until: strike.at)
        if till.isClosed { return }
        try await member.kill()
        note(member.name, .killed)
        try await pause(until: now + strike.downFor)
        try await member.restart()
        note(member.name, .started)
    }

    private func roll(_ service: ServiceProcess) async throws {
        let status = try await service.terminate()
        note(service.name, .stopped)
        if status != .exited(0) { exits.withLock { $0.append("\(service.name) ended with \(status) on SIGTERM") } }
        try await service.restart()
        try await fleet.ready(service)
        note(service.name, .started)
    }

    private func stopRabbitMQ(for duration: Duration) async throws {
        let end = now + duration
        till.setOutage(true)
        try await fleet.brokers.stopRabbitMQ()
        note("rabbitmq", .stopped)
        try await pause(until: end)
        till.setOutage(false)
        try await fleet.brokers.restartRabbitMQ()
        note("rabbitmq", .started)
    }

    private var now: Duration { start.duration(to: .now) }

    /// Waits until a time of the run, or until order placement is closed.
    private func pause(until moment: Duration) async throws {
        while now < moment && !till.isClosed {
            try await Task.sleep(for: min(.milliseconds(20), max(.zero, moment - now)))
        }
    }

    private func note(_ member: String, _ kind: FleetEvent.Kind) {
        let event = FleetEvent(
            member: member,
            kind: kind,
            at: now,
            time: Int64(Date.now.timeIntervalSince1970 * 1_000_000)
        )
        record.withLock { $0.append(event) }
        guard let display else { return }
        display.clear()
        StandardError.line("\(event.at.seconds) s: \(member) \(kind.rawValue)")
    }
}
