import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// A peer that may only write to the exchange of events sends every property and header forged, one at a time and in
/// pairs.
///
/// Each run sends other pairs, which the seed that it prints draws: `EVENTBUS_HOSTILE_SEED` repeats it. With
/// `EVENTBUS_HOSTILE_PAIRS=fields` every pair of fields is sent, with `all` every pair of forgeries, which takes hours, and with
/// a number so many pairs of fields:
///
///     EVENTBUS_HOSTILE_PAIRS=fields Scripts/test --filter HostilePeerTests
@Suite(
    .serialized,
    .timeLimit(environment("EVENTBUS_HOSTILE_PAIRS") == nil ? .minutes(10) : .minutes(1000)),
    .enabled(if: TestBroker.sharedIsOurs)
)
struct HostilePeerTests {
    /// The number of events that are sent to one pair of services.
    private static let maximumMessages = 5000

    /// The number of pairs of fields in one run.
    private static let pairs = isFull ? 1000 : 300

    /// Returns each forgery alone, encodings with each body, headers that fill a frame, and pairs.
    private func combinations(_ bodies: [[UInt8]], _ generator: inout SplitMix64) -> [[Forgery]] {
        let forgeries = Forgery.all(targets: HostileScene.targets, bodies: bodies)
        var combinations = forgeries.map { [$0] } + Forgery.encoded(bodies) + Forgery.wide
        if environment("EVENTBUS_HOSTILE_PAIRS") == "all" {
            for first in forgeries { combinations += forgeries.map { [first, $0] } }
        } else {
            let fields = Dictionary(grouping: forgeries, by: \.name).sorted { $0.key < $1.key }.map(\.value)
            var pairs = fields.indices.flatMap { first in (first + 1..<fields.count).map { (first, $0) } }
            pairs.shuffle(using: &generator)
            if environment("EVENTBUS_HOSTILE_PAIRS") != "fields" {
                pairs = Array(pairs.prefix(environment("EVENTBUS_HOSTILE_PAIRS").flatMap(Int.init) ?? Self.pairs))
            }
            for (first, second) in pairs {
                let pair = [first, second].compactMap { fields[$0].randomElement(using: &generator) }
                combinations.append(pair.shuffled(using: &generator))
            }
        }
        return combinations
    }

    /// Returns a message with the topic of one of the attacked subscriptions. Events whose headers say that they were given
    /// up often go where they are.
    private func message(_ number: Int, _ forgeries: [Forgery], _ generator: inout SplitMix64) -> HostileMessage {
        var message = HostileMessage(number: number, topic: "", forgeries: forgeries)
        let absent = HostileScene.Absent.topic.rawValue
        var topics = HostileScene.topics
        if forgeries.contains(where: \.stopsDeadLettering) {
            topics.removeAll { $0 == absent }
        } else if message.claimsDeath, Bool.random(using: &generator) {
            topics = [absent]
        }
        message.topic = topics[Int.random(in: topics.indices, using: &generator)]
        if message.topic == absent {
            // It expires at once, unless this is forged too.
            message.forgeries.insert(Forgery(field: .property(.expiration), value: .text("1")), at: 0)
        }
        return message
    }

    /// Returns the texts in a log that are not clean.
    private func unclean(_ logs: InMemoryLogHandler) -> [String] {
        logs.entries.flatMap { entry in
            ["\(entry.message)"] + entry.metadata.flatMap { [$0.key, "\($0.value)"] }
        }.filter { !$0.isClean }
    }

    /// A genuine event, and the number of the last forged one before it.
    private struct Genuine {
        var number: Int
        var predecessor: Int
        /// The number of the genuine event with a key.
        var keyed: Int { number + HostilePeerTests.firstKeyed - HostilePeerTests.firstGenuine }
    }

