import EventBusClaimCheck
import EventBusEncryption
import EventBusGzip
import EventBusRabbit
import EventBusTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

@testable import EventBus

/// A virtual host with the services of two groups, and a peer whose broker user may only write to the exchange of
/// events, with topics that begin with `hostile.public.`.
struct HostileScene {
    struct Note: Event {
        static let topic: Topic = "hostile.public.note"
        var number: Int
    }

    struct Question: RequestEvent {
        typealias Reply = Int
        static let topic: Topic = "hostile.public.question"
        var number: Int
    }

    struct Failing: Event {
        static let topic: Topic = "hostile.public.failing"
        var number: Int
    }

    /// An event that a handler publishes for each event that it receives. It has no subscription.
    struct Effect: Event {
        static let topic: Topic = "hostile.effect"
        var number: Int
    }

    struct Keyed: Event {
        static let topic: Topic = "hostile.public.keyed"
        var number: Int
    }

    /// An event for the queue that has no consumer during the attack.
    struct Absent: Event {
        static let topic: Topic = "hostile.public.absent"
        var number: Int
    }

    /// An event that is delivered again while it is handled.
    struct Redelivered: Event {
        static let topic: Topic = "hostile.public.redelivered"
        var number: Int
    }

    /// The topics that the peer publishes to.
    static let topics = [Note.topic, Question.topic, Failing.topic, Keyed.topic, Absent.topic].map(\.rawValue)
    /// The queue that has no consumer during the attack.
    static let absent = "attacked.absent"

    /// Returns the only topic of a subscription, or `nil` if it receives all.
    static func topic(of subscription: String) -> Topic? {
        switch subscription {
        case "all", "bytes": nil
        case "failing", "failing-batch": Failing.topic
        case "keyed": Keyed.topic
        case "question": Question.topic
        case "absent": Absent.topic
        case "redelivered": Redelivered.topic
        default: Note.topic
        }
    }
    static let concurrency = 8

    let group = "attacked"
    let victim = "victim"
    /// The queue of another system.
    let vault = "vault"
    let host = freshName("hostile")
    let broker: TestBroker
    let configuration: RabbitConfiguration
    let peer: HostilePeer
    let bus: EventBus
    /// The bus of another service of the group, with payload steps and a claim check.
    let decodingBus: EventBus
    let victimBus: EventBus
    /// The bus of a service of the attacked group that is not running during the attack.
    let absentBus: EventBus
    let logs = InMemoryLogHandler()
    let sightings = HostileSightings()
    /// The events that the transport of the attacked bus reports to its observers.
    let changes: TransportChanges

