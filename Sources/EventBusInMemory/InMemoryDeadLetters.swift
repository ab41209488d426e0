import EventBus

/// The dead letters of one group in an ``InMemoryBroker``, or the delayed events that found no queue.
struct InMemoryDeadLetters: DeadLetterQueue {
    let broker: InMemoryBroker
    let place: DeadLetterPlace

    func count() async throws -> Int {
        broker.step { state, _ in state[place].entries.count }
    }

    func entries(limit: Int, offset: Int) async throws -> [DeadLetter] {
        broker.step { state, _ in
            state[place].entries.dropFirst(max(0, offset)).prefix(max(0, limit)).map(\.deadLetter)
        }
    }

    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        try options.validate()
        let limit = options.limit ?? .max
        if options.dryRun { return numbers(limit: limit, where: isIncluded).count }
        var next = broker.clock.now
        var replayed = 0
        var orphans: Set<String> = []
        var topics: Set<Topic> = []
        for entry in entries {
            if replayed >= limit { break }
            guard isIncluded(entry.deadLetter) else { continue }
            if let rate = options.maximumPerSecond {
                if replayed > 0 { try await broker.clock.sleep(until: next) }
                next = broker.clock.now.advanced(by: .seconds(1) / rate)
            }
            try Task.checkCancellation()
            switch broker.step({ state, effects in
                state.replay(entry.number, of: place, to: options.queue, now: broker.clock.now, &effects)
            }) {
            case .replayed: replayed += 1
            case .gone: break
            case .queueMissing(let queue): orphans.insert(queue)
            case .unroutable(let topic): topics.insert(topic)
            }
        }
        if !topics.isEmpty {
            throw EventBusError(
                .unroutable,
                "\(replayed) delayed events were replayed; others stay, since no subscription matches these topics: "
                    + topics.map(\.rawValue).sorted().joined(separator: ", ")
            ).completing(replayed)
        }
        if !orphans.isEmpty {
            throw EventBusError(
                .notFound,
                "\(replayed) dead letters of \(place) were replayed; others stay, since these queues are gone: "
                    + orphans.sorted().joined(separator: ", ")
            ).completing(replayed)
        }
        return replayed
    }

    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        try await discard(limit: nil, where: isIncluded)
    }

    func discard(limit: Int?, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        let numbers = numbers(limit: limit ?? .max, where: isIncluded)
        return broker.step { state, _ in state[place].remove(numbers) }
    }

    func restore(_ letters: [DeadLetter]) async throws {
        guard case .group(let group) = place else {
            throw EventBusError(.unsupported, "delayed events cannot be restored; publish them again")
        }
        broker.step { state, _ in
            for var letter in letters {
                letter.group = group.text
                state[place].append(letter)
            }
        }
    }

    /// The dead letters at present. The caller's closures run outside the lock.
    private var entries: [DeadLetterStore.Entry] {
        Array(broker.step { state, _ in state[place] }.entries)
    }

    /// Returns the numbers of the oldest selected dead letters.
    private func numbers(limit: Int, where isIncluded: (DeadLetter) -> Bool) -> Set<UInt64> {
        var numbers: Set<UInt64> = []
        for entry in entries {
            if numbers.count >= limit { break }
            if isIncluded(entry.deadLetter) { numbers.insert(entry.number) }
        }
        return numbers
    }
}

/// The place of dead letters.
enum DeadLetterPlace: Hashable, Sendable, CustomStringConvertible {
    case group(ExactString)
    case unroutableDelays

    var description: String {
        switch self {
        case .group(let name): "group \(name.text.quotedForError)"
        case .unroutableDelays: "the delayed events without a queue"
        }
    }
}

/// The outcome of the replay of one dead letter.
enum ReplayStep: Sendable {
    case replayed
    /// The dead letter was replayed or discarded by somebody else.
    case gone
    case queueMissing(String)
    case unroutable(Topic)
}

extension BrokerState {
    /// The dead letters in one place.
    subscript(place: DeadLetterPlace) -> DeadLetterStore {
        get {
            switch place {
            case .group(let name): deadLetters[name] ?? DeadLetterStore()
            case .unroutableDelays: unroutableDelays
            }
        }
        _modify {
            switch place {
            case .group(let name): yield &deadLetters[name, default: DeadLetterStore()]
            case .unroutableDelays: yield &unroutableDelays
            }
        }
    }

    /// Returns a dead letter to its queue, or to another one, as a first attempt. A delayed event that found no queue is
    /// routed again.
    mutating func replay(
        _ number: UInt64,
        of place: DeadLetterPlace,
        to destination: String?,
        now: AnyClock.Instant,
        _ effects: inout Effects
    ) -> ReplayStep {
        guard let deadLetter = self[place].deadLetter(number) else { return .gone }
        if place == .unroutableDelays, destination == nil {
            let topic = deadLetter.envelope.topic
            let targets = routes.queues(for: topic)
            if targets.isEmpty { return .unroutable(topic) }
            self[place].remove(number)
            _ = route(deadLetter.envelope, to: targets, extras: nil, now: { now }, &effects)
            return .replayed
        }
        let name = destination ?? deadLetter.queue
        guard let queue = queueSlots[ExactText(name)] else { return .queueMissing(name) }
        self[place].remove(number)
        enqueue(QueuedEvent(envelope: deadLetter.envelope), to: queue, &effects)
        return .replayed
    }
}
