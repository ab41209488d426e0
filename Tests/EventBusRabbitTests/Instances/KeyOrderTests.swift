import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests {
    /// Several instances of a by-key subscription, some of which are killed or cut off.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct KeyOrderTests {
        private static let child = "KeyOrderTests/process"
        private static let keys = 8
        private static let eventsOfEachKey = 250

        @Test func `instances of a by-key subscription that are killed hand over without an inversion`() async throws {
            let broker = try await TestBroker.shared()
            let name = freshName()
            let journal = KeyJournal(path: try temporaryFile(containing: ""))
            defer { unlink(journal.path) }
            let (url, path, count) = (broker.url, journal.path, 4)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<count {
                    group.addTask {
                        await #expect(throws: ProcessFailure.self) {
                            _ = try await TestChild.run(
                                Self.child,
                                ["EVENTBUS_TEST_INSTANCE": "p\(number)", "EVENTBUS_TEST_NAME": name]
                                    .merging(["EVENTBUS_TEST_JOURNAL": path, "EVENTBUS_TEST_RABBITMQ_URL": url]) { $1 }
                            )
                        }
                    }
                }
                let instances = (0..<count).map { "p\($0)" }
                defer { for instance in instances { journal.process(of: instance).map { _ = kill($0, SIGKILL) } } }
                try await eventually("\(count) instances attached", within: .seconds(60)) {
                    instances.allSatisfy { journal.process(of: $0) != nil }
                }
                async let publishing: Void = publishAll(TestBroker(url: url), name)
                var takeovers: [Duration] = []
                // The last one survives.
                for _ in 1..<count {
                    let before = KeyOrder(journal.entries).count
                    try await eventually("events handled, \(before) so far", within: .seconds(30)) {
                        KeyOrder(journal.entries).count >= before + 150
                    }
                    let active = try #require(journal.entries.last?.instance)
                    let process = try #require(journal.process(of: active))
                    kill(process, SIGKILL)
                    let killed = ContinuousClock.now
                    try await eventually("another instance works", within: .seconds(30)) {
                        journal.entries.last.map { $0.instance != active } ?? false
                    }
                    takeovers.append(killed.duration(to: .now))
                }
                try await publishing
                try await expectAll(journal, killed: count - 1, "killed", takeovers)
            }
        }

        @Test(.enabled(if: TestChild.isRunning(child))) func process() async throws {
            let name = try #require(environment("EVENTBUS_TEST_NAME"))
            let instance = try #require(environment("EVENTBUS_TEST_INSTANCE"))
            let journal = KeyJournal(path: try #require(environment("EVENTBUS_TEST_JOURNAL")))
            try await Self.serve(try await TestBroker.shared(), name, instance, journal)
        }

        @Test func `an instance of a by-key subscription that loses its connection hands over without an inversion`()
            async throws
        {
            let broker = try await TestBroker.shared()
            let name = freshName()
            let journal = KeyJournal(path: try temporaryFile(containing: ""))
            defer { unlink(journal.path) }
            let port = try RabbitConfiguration(uri: broker.url).hosts[0].port
            let proxies = [try TestProxy(to: port), try TestProxy(to: port)]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, proxy) in proxies.enumerated() {
                    group.addTask {
                        try await Self.serve(broker, name, "c\(number)", journal, port: proxy.port)
                    }
                    try await eventually("attached") { journal.process(of: "c\(number)") != nil }
                }
                async let publishing: Void = publishAll(broker, name)
                var takeovers: [Duration] = []
                for _ in 0..<6 {
                    let before = KeyOrder(journal.entries).count
                    try await eventually("events handled, \(before) so far", within: .seconds(30)) {
                        KeyOrder(journal.entries).count >= before + 100
                    }
                    let active = try #require(journal.entries.last?.instance)
                    proxies[active == "c0" ? 0 : 1].cutAll()
                    let cut = ContinuousClock.now
                    try await eventually("the other instance works", within: .seconds(30)) {
                        journal.entries.last.map { $0.instance != active } ?? false
                    }
                    takeovers.append(cut.duration(to: .now))
                }
                try await publishing
                try await expectAll(journal, killed: 1, "cut off", takeovers)
                group.cancelAll()
            }
        }

        /// Waits until everything is handled, and prints the figures.
        private func expectAll(_ journal: KeyJournal, killed: Int, _ what: String, _ takeovers: [Duration]) async throws
        {
            let all = Self.keys * Self.eventsOfEachKey
            try await eventually("all \(all) handled", within: .seconds(60)) { KeyOrder(journal.entries).count == all }
            let order = KeyOrder(journal.entries)
            print("by key, \(takeovers.count) times \(what): \(order), taken over within \(takeovers.max() ?? .zero)")
            #expect(order.inversions == 0)
            #expect(order.instances.count > killed)
        }

        /// Runs one instance until its task or its process ends. Every twentieth event fails once.
        private static func serve(
            _ broker: TestBroker,
            _ name: String,
            _ instance: String,
            _ journal: KeyJournal,
            port: Int? = nil
        ) async throws {
            let configuration = try broker.configuration {
                $0.exchange = "events-\(name)"
                if let port { $0.hosts[0].port = port }
            }
            let bus = try EventBus(transport: .rabbit(configuration))
            // Over a connection that no test cuts.
            let effects = try EventBus(transport: .rabbit(broker.configuration { $0.exchange = "events-\(name)" }))
            let effect = try Topic(validating: "\(name).effect")
            let subscription = bus.subscribe(
                to: try TopicPattern(validating: "\(name).probe"),
                group: "group-\(name)",
                name: "probe",
                options: .init(
                    concurrency: 16,
                    retry: .fixed(.milliseconds(5), maximumAttempts: 5),
                    ordering: .byPartitionKey
                )
            ) { event, context in
                let text = String(decoding: event.envelope.payload, as: UTF8.self)
                journal.note(instance, .began, text)
                // A handler that waits for a confirmation, so that some are running at any moment.
                try await effects.publish(Envelope(topic: effect, payload: []))
                if context.attempt == 1, text.hasSuffix("7") {
                    journal.note(instance, .failed, text)
                    throw HandlerFailed()
                }
                journal.note(instance, .ended, text)
            }
            try await effects.withRunning {
                async let run: Void = bus.run()
                try await subscription.attached()
                journal.noteAttached(instance)
                try await run
            }
        }

        /// Publishes the events of all keys, those of one key one after another.
        private func publishAll(_ broker: TestBroker, _ name: String) async throws {
            let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            try await bus.withRunning {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for key in 0..<Self.keys {
                        group.addTask {
                            for number in 0..<Self.eventsOfEachKey {
                                let envelope = Envelope(
                                    topic: topic,
                                    payload: Array("k\(key) \(number)".utf8),
                                    partitionKey: "k\(key)"
                                )
                                let receipt = try await bus.publish(envelope, options: .init(deadline: .seconds(30)))
                                #expect(receipt.outcome == .routed)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
