import EventBus

/// The dead letters of one group in an ``InMemoryBroker``.
struct InMemoryDeadLetters: DeadLetterQueue {
    let broker: InMemoryBroker
    let group: String

    func count() async throws -> Int {
        broker.look { state in state.deadLetters[ExactText(group)]?.entries.count ?? 0 }
    }

    func entries(limit: Int) async throws -> [DeadLetter] {
        broker.look { state in
            state.deadLetters[ExactText(group)]?.entries.prefix(max(0, limit)).map(\.deadLetter) ?? []
        }
    }

    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        if let rate = options.maximumPerSecond, rate < 1 {
            throw EventBusError(.invalidConfiguration, "maximumPerSecond is \(rate); give at least 1, or nil")
        }
        let numbers = numbers(where: isIncluded)
        if options.dryRun { return numbers.count }
        var next = broker.clock.now
        var replayed = 0
        var orphans: Set<String> = []
        for number in numbers {
            if let rate = options.maximumPerSecond {
                if replayed > 0 { try await broker.clock.sleep(until: next) }
                next = broker.clock.now.advanced(by: .seconds(1) / rate)
            }
            try Task.checkCancellation()
            switch broker.step({ state, effects in state.replay(number, of: group, &effects) }) {
            case .replayed: replayed += 1
            case .gone: break
            case .queueMissing(let queue): orphans.insert(queue)
            }
        }
        if !orphans.isEmpty {
            throw EventBusError(
                .notFound,
                "\(replayed) dead letters of group \(group.quotedForError) were replayed; others stay, since these "
                    + "queues are gone: \(orphans.sorted().joined(separator: ", "))"
            )
        }
        return replayed
    }

    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        let numbers = Set(numbers(where: isIncluded))
        return broker.step { state, _ in state.deadLetters[ExactText(group)]?.remove(numbers) ?? 0 }
    }

    /// The numbers of those that the caller wants; its code runs outside the lock.
    private func numbers(where isIncluded: (DeadLetter) -> Bool) -> [UInt64] {
        guard let store = broker.look({ state in state.deadLetters[ExactText(group)] }) else { return [] }
        return store.entries.filter { isIncluded($0.deadLetter) }.map(\.number)
    }
}

/// How the replay of one dead letter went.
enum ReplayStep: Sendable {
    case replayed
    /// Someone else replayed or discarded it.
    case gone
    case queueMissing(String)
}

extension BrokerState {
    /// Puts a dead letter back into its queue as a first attempt.
    mutating func replay(_ number: UInt64, of group: String, _ effects: inout Effects) -> ReplayStep {
        guard let deadLetter = deadLetters[ExactText(group)]?.deadLetter(number) else { return .gone }
        guard let queue = queueSlots[ExactText(deadLetter.queue)] else { return .queueMissing(deadLetter.queue) }
        deadLetters[ExactText(group)]?.remove(number)
        enqueue(QueuedEvent(envelope: deadLetter.envelope), to: queue, &effects)
        return .replayed
    }
}
