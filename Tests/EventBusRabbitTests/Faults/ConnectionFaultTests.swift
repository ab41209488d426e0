import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

/// Connections that break, at any byte and any number of times.
@Suite(.serialized, .timeLimit(.minutes(8)))
struct ConnectionFaultTests {
    private func viaProxy(_ configure: (inout RabbitConfiguration) -> Void = { _ in }) async throws
        -> (RabbitConfiguration, TestProxy, String)
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        var configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let proxy = try TestProxy(to: configuration.hosts[0].port)
        configuration.hosts = [.init("127.0.0.1", port: proxy.port)]
        configure(&configuration)
        return (configuration, proxy, name)
    }

    /// Every byte count with `EVENTBUS_TEST_EVERY_BYTE`, else a sample that has all the small ones.
    private static let cuts: [Int] =
        environment("EVENTBUS_TEST_EVERY_BYTE") != nil
        ? Array(1...4096) : Array(1...32) + Array(stride(from: 33, through: 4096, by: 61))

    @Test(arguments: [TestProxy.Direction.toBroker, .toClient])
    func `a connection cut after any number of bytes is made again`(direction: TestProxy.Direction) async throws {
        let (configuration, proxy, name) = try await viaProxy {
            $0.reconnect = .init(initial: .zero, maximum: .zero)
        }
        let topic = try Topic(validating: "\(name).probe")
        let transport = RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in seen.note(event.envelope) }
        let start = ContinuousClock.now
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: Array("0".utf8)))
            for bytes in Self.cuts {
                proxy.cut(after: bytes, direction)
                let before = proxy.connections
                proxy.cutAll()
                // Either they are cut again and again, or so many bytes never pass and both come to rest.
                try await eventually("connections cut after \(bytes) bytes", within: .seconds(20)) {
                    proxy.connections >= before + 4 || (proxy.connections >= before + 2 && bus.health().isReady)
                }
            }
            proxy.cut(after: nil, direction)
            proxy.cutAll()
            try await bus.publish(
                Envelope(topic: topic, payload: Array("1".utf8)),
                options: .init(deadline: .seconds(20))
            )
            try await eventually("handled after all cuts", within: .seconds(20)) { seen.all.contains(1) }
        }
        print(
            "cut \(direction): \(Self.cuts.count) byte counts, \(proxy.connections) connections in \(start.duration(to: .now))"
        )
    }

    @Test func `100 reconnects leave no thread, no descriptor and no memory behind`() async throws {
        let (configuration, proxy, name) = try await viaProxy {
            $0.reconnect = .init(initial: .zero, maximum: .zero)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in seen.note(event.envelope) }
        try await bus.withRunning {
            func reconnect(_ number: Int) async throws {
                proxy.cutAll()
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                try await eventually("delivery after reconnect \(number)") { seen.all.contains(number) }
            }
            for number in 0..<10 { try await reconnect(number) }
            let before = ProcessFigures.now()
            let start = ContinuousClock.now
            for number in 10..<110 { try await reconnect(number) }
            let took = start.duration(to: .now)
            try await eventually("threads and descriptors back") {
                let now = ProcessFigures.now()
                return now.threads <= before.threads + 1 && now.descriptors <= before.descriptors
            }
            let after = ProcessFigures.now()
            print("100 reconnects in \(took): \(before) → \(after)")
            #expect(after.residentKilobytes < before.residentKilobytes + 8192)
        }
    }

    @Test func `a silent network is noticed on both sides`() async throws {
        let (configuration, proxy, name) = try await viaProxy {
            $0.heartbeat = .seconds(1)
            $0.connectTimeout = .seconds(1)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = EventBus(transport: .rabbit(configuration))
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
            #expect(start.duration(to: .now) < .seconds(2))
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

    @Test func `a handler that runs for three heartbeats loses neither connection nor delivery`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(1)
        }
        let topic = try Topic(validating: "\(name).probe")
        let transport = RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in
            try await Task.sleep(for: .seconds(3))
            seen.note(event.envelope)
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
            try await eventually("handled") { seen.count == 1 }
            let connections = bus.health().components.compactMap { $0.details["connections"] }
            #expect(connections == [1, 1])
        }
        #expect(seen.count == 1)
    }
}

/// What the process uses.
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