    /// The maximum size of a payload after its decompression.
    static let maximumSize = 64 << 10
    /// The body of another event, which is in the store, and its name there.
    static let storedBody = Array(#"{"number":1234567}"#.utf8)
    static let storedName = ClaimCheckName(of: storedBody, event: "another event")
    private let bodyFolder: BodyFolder

    /// Payloads that are harmful in an encoding: names of bodies that are none, leave the folder or belong to another
    /// event, a small one that decompresses to a large one, and damaged ones.
    static func bodies() throws -> [[UInt8]] {
        var bomb = Envelope(topic: Note.topic, payload: [UInt8](repeating: 0x20, count: maximumSize + 1))
        #expect(try GzipStep(minimumSize: 0).encode(&bomb) && bomb.payload.count < 1000)
        let traversal = String(repeating: "../", count: 20) + "dev/"
        return [
            bomb.payload, Array(bomb.payload.dropLast(9)), bomb.payload + bomb.payload, [0x1F, 0x8B],
            Array(storedName.rawValue.utf8), Array(traversal.utf8), [UInt8](repeating: UInt8(ascii: "0"), count: 64),
            Array(storedName.rawValue.uppercased().utf8), [UInt8](repeating: 0, count: 64), [],
        ]
    }

    /// The names of objects that the peer may not reach.
    static let targets = ["victim.payments", "victim.dead", "vault", "hostile.admin.payment", "attacked.note"]

    init() async throws {
        bodyFolder = try BodyFolder()
        broker = try await TestBroker.shared()
        try await broker.addVirtualHost(host)
        let user = freshName("peer")
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", "-p", host, user, "^$", "^events$", "^$")
        try await broker.control(
            "set_topic_permissions",
            "-p",
            host,
            user,
            "events",
            #"^hostile\.public\."#,
            "^$"
        )
        let host = host
        let configuration = try broker.configuration { $0.virtualHost = host }
        var foreign = configuration
        foreign.credentials = .init(user: user, password: "secret")
        self.configuration = configuration
        peer = HostilePeer(configuration: foreign)
        let logs = logs
        func logger() -> Logger {
            var logger = Logger(label: "hostile", factory: { _ in logs })
            logger.logLevel = .trace
            return logger
        }
        let transport = try RabbitTransport(configuration, logger: logger())
        changes = TransportChanges(transport.events())
        bus = EventBus(transport: transport, logger: logger())
        var decoding = EventBusConfiguration()
        decoding.payloadSteps = [GzipStep(maximumSize: Self.maximumSize)]
        decoding.additionalPayloadSteps = [try EncryptionStep(key: .random(id: "known"))]
        let store = try FileClaimCheckStore(directory: bodyFolder.path)
        try await store.put(Self.storedBody, named: Self.storedName)
        decoding.claimCheck = ClaimCheck(store: store)
        decodingBus = try EventBus(
            transport: .rabbit(configuration, logger: logger()),
            configuration: decoding,
            logger: logger()
        )
        victimBus = try EventBus(transport: .rabbit(configuration, logger: logger()), logger: logger())
        absentBus = try EventBus(transport: .rabbit(configuration, logger: logger()), logger: logger())
        let queue = QueueSpecification(
            group: group,
            name: "absent",
            patterns: [TopicPattern(Absent.topic)],
            prefetch: 16
        )
        try await RabbitTransport.declareTopology(for: [queue], on: configuration)
    }

    /// Closes all connections of the virtual host, as an administrator may.
    func cutConnections() async throws {
        try await broker.control("close_all_connections", "--vhost", host, "cut")
    }

    /// Subscribes the attacked group by type, by pattern, by key, in batches, with an inbox, with an identity of its
    /// own, with payload steps, with a responder, and with handlers that fail, and the other group to its own topic.
    func subscribe() {
        let sightings = sightings
        let options = SubscriptionOptions(
            concurrency: Self.concurrency,
            retry: .fixed(.milliseconds(100), maximumAttempts: 2),
            maximumDeferral: .milliseconds(500)
        )
        bus.subscribe(to: Note.self, group: group, name: "note", options: options) { note, context in
            sightings.see(note.number, context)
        }
        bus.subscribe(to: "hostile.public.#", group: group, name: "all", options: options) { event, context in
            sightings.see(HostileSightings.number(in: event.envelope), context)
        }
        var deduplicating = options
        deduplicating.inbox = CompletedEvents()
        bus.subscribe(to: Note.self, group: group, name: "inbox", options: deduplicating) { note, context in
            sightings.see(note.number, context)
        }
        var identified = deduplicating
        identified.identity = .field("number")
        bus.subscribe(to: Note.self, group: group, name: "identified", options: identified) { note, context in
            sightings.see(note.number, context, id: "\(note.number)")
        }
        bus.subscribe(
            toBatchesOf: Note.self,
            group: group,
            name: "batch",
            maximumCount: Self.concurrency,
            within: .milliseconds(20),
            options: options
        ) { batch in
            for note in batch { sightings.see(note.event.number, note.context) }
        }
        decodingBus.subscribe(to: Note.self, group: group, name: "decoded", options: options) { note, context in
            sightings.see(note.number, context)
        }
        decodingBus.subscribe(to: "hostile.public.#", group: group, name: "bytes", options: options) { event, context in
            sightings.see(HostileSightings.number(in: event.envelope), context)
        }
        var chained = options
        chained.breaker = CircuitBreaker(minimumAttempts: 1)
        let bus = bus
        bus.subscribe(to: "hostile.public.note", group: group, name: "chained", options: chained) { event, context in
            sightings.see(HostileSightings.number(in: event.envelope), context)
            let headers: EventHeaders = ["large": .bytes([UInt8](repeating: 0, count: 60_000))]
            let effect = Effect(number: HostileSightings.number(in: event.envelope) ?? -1)
            try await bus.publish(effect, options: PublishOptions(headers: headers))
        }
        bus.subscribe(to: Redelivered.self, group: group, name: "redelivered", options: options) { event, context in
            sightings.see(event.number, context)
            await sightings.hold()
        }
        absentBus.subscribe(to: Absent.self, group: group, name: "absent", options: options) { event, context in
            sightings.see(event.number, context)
        }
        var keyed = options
        keyed.ordering = .byPartitionKey
        bus.subscribe(to: Keyed.self, group: group, name: "keyed", options: keyed) { event, context in
            sightings.see(event.number, context)
        }
        bus.subscribe(to: Failing.self, group: group, name: "failing", options: options) { event, context in
            sightings.see(event.number, context)
            if !sightings.isHealed { throw HostileSightings.Refused(context) }
        }
        bus.subscribe(
            toBatchesOf: Failing.self,
            group: group,
            name: "failing-batch",
            maximumCount: Self.concurrency,
            within: .milliseconds(20),
            options: options
        ) { batch in
            for event in batch {
                sightings.see(event.event.number, event.context)
                if !sightings.isHealed { event.fail(HostileSightings.Refused(event.context)) }
            }
        }
        bus.respond(to: Question.self, group: group, name: "question", options: options) { question, context in
            sightings.see(question.number, context)
            if question.number.isMultiple(of: 3) { throw HostileSightings.Refused(context) }
            return question.number
        }
        victimBus.subscribe(to: "hostile.admin.#", group: victim, name: "payments", options: options) {
            event,
            context in
            sightings.see(HostileSightings.number(in: event.envelope), context)
        }
    }

    /// Runs both buses of the attacked group while `body` does.
    func withAttackedRunning(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await bus.withRunning { try await decodingBus.withRunning { try await body() } }
    }

    /// The number of connections that the attacked bus has had for its publishes.
    var publishConnections: Int? {
        bus.health().components.first { $0.name.hasSuffix(".publish") }?.details["connections"]
    }

    /// Returns the number of messages in every queue of the virtual host.
    func queues() async throws -> [String: Int] {
        let text = try await broker.control("list_queues", "-p", host, "--no-table-headers", "name", "messages")
        var queues: [String: Int] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            if fields.count == 2, let count = Int(fields[1]) { queues[String(fields[0])] = count }
        }
        return queues
    }

