import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests {
    /// Connections that break after any number of bytes, any number of times.
    @Suite(.serialized, .timeLimit(.minutes(environment("EVENTBUS_TEST_EVERY_BYTE") == nil ? 8 : 120)))
    struct ConnectionFaultTests {
        private func viaProxy(
            swallowing methods: Set<FrameFilter.Method>? = nil,
            _ configure: (inout RabbitConfiguration) -> Void = { _ in }
        ) async throws -> (RabbitConfiguration, TestProxy, String) {
            let broker = try await TestBroker.shared()
            let name = freshName()
            var configuration = try broker.configuration { $0.exchange = "events-\(name)" }
            let proxy = try TestProxy(to: configuration.hosts[0].port, swallowing: methods)
            configuration.hosts = [.init("127.0.0.1", port: proxy.port)]
            configure(&configuration)
            return (configuration, proxy, name)
        }

        /// Every number of bytes with `EVENTBUS_TEST_EVERY_BYTE=1`, every second one with 2, and otherwise a sample of
        /// small and large numbers, a larger one with `EVENTBUS_TEST_FULL=1`.
        private static let cuts: [Int] =
            environment("EVENTBUS_TEST_EVERY_BYTE").map { Array(stride(from: 1, through: 4096, by: Int($0) ?? 1)) }
            ?? Array(1...12) + Array(stride(from: 13, through: 4096, by: isFull ? 157 : 397))

        /// The direction that is cut, and the position from which bytes are counted.
        enum Place: String, CaseIterable, Sendable {
            /// To the broker, from the beginning of the connection: the login, declarations and acknowledgements.
            case toBroker
            /// To the client, from the beginning of the connection: the login, replies, confirms and deliveries.
            case toClient
            /// To the broker, from the first published event.
            case eventsToBroker
        }

        @Test(arguments: Place.allCases)
        func `a connection cut after any number of bytes loses nothing that was confirmed`(place: Place) async throws {
            let (configuration, proxy, name) = try await viaProxy {
                $0.reconnect = .init(initial: .zero, maximum: .zero)
            }
            let direct = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
            let (topic, feedTopic) = (try Topic(validating: "\(name).probe"), try Topic(validating: "\(name).feed"))
            let bus = try EventBus(transport: .rabbit(configuration))
            let (seen, seenOfFeed) = (SeenNumbers(), SeenNumbers())
            bus.subscribe(to: try TopicPattern(validating: "\(name).*"), group: "group-\(name)", name: "probe") {
                event,
                _ in
                (event.topic == topic ? seen : seenOfFeed).note(event.envelope)
            }
            let (load, feed) = (Load(), Load())
            // Bypasses the proxy, so that there is something to deliver while the publishing connection never lasts.
            let feeder = Instance(try EventBus(transport: .rabbit(direct)))
            let start = ContinuousClock.now
            try await bus.withRunning {
                // A connection that is cut repeatedly is slower than one that is not.
                let feeding = Task {
                    await feed.run(feeder.bus, topic: feedTopic, tasks: 2, deadline: .seconds(20)) {
                        $0 > seenOfFeed.count + 500
                    }
                }
                let running = Task {
                    await load.run(bus, topic: topic, tasks: 8, deadline: .seconds(20)) { $0 > seen.count + 500 }
                }
                for (index, bytes) in Self.cuts.enumerated() {
                    proxy.cut(
                        after: bytes,
                        place == .toClient ? .toClient : .toBroker,
                        countingFromFirstEvent: place == .eventsToBroker
                    )
                    proxy.cutAll()
                    // Both connections send that many bytes, so no number passes without a cut.
                    try await eventually("both connections cut after \(bytes) bytes", within: .seconds(30)) {
                        let cuts = proxy.cuts
                        let isPublishCut = cuts[.publish, default: 0] > 0
                        if place == .eventsToBroker { return isPublishCut }
                        // Before connections have sent their names, four of them include two of each kind.
                        return isPublishCut && cuts[.consume, default: 0] > 0 || cuts[.unknown, default: 0] >= 4
                    }
                    guard index % 8 == 7 else { continue }
                    // Occasionally everything passes.
                    proxy.cut(after: nil, .toBroker)
                    let before = (load.confirmed.count, seen.count)
                    try await eventually("events pass after \(bytes) bytes", within: .seconds(30)) {
                        load.confirmed.count > before.0 && seen.count > before.1
                    }
                }
                proxy.cut(after: nil, .toBroker)
                load.stop()
                feed.stop()
                await running.value
                await feeding.value
                let (confirmed, fed) = (load.confirmed, feed.confirmed)
                // An event that was in flight at 20 cuts is in the dead letters, whether or not it ever arrived
                // completely.
                let letters = feeder.bus.deadLetters(of: "group-\(name)")
                let (dead, deadOfFeed) = (SeenNumbers(), SeenNumbers())
                @Sendable func missing() -> Int {
                    confirmed.subtracting(seen.all).subtracting(dead.all).count
                        + fed.subtracting(seenOfFeed.all).subtracting(deadOfFeed.all).count
                }
                try await eventually(
                    "every confirmed event handled, or given up with a reason; \(missing()) are missing",
                    within: .seconds(300)
                ) {
                    for letter in try await letters.entries(limit: 100_000)
                    where letter.failure.reason == .deliveryLimit {
                        (letter.envelope.topic == topic ? dead : deadOfFeed).note(letter.envelope)
                    }
                    return missing() == 0
                }
                let lost = missing()
                let givenUp = dead.all.subtracting(seen.all).count + deadOfFeed.all.subtracting(seenOfFeed.all).count
                print(
                    """
                    cut \(place): \(Self.cuts.count) byte counts, \(proxy.connections) connections in \
                    \(start.duration(to: .now)), confirmed \(confirmed.count) and \(fed.count), lost \
                    \(lost), handled \(seen.count + seenOfFeed.count) times, given up unseen at the delivery limit \(givenUp), errors \(load.errors), latest call \(load.overdue) after its deadline
                    """
                )
                #expect(lost == 0)
                #expect(confirmed.count > Self.cuts.count / 8)
            }
            try await feeder.end()
        }

        private static let child = "ConnectionFaultTests/reconnects"

        @Test func `100 reconnects leave no thread, no descriptor and no memory behind`() async throws {
            let broker = try await TestBroker.shared()
            // In a separate process, where nothing else starts and ends threads.
            let output = try await TestChild.run(Self.child, ["EVENTBUS_TEST_RABBITMQ_URL": broker.url])
            let figures = output.split(separator: "\n").first { $0.hasPrefix("100 reconnects") }
            print(figures ?? "no figures")
            #expect(figures != nil)
        }

        @Test(.enabled(if: TestChild.isRunning(child))) func reconnects() async throws {
            let (configuration, proxy, name) = try await viaProxy {
                $0.reconnect = .init(initial: .zero, maximum: .zero)
            }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            let seen = SeenNumbers()
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in seen.note(event.envelope) }
            try await bus.withRunning {
                @Sendable func reconnect(_ numbers: Range<Int>) async throws -> ProcessFigures {
                    for number in numbers {
                        proxy.cutAll()
                        try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                        try await eventually("delivery after reconnect \(number)") { seen.all.contains(number) }
                    }
                    try await eventually("both connected") { bus.health().isReady }
                    return .now()
                }
                let before = try await reconnect(0..<30)
                let start = ContinuousClock.now
                let half = try await reconnect(30..<80)
                let after = try await reconnect(80..<130)
                let took = start.duration(to: .now)
                try await eventually("threads and descriptors back; \(before) → \(ProcessFigures.now())") {
                    let now = ProcessFigures.now()
                    return now.threads <= before.threads && now.descriptors == before.descriptors
                }
                print("100 reconnects in \(took): \(before) → \(half) → \(after), in the end \(ProcessFigures.now())")
                // The thread sanitizer remembers every access, so memory figures are meaningless there.
                #if !TSAN
                #expect(after.residentKilobytes - half.residentKilobytes < 1024)
                #endif
            }
        }

        @Test func `a silent network without heartbeats holds up no end`() async throws {
            let (configuration, proxy, name) = try await viaProxy {
                $0.heartbeat = .zero
                $0.commandTimeout = .seconds(2)
            }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            let seen = SeenNumbers()
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in seen.note(event.envelope) }
            let frozen = Locked<ContinuousClock.Instant?>(nil)
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: topic, payload: Array("0".utf8)))
                try await eventually("handled") { seen.count == 1 }
                proxy.setFrozen(true)
                // Nobody answers this event, nor the closing handshakes.
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.publish(
                        Envelope(topic: topic, payload: [UInt8](repeating: 1, count: 8 << 20)),
                        options: .init(deadline: .seconds(1))
                    )
                }
                #expect(error?.code == .indeterminate)
                frozen.withLock { $0 = .now }
            }
            let took = frozen.withLock { $0 }.map { $0.duration(to: .now) } ?? .seconds(60)
            print("half-open without heartbeats: shut down in \(took)")
        }

        @Test func `a silent network is noticed on both sides`() async throws {
            let (configuration, proxy, name) = try await viaProxy {
                $0.heartbeat = .seconds(1)
                $0.connectTimeout = .seconds(1)
            }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            let seen = SeenNumbers()
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in seen.note(event.envelope) }
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: topic, payload: Array("0".utf8)))
                proxy.setFrozen(true)
                let start = ContinuousClock.now
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.publish(
                        Envelope(topic: topic, payload: Array("1".utf8)),
                        options: .init(deadline: .seconds(1))
                    )
                }
                #expect(error?.code == .indeterminate)
                try await eventually("both connections given up", within: .seconds(10)) {
                    bus.health().components.filter {
                        ($0.name.hasSuffix(".publish") || $0.name.hasSuffix(".consume")) && $0.status == .notReady
                    }.count == 2
                }
                print("silence: given up after \(start.duration(to: .now)) with a heartbeat of 1 s")
                proxy.setFrozen(false)
                try await bus.publish(Envelope(topic: topic, payload: Array("2".utf8)))
                try await eventually("delivered again", within: .seconds(10)) { seen.all.contains(2) }
            }
        }

        @Test func `a handler that runs for six heartbeats loses neither connection nor delivery`() async throws {
            let (configuration, proxy, name) = try await viaProxy(swallowing: []) { $0.heartbeat = .seconds(1) }
            let topic = try Topic(validating: "\(name).probe")
            let transport = try RabbitTransport(configuration)
            let bus = EventBus(transport: transport)
            let seen = SeenNumbers()
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in
                // The broker has closed a connection by then if it was silent all the time.
                let before = proxy.heartbeats
                try await eventually("6 heartbeats of the broker") { proxy.heartbeats >= before + 6 }
                seen.note(event.envelope)
            }
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
                let start = ContinuousClock.now
                try await eventually("handled") { seen.count == 1 }
                print("a handler of six heartbeats: handled once, after \(start.duration(to: .now))")
                let connections = bus.health().components.compactMap { $0.details["connections"] }
                #expect(connections == [1, 1])
            }
            #expect(seen.count == 1)
        }
    }
}

/// The resources that the process uses.
struct ProcessFigures: CustomStringConvertible {
    var threads: Int
    var descriptors: Int
    var residentKilobytes: Int

    static func now() -> ProcessFigures {
        let status = contents(of: "/proc/self/status") ?? ""
        func figure(_ name: String) -> Int {
            let line = status.split(separator: "\n").first { $0.hasPrefix(name) } ?? ""
            return Int(line.filter(\.isNumber)) ?? 0
        }
        var descriptors = 0
        if let directory = opendir("/proc/self/fd") {
            while readdir(directory) != nil { descriptors += 1 }
            closedir(directory)
        }
        return ProcessFigures(
            threads: figure("Threads:"),
            descriptors: descriptors,
            residentKilobytes: figure("VmRSS:")
        )
    }

    var description: String { "\(threads) threads, \(descriptors) descriptors, \(residentKilobytes) KiB" }
}
