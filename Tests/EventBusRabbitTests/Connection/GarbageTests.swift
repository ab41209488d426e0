import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests {
    /// A peer that sends invalid data. That may cost a connection, but never the process.
    ///
    /// The client runs in a separate process, whose end is observed.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct GarbageTests {
        private static let child = "GarbageTests/client"

        /// The data that is sent instead of a valid answer.
        private static func garbage(_ generator: inout SplitMix) -> [(name: String, bytes: [UInt8])] {
            typealias Peer = ScriptedBroker
            func random(_ count: Int) -> [UInt8] {
                (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            }
            var cases: [(String, [UInt8])] = [
                ("nothing", []),
                ("a byte", [1]),
                ("zeros", [UInt8](repeating: 0, count: 4096)),
                ("ones", [UInt8](repeating: 0xFF, count: 4096)),
                ("another protocol's version", Array("AMQP\u{0}\u{1}\u{0}\u{0}".utf8)),
                ("a web server", Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)),
                ("a frame of 4 GiB", [1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF] + random(64)),
                ("a frame above the maximum", Peer.frame(type: 1, channel: 0, random(200_000))),
                ("a frame without its end", Peer.frame(type: 1, channel: 0, [0, 10, 0, 11], end: 0)),
                ("a method without arguments", Peer.method(10, 10, channel: 0)),
                ("half a method", Peer.frame(type: 1, channel: 1, [0, 60])),
                ("an unknown method", Peer.method(99, 99, channel: 1, random(32))),
                ("an empty method", Peer.frame(type: 1, channel: 1, [])),
                ("an empty header", Peer.frame(type: 2, channel: 1, [])),
                ("a body of nothing", Peer.frame(type: 3, channel: 1, random(100))),
                ("a frame of unknown kind", Peer.frame(type: 77, channel: 1, random(100))),
                ("a heartbeat with contents", Peer.frame(type: 8, channel: 3, random(100))),
                ("an unknown channel", Peer.method(60, 80, channel: 1999, Peer.big(UInt64(1)) + [1])),
                ("a confirm of everything", Peer.method(60, 80, channel: 2, Peer.big(UInt64.max) + [1])),
                ("a confirm of nothing", Peer.method(60, 80, channel: 2, Peer.big(UInt64(0)) + [0])),
                ("a close that says nothing", Peer.method(10, 50, channel: 0)),
                (
                    "a channel closed that is none",
                    Peer.method(20, 40, channel: 9, Peer.big(UInt16(1)) + [0, 0, 0, 0, 0])
                ),
                ("a server of deep properties", Peer.start(properties: Peer.short("deep") + nested(24_000))),
                (
                    "a server of properties that lie",
                    Peer.start(properties: Peer.short("x") + [0x46, 0x7F, 0xFF, 0xFF, 0xFF])
                ),
                ("a channel maximum of zero, then more", Peer.method(10, 30, channel: 0, [0, 0, 0, 0, 0, 0, 0, 0])),
                ("a frame maximum of one", Peer.method(10, 30, channel: 0, [0, 1, 0, 0, 0, 1, 0, 1])),
            ]
            for channel in [UInt16(1), 2, 3, 4] {
                let deliver = Peer.method(
                    60,
                    60,
                    channel: channel,
                    Peer.short("tag") + Peer.big(UInt64.max) + [1] + Peer.short("x") + Peer.short("a.b")
                )
                func header(_ size: UInt64, _ flags: UInt16, _ rest: [UInt8]) -> [UInt8] {
                    Peer.frame(type: 2, channel: channel, [0, 60, 0, 0] + Peer.big(size) + Peer.big(flags) + rest)
                }
                let table = Peer.short("deep") + nested(20_000)
                cases += [
                    ("a delivery without contents", deliver + deliver),
                    ("a delivery of 2^63 bytes", deliver + header(1 << 63, 0, [])),
                    (
                        "a delivery of more than it said",
                        deliver + header(1, 0, []) + Peer.frame(type: 3, channel: channel, random(99))
                    ),
                    (
                        "a delivery with deep headers",
                        deliver + header(0, 0x2000, Peer.big(UInt32(table.count)) + table)
                    ),
                    (
                        "a delivery with headers that lie",
                        deliver + header(0, 0x2000, [0x7F, 0xFF, 0xFF, 0xFF] + random(60))
                    ),
                    ("a delivery with cut properties", deliver + header(0, 0xFFF0, random(20))),
                    ("a delivery with flags without end", deliver + header(0, 0xFFFF, [0xFF, 0xFF, 0xFF, 0xFF])),
                    ("a delivery of text that is none", deliver + header(0, 0x8000, [4, 0xFF, 0xFE, 0xC3, 0x28])),
                    (
                        "a return without contents",
                        Peer.method(60, 50, channel: channel, [1, 0x38] + Peer.short("x") + [0, 0])
                    ),
                    ("a reply to nothing", Peer.method(60, 21, channel: channel, Peer.short("tag"))),
                ]
            }
            for count in 0..<12 { cases.append(("random bytes, number \(count)", random(1 + count * 37))) }
            for count in 0..<12 {
                // Valid frames with random contents are parsed further than random bytes.
                let type = UInt8.random(in: 1...3, using: &generator)
                let channel = UInt16.random(in: 0...3, using: &generator)
                let method: [UInt8] = [0, [10, 20, 40, 50, 60, 85].randomElement(using: &generator) ?? 60, 0]
                let contents = method + random(1 + count * 3)
                cases.append(
                    ("a frame of random contents, number \(count)", Peer.frame(type: type, channel: channel, contents))
                )
            }
            return cases
        }

        /// An array that is nested in arrays.
        private static func nested(_ depth: Int) -> [UInt8] {
            var value: [UInt8] = [0x56]
            value.reserveCapacity(depth * 5 + 1)
            // From the inside, because the bytes are written in reverse.
            for level in 0..<depth { value += ScriptedBroker.big(UInt32(level * 5 + 1)).reversed() + [0x41] }
            return value.reversed()
        }

        private struct Meeting {
            var stage: ScriptedBroker.Stage
            var name: String
            var bytes: [UInt8]
            var hangsUp: Bool
        }

        /// Every kind of garbage at every stage. Half of the peers hang up after it, or with `EVENTBUS_TEST_FULL=1` one
        /// that does and one that does not for each.
        private static func meetings() -> [Meeting] {
            ScriptedBroker.Stage.allCases.flatMap { stage in
                var generator = SplitMix(state: UInt64(stage.rawValue) + 1)
                return garbage(&generator).enumerated().flatMap { index, garbage in
                    let endings = isFull ? [true, false] : [(index + stage.rawValue).isMultiple(of: 2)]
                    return endings.map {
                        Meeting(stage: stage, name: garbage.name, bytes: garbage.bytes, hangsUp: $0)
                    }
                }
            }
        }

        @Test func `a peer that sends garbage at any stage costs a connection, not the process`() async throws {
            let output = try await TestChild.run(Self.child, [:])
            let line = output.split(separator: "\n").first { $0.hasPrefix("garbage") }
            print(line ?? "no figures")
            #expect(line != nil)
        }

        @Test(.enabled(if: TestChild.isRunning(child))) func client() async throws {
            let start = ContinuousClock.now
            var meetings = Self.meetings()
            let count = meetings.count
            let slowest = try await withThrowingTaskGroup(of: Duration.self) { group in
                var slowest = Duration.zero
                for _ in 0..<32 {
                    if let next = meetings.popLast() { group.addTask { try await meet(next) } }
                }
                while let took = try await group.next() {
                    slowest = max(slowest, took)
                    if let next = meetings.popLast() { group.addTask { try await meet(next) } }
                }
                return slowest
            }
            print("garbage: \(count) peers in \(start.duration(to: .now)), slowest end \(slowest), no crash")
        }

        /// Uses such a peer until it has answered and the connection was closed or kept.
        private func meet(_ meeting: Meeting) async throws -> Duration {
            let what = "\(meeting.name) at \(meeting.stage)"
            // Among the last lines of output, if the process crashes.
            print("meeting \(what)")
            fflush(nil)
            let peer = try ScriptedBroker(until: meeting.stage, answer: meeting.bytes, hangsUp: meeting.hangsUp)
            var configuration = try RabbitConfiguration(uri: "amqp://127.0.0.1:\(peer.port)/")
            configuration.newQueueGracePeriod = .zero
            configuration.connectTimeout = .milliseconds(150)
            configuration.commandTimeout = .milliseconds(150)
            configuration.reconnect = .init(initial: .zero, maximum: .zero)
            let bus = try EventBus(transport: .rabbit(configuration))
            bus.subscribe(to: "a.b", group: "g", name: "n") { _, _ in }
            let running = Task { try await bus.run() }
            let deadline = Duration.milliseconds(100)
            _ = try? await bus.publish(Envelope(topic: "a.b", payload: []), options: .init(deadline: deadline))
            try await eventually("an answer of \(what)", within: .seconds(20)) { peer.answers > 0 }
            let ending = ContinuousClock.now
            running.cancel()
            _ = await running.result
            return ending.duration(to: .now)
        }
    }
}

/// A generator whose numbers are the same in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