    /// Waits until no event of the attacked group waits for a retry or in a subscription's queue, or is being handled.
    func drained() async throws {
        // The numbers that come with the names are some seconds old.
        let names = try await queues().keys.filter { name in
            (name.hasPrefix("\(group).") && name != "\(group).dead")
                || (name.hasPrefix("eventbus.delay.") && !name.hasSuffix(".unroutable"))
        }
        @Sendable func isIdle() -> Bool {
            [bus, decodingBus, absentBus].flatMap { $0.health().components }
                .filter { $0.name.hasPrefix("subscription.") }
                .allSatisfy { subscription in
                    ["running", "waiting", "held"].allSatisfy { subscription.details[$0, default: 0] == 0 }
                }
        }
        try await eventually("drained", within: .seconds(60)) {
            guard isIdle() else { return false }
            let waiting = try await RawClient.run(configuration) { client in
                try names.reduce(0) { try $0 + (client.count(queue: $1) ?? 0) }
            }
            return waiting == 0 && isIdle()
        }
    }
}

/// The events that handlers have seen, and the contradictions in them.
final class HostileSightings: Sendable {
    private struct State {
        var attempts: [String: Int] = [:]
        var order: [String: [Int]] = [:]
        var messages: [Int: (topic: String, id: String?, claimsDeath: Bool)] = [:]
        var violations: [String] = []
        var isHealed = false
        /// The numbers of the dead letters that are being replayed, by the names of their subscriptions, or `nil` if none
        /// is.
        var replayed: [String: Set<Int>]?
        /// The gate at which handlers wait, and the number of those that have reached it.
        var gate: (gate: Gate, reached: Int)?
    }

    private let state = Locked(State())

    /// The error of a handler that quotes everything foreign that it received.
    struct Refused: Error, CustomStringConvertible {
        var description: String

        init(_ context: EventContext) {
            description = "refused \(context.id.rawValue) \(context.envelope) \(context.headers)"
        }
    }

    /// A Boolean value indicating whether the failing handler succeeds now.
    var isHealed: Bool { state.withLock { $0.isHealed } }
    /// The contradictions.
    var violations: [String] { state.withLock { $0.violations } }

    /// Records the true topics and ids of messages before they are sent.
    func expect(_ messages: some Sequence<HostileMessage>) {
        state.withLock { state in
            for message in messages {
                state.messages[message.number] = (message.topic, message.eventID, message.claimsDeath)
            }
        }
    }

    /// Lets handlers wait at a gate from now on.
    func close(_ gate: Gate) { state.withLock { $0.gate = (gate, 0) } }

    /// The number of handlers that have reached the gate.
    var reached: Int { state.withLock { $0.gate?.reached ?? 0 } }

    /// Waits at the gate.
    func hold() async {
        let gate = state.withLock { state in
            state.gate?.reached += 1
            return state.gate?.gate
        }
        await gate?.pass()
    }