    /// Sends the messages, each hundred of them followed by a genuine event.
    private func attack(_ scene: HostileScene, _ messages: [HostileMessage]) async throws -> [Genuine] {
        var genuine: [Genuine] = []
        var accepted = 0
        for start in stride(from: 0, to: messages.count, by: 100) {
            let batch = Array(messages[start..<min(start + 100, messages.count)])
            accepted += try await withThrowingTaskGroup(of: Int.self) { group in
                for part in 0..<4 {
                    let messages = batch.filter { $0.number % 4 == part }
                    group.addTask { try await scene.peer.send(messages) }
                }
                return try await group.reduce(0, +)
            }
            let event = Genuine(number: Self.firstGenuine + start, predecessor: start + batch.count - 1)
            let topic = HostileScene.Note.topic.rawValue
            scene.sightings.expect([HostileMessage(number: event.number, topic: topic, forgeries: [])])
            let options = PublishOptions(id: EventID("hostile-\(event.number)"))
            let receipt = try await scene.bus.publish(HostileScene.Note(number: event.number), options: options)
            #expect(receipt.outcome == .routed)
            let keyedTopic = HostileScene.Keyed.topic.rawValue
            scene.sightings.expect([HostileMessage(number: event.keyed, topic: keyedTopic, forgeries: [])])
            let keyed = PublishOptions(partitionKey: "genuine", id: EventID("hostile-\(event.keyed)"))
            _ = try await scene.bus.publish(HostileScene.Keyed(number: event.keyed), options: keyed)
            genuine.append(event)
        }
        print("\(messages.count) forged events, of which the broker accepted \(accepted)")
        #expect(accepted > messages.count / 2)
        return genuine
    }

    /// The subscriptions that receive the genuine events.
    private static let subscriptions = ["note", "all", "inbox", "identified", "batch", "decoded", "bytes", "chained"]
    /// The number of the first genuine event.
    private static let firstGenuine = 1_000_000_000
    /// The number of the first genuine event with a key.
    private static let firstKeyed = 2_000_000_000
    /// The number of the first event that is delivered again.
    private static let firstRedelivered = 3_000_000_000

    /// Sends events with forged counts of their deliveries, and cuts the connections while some of them are handled. They
    /// are delivered again, and none of them may run alone.
    private func redeliver(_ scene: HostileScene) async throws {
        let counts: [NastyValue] = [
            .integer(5), .integer(1000), .integer(.max), .raw("b", [9]), .bytes(Array("9".utf8)), .text("1000"),
        ]
        let messages = (0..<48).map { number in
            let name = "x-delivery-count"
            return HostileMessage(
                number: Self.firstRedelivered + number,
                topic: HostileScene.Redelivered.topic.rawValue,
                forgeries: [
                    Forgery(
                        field: number.isMultiple(of: 2) ? .header(name) : .twice(name, first: .integer(0)),
                        value: counts[number / 2 % counts.count]
                    )
                ]
            )
        }
        scene.sightings.expect(messages)
        let (first, second) = (Gate(), Gate())
        defer {
            first.open()
            second.open()
        }
        scene.sightings.close(first)
        let accepted = try await scene.peer.send(messages)
        #expect(accepted == messages.count)
        try await eventually("as many are handled as may be") { scene.sightings.reached == HostileScene.concurrency }
        scene.sightings.close(second)
        try await scene.cutConnections()
        first.open()
        try await eventually("as many are handled again", within: .seconds(30)) {
            scene.sightings.reached == HostileScene.concurrency
        }
        second.open()
        try await scene.drained()
    }

    /// Checks that forged events began before an earlier genuine one only beside it.
    private func checkOrder(_ scene: HostileScene, _ genuine: [Genuine]) throws {
        for name in Self.subscriptions + ["keyed"] {
            let order = scene.sightings.order(of: name)
            for event in genuine {
                let number = name == "keyed" ? event.keyed : event.number
                let index = try #require(order.firstIndex(of: number), "\(name) did not handle \(number)")
                let overtaking = order[..<index].filter { $0 < Self.firstGenuine && $0 > event.predecessor }
                // By key, up to 18 were seen on a busy machine, which is still less than a batch.
                let bound = name == "keyed" ? 4 * HostileScene.concurrency : HostileScene.concurrency
                #expect(overtaking.count < bound, "\(name): \(number) was overtaken")
            }
        }
    }

