/// An endless series of faults that is the same for the same seed.
package struct FaultSchedule: Sequence, IteratorProtocol {
    /// A pause, followed by one or two faults at once.
    package struct Step: Hashable, Sendable {
        /// The time without a fault before this step, in milliseconds.
        package var pause: Int
        /// The faults.
        package var faults: [Fault]
    }

    /// The workers that may be killed, stopped and restarted.
    private let workers: [String]
    private let kinds: [Fault.Kind]
    private var generator: SeededGenerator
    /// The kinds that are drawn next, so that all kinds are equally frequent.
    private var bag: [Fault.Kind] = []

    /// Creates the series of a seed.
    package init(seed: UInt64, workers: [String], kinds: [Fault.Kind] = Fault.Kind.allCases) {
        self.workers = workers
        self.kinds = kinds
        generator = SeededGenerator(seed: seed)
    }

    /// Returns the next step.
    package mutating func next() -> Step? {
        guard !kinds.isEmpty else { return nil }
        let pause = Int.random(in: 1_500...4_000, using: &generator)
        var faults = [draw()]
        if Int.random(in: 0..<4, using: &generator) == 0 {
            let second = draw()
            if Self.canCoincide(faults[0], second) { faults.append(second) }
        }
        return Step(pause: pause, faults: faults)
    }

    /// Returns a Boolean value indicating whether two faults can happen at the same time: they affect different
    /// processes, and neither needs a broker that the other takes away.
    private static func canCoincide(_ one: Fault, _ other: Fault) -> Bool {
        func usesRabbit(_ fault: Fault) -> Bool {
            switch fault.kind {
            case .redisKill, .redisPause, .workerKill, .workerPause, .workerRestart: false
            case .connectionsReset, .connectionCut, .latency, .throttle, .oneWayLoss: false
            default: true
            }
        }
        return one.kind != other.kind && !(usesRabbit(one) && usesRabbit(other))
            && (one.target.isEmpty || one.target != other.target)
    }

    private mutating func draw() -> Fault {
        if bag.isEmpty { bag = kinds.shuffled(using: &generator) }
        let kind = bag.removeLast()
        func time(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        func pick(_ names: [String]) -> String { names.randomElement(using: &generator) ?? "" }
        let groups = SoakTopic.allCases.map(\.group)
        switch kind {
        case .rabbitKill: return Fault(kind, milliseconds: time(0...2_000))
        // Up to beyond the time after which heartbeats end the connections.
        case .rabbitPause: return Fault(kind, milliseconds: time(500...14_000))
        // Longer than a lease: a lock requires that from a server that restarts empty.
        case .redisKill: return Fault(kind, milliseconds: time(4_000...6_000))
        case .redisPause: return Fault(kind, milliseconds: time(500...6_000))
        case .workerKill: return Fault(kind, target: pick(workers), milliseconds: time(0...1_500))
        case .workerPause: return Fault(kind, target: pick(workers), milliseconds: time(500...14_000))
        case .workerRestart: return Fault(kind, target: pick(workers), milliseconds: time(0...3_000))
        case .connectionsReset: return Fault(kind, target: pick(["rabbitmq", "redis"]))
        case .connectionCut:
            return Fault(kind, target: pick(["rabbitmq", "redis"]), milliseconds: 2_000, amount: time(1...20_000))
        case .latency:
            return Fault(
                kind,
                target: pick(["rabbitmq", "redis"]),
                milliseconds: time(2_000...5_000),
                amount: time(5...300)
            )
        case .throttle:
            return Fault(kind, target: "rabbitmq", milliseconds: time(2_000...5_000), amount: time(5_000...50_000))
        case .oneWayLoss:
            let direction = Int.random(in: 1...2, using: &generator)
            return Fault(
                kind,
                target: pick(["rabbitmq", "redis"]),
                milliseconds: time(1_000...14_000),
                amount: direction
            )
        case .memoryAlarm: return Fault(kind, milliseconds: time(1_000...6_000))
        case .passwordChanged: return Fault(kind)
        case .policySet: return Fault(kind, target: pick(groups), milliseconds: time(1_000...4_000))
        case .queueDeleted, .bindingDeleted, .deadLettersDeleted: return Fault(kind, target: pick(groups))
        case .exchangeDeleted: return Fault(kind)
        case .delayLevelDeleted: return Fault(kind, amount: time(1...6))
        }
    }
}