    /// Returns the true topic of a message.
    func topic(of number: Int) -> String? { state.withLock { $0.messages[number]?.topic } }

    /// Lets the failing handler succeed.
    func heal() { state.withLock { $0.isHealed = true } }

    /// Forgets the attempts so far, because a replayed event begins with the first one, and expects only these dead letters,
    /// each in the subscription that it is from.
    func beginReplay(of letters: [DeadLetter]) {
        var replayed: [String: Set<Int>] = [:]
        for letter in letters {
            let name = String(letter.queue.drop { $0 != "." }.dropFirst())
            if let number = Self.number(in: letter.envelope) { replayed[name, default: []].insert(number) }
        }
        state.withLock { state in
            state.attempts = [:]
            state.replayed = replayed
        }
    }

    /// A Boolean value indicating whether a replayed event has failed and was handled a second time.
    var hasRetriedReplayed: Bool {
        state.withLock { state in state.replayed != nil && state.attempts.values.contains(2) }
    }

    /// Returns the numbers of the events that a subscription has begun to handle, in order. That of a forged payload is
    /// -1.
    func order(of subscription: String) -> [Int] { state.withLock { $0.order[subscription] ?? [] } }

    /// Returns the number in the payload of an event, or `nil` if the payload is forged.
    static func number(in envelope: Envelope) -> Int? {
        let text = String(decoding: envelope.payload, as: UTF8.self)
        guard text.hasPrefix(#"{"number":"#), text.hasSuffix("}") else { return nil }
        return Int(text.dropFirst(#"{"number":"#.count).dropLast())
    }

    /// Records an event in a handler.
    ///
    /// - Parameters:
    ///   - number: The number in its payload, or `nil` if the payload is forged.
    ///   - id: The id that the subscription derives, or `nil` if it is that of the publisher.
    func see(_ number: Int?, _ context: EventContext, id: String? = nil) {
        context.logger.info("seen", metadata: ["type": "\(context.envelope.topic)"])
        state.withLock { state in
            let name = context.subscription.name
            let key = "\(name) \(number.map { "\($0)" } ?? "forged \(context.id)")"
            if context.envelope.payload.count > HostileScene.maximumSize {
                state.violations.append("\(key): too large")
            }
            guard let number else { return state.order[name, default: []].append(-1) }
            guard let message = state.messages[number] else {
                return state.violations.append("\(key): the body of another event")
            }
            if let replayed = state.replayed, replayed[name]?.contains(number) != true {
                state.violations.append("\(key): not a dead letter of this subscription")
            }
            // The broker keeps what the publisher left out of a record that it began, and the topic with it.
            if message.topic != context.topic.rawValue, context.topic != "eventbus.no-topic" || !message.claimsDeath {
                state.violations.append("\(key): the topic \(context.topic)")
            }
            let seen = context.id.rawValue
            if let expected = id ?? message.id, seen != expected {
                state.violations.append("\(key): the id \(context.id)")
            }
            if seen.utf8.count > EventID.maximumLength { state.violations.append("\(key): a long id") }
            // A letter that fails again during a replay may be replayed again, and an attempt whose outcome the broker did
            // not confirm in time is delivered again.
            let last = state.attempts[key, default: 0]
            if ![1, last, last + 1].contains(context.attempt) {
                state.violations.append("\(key): attempt \(context.attempt) after \(last)")
            }
            state.attempts[key] = context.attempt
            state.order[name, default: []].append(number)
        }
    }
}

/// An inbox that remembers completed events. Each is claimed at once.
private actor CompletedEvents: Inbox {
    private var completed: Set<InboxKey> = []
    private var fence: UInt64 = 0

    func begin(_ key: InboxKey, lease: Duration) -> InboxDecision {
        if completed.contains(key) { return .completed }
        fence += 1
        return .new(InboxClaim(key: key, fence: fence))
    }

    func renew(_ claim: InboxClaim, lease: Duration) {}

    func complete(_ claim: InboxClaim, retention: Duration) { completed.insert(claim.key) }

    func abandon(_ claim: InboxClaim) {}
}

/// A folder for the bodies of large events, which is removed with this object.
private final class BodyFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/eventbus-bodies.XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        unlink("\(path)/\(HostileScene.storedName)")
        rmdir(path)
    }
}

/// The changes that a transport has reported.
final class TransportChanges: Sendable {
    private let changes = Locked<[TransportEvent]>([])

    var all: [TransportEvent] { changes.withLock { $0 } }

    init(_ events: AsyncStream<TransportEvent>) {
        Task { for await event in events { self.changes.withLock { $0.append(event) } } }
    }
}