    /// Reads all dead letters of the attacked group, and checks what an operator sees of them.
    private func read(_ letters: any DeadLetterQueue, _ scene: HostileScene) async throws -> [DeadLetter] {
        var all: [DeadLetter] = []
        while true {
            let page = try await letters.entries(limit: 500, offset: all.count)
            if page.isEmpty { break }
            all += page
        }
        for letter in all {
            #expect(letter.group == scene.group)
            #expect(letter.queue.hasPrefix("\(scene.group)."))
            // A record of the broker, and not the publisher, says where the event was.
            let name = String(letter.queue.dropFirst(scene.group.count + 1))
            if let number = HostileSightings.number(in: letter.envelope), let topic = HostileScene.topic(of: name) {
                #expect(scene.sightings.topic(of: number) == topic.rawValue, "\(letter)")
            }
            // Its handler only publishes, and its payload is not read. Events may expire in its queue.
            if letter.queue == "\(scene.group).chained" {
                #expect(letter.failure.reason.rawValue == "expired", "\(letter.failure)")
            }
            let texts = [
                letter.failure.message, letter.failure.errorType, letter.failure.reason.rawValue,
                "\(letter.envelope.id)", "\(letter.envelope.topic)",
            ]
            for text in texts { #expect(text.isClean && text.utf8.count < 2000, "\(text.debugDescription)") }
        }
        return all
    }

    /// Replays all dead letters, and returns the number of those that were sent, again and again if they fail again
    /// meanwhile. Each letter has to reach the subscription that it is from, as a first attempt.
    private func replayAll(
        _ letters: any DeadLetterQueue,
        _ read: [DeadLetter],
        _ scene: HostileScene
    ) async throws -> Int {
        scene.sightings.beginReplay(of: read)
        let replayed: Int
        do {
            replayed = try await letters.replayAll()
        } catch let error as EventBusError {
            #expect("\(error)".isClean)
            replayed = error.completedCount ?? 0
        }
        try await scene.drained()
        return replayed
    }

    /// Removes all dead letters: the first one alone, and then the others.
    private func discardAll(_ letters: any DeadLetterQueue) async throws -> Int {
        let first = try await letters.discard(limit: 1) { _ in true }
        let others = try await letters.discard { _ in true }
        let left = try await letters.count()
        #expect(left == 0)
        return first + others
    }

    /// Reads, replays, discards and restores the dead letters of the attacked group.
    private func useTools(_ scene: HostileScene) async throws {
        let letters = scene.bus.deadLetters(of: scene.group)
        let saved = try await read(letters, scene)
        let example = try #require(saved.first { $0.failure.reason == .attemptsExhausted })
        scene.sightings.heal()
        let counted = try await letters.replayAll(options: ReplayOptions(dryRun: true))
        #expect(counted == saved.count)
        scene.sightings.beginReplay(of: saved)
        let one = try await letters.replay(example.envelope.id, options: ReplayOptions(limit: 1))
        #expect(one == 1)
        try await scene.drained()
        let replayed = try await replayAll(letters, saved, scene)
        let kept = try await discardAll(letters)

        // There is only one letter of each failed delivery again, because the copies of one event would count their
        // attempts side by side.
        try await letters.restore(saved)
        let restored = try await read(letters, scene)
        #expect(restored.count == saved.count)
        for (before, after) in zip(saved, restored) {
            #expect(before.summary == after.summary)
            #expect(before.envelope == after.envelope)
        }
        // An envelope contains nothing that cannot be sent again.
        let replayedAgain = try await replayAll(letters, restored, scene)
        #expect(replayedAgain >= saved.count)
        #expect(scene.sightings.hasRetriedReplayed)
        let keptAgain = try await discardAll(letters)
        print(
            "\(saved.count) dead letters: \(replayed) replays left \(kept); after they were restored, "
                + "\(replayedAgain) left \(keptAgain)"
        )
    }

    @Test func `forged events stay in their group, deceive no handler, delay no other event, and leave clean logs`()
        async throws
    {
        let seed = environment("EVENTBUS_HOSTILE_SEED").flatMap(UInt64.init) ?? .random(in: 0...UInt64(UInt32.max))
        print("EVENTBUS_HOSTILE_SEED=\(seed)")
        var generator = SplitMix64(seed: seed)
        let combinations = combinations(try HostileScene.bodies(), &generator)
        for start in stride(from: 0, to: combinations.count, by: Self.maximumMessages) {
            let part = combinations[start..<min(start + Self.maximumMessages, combinations.count)]
            var messages: [HostileMessage] = []
            for forgeries in part { messages.append(message(messages.count, forgeries, &generator)) }
            try await check(messages)
        }
    }

    /// Sends messages to new services, and checks all effects.
    private func check(_ messages: [HostileMessage]) async throws {
        let scene = try await HostileScene()
        try await RawClient.run(scene.configuration) { client in
            // A queue of another system.
            let answer = try client.call(50, 10) { bytes in
                bytes.short(0)
                bytes.shortString(scene.vault)
                bytes.octet(0)
                bytes.longString([])
            }
            #expect(answer == .accepted)
        }
        scene.subscribe()
        scene.sightings.expect(messages)
        try await scene.victimBus.withRunning {
            try await scene.withAttackedRunning {
                try await redeliver(scene)
                let connections = scene.publishConnections
                let genuine = try await attack(scene, messages)
                try await eventually("the genuine events are handled", within: .seconds(60)) {
                    Self.subscriptions.allSatisfy { name in
                        Set(scene.sightings.order(of: name)).isSuperset(of: genuine.map(\.number))
                    } && Set(scene.sightings.order(of: "keyed")).isSuperset(of: genuine.map(\.keyed))
                }
                try await scene.drained()
                try checkOrder(scene, genuine)
                try await scene.absentBus.withRunning { try await useTools(scene) }
                #expect(!scene.sightings.order(of: "absent").isEmpty)
                #expect("\(scene.bus.health())".isClean)
                #expect(scene.publishConnections == connections)
            }
            #expect("\(scene.victimBus.health())".isClean)
            // The broker does not check topic permissions for CC and BCC.
            let letters = scene.victimBus.deadLetters(of: scene.victim)
            for letter in try await letters.entries(limit: 1000) {
                // Those that cannot be sent again take the queue's own way.
                #expect(letter.failure.reason == .staleBinding || letter.failure.reason.rawValue == "rejected")
                #expect(HostileScene.topics.contains(letter.envelope.topic.rawValue))
            }
            _ = try await letters.discard { _ in true }
        }
        #expect(scene.sightings.violations == [])
        #expect(scene.sightings.order(of: "payments") == [])
        // The broker updates the numbers every few seconds.
        try await eventually("no event is in the queue of another group", within: .seconds(30)) {
            try await scene.queues().allSatisfy { name, count in
                count == 0 || name.hasPrefix("\(scene.group).") || name.hasPrefix("eventbus.delay.")
            }
        }
        #expect(unclean(scene.logs).prefix(5) == [])
        #expect(scene.changes.all.flatMap { [$0.subject, $0.reason ?? ""] }.filter { !$0.isClean }.prefix(5) == [])
        #expect(scene.sightings.order(of: "chained").count > messages.count / 10)
    }
}

extension String {
    /// A Boolean value indicating whether a log reader or a terminal would show the text as it is.
    fileprivate var isClean: Bool {
        unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: false
            case .format: scalar.value == 0x200C || scalar.value == 0x200D
            default: true
            }
        }
    }
}

extension DeadLetter {
    /// The group, queue and failure, which a restored dead letter has in common with the saved one.
    fileprivate var summary: [String] {
        [
            group, queue, failure.reason.rawValue, failure.errorType, failure.message, "\(attempts)",
            firstFailure?.rfc3339 ?? "", lastFailure.rfc3339,
        ]
    }
}
