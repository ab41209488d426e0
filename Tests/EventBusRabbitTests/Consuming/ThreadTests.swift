import ConnectionThread
import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

/// User code never runs on a thread that serves a connection.
@Suite(.timeLimit(.minutes(2)))
struct ThreadTests {
    /// The threads on which each kind of user code ran.
    private final class Threads: Sendable {
        private let threads = Locked<[String: Set<pid_t>]>([:])

        var all: [String: Set<pid_t>] { threads.withLock { $0 } }

        func note(_ what: String) {
            let thread = ThreadTests.currentThread()
            threads.withLock { _ = $0[what, default: []].insert(thread) }
        }
    }

    private struct Codec: EventCodec {
        let threads: Threads
        let json = JSONEventCodec()
        var contentType: String { json.contentType }

        func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
            threads.note("encoding")
            return try json.encode(value)
        }

        func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
            threads.note("decoding")
            return try json.decode(type, from: bytes)
        }
    }

    private struct Middleware: PublishMiddleware, ConsumeMiddleware, DeliveryObserver {
        let threads: Threads

        func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
            threads.note("publish middleware before")
            defer { threads.note("publish middleware after") }
            return try await next(event)
        }

        func consume(_ context: EventContext, next: ConsumeNext) async throws {
            threads.note("consume middleware before")
            defer { threads.note("consume middleware after") }
            try await next(context)
        }

        func didSettle(_ delivery: SettledDelivery) { threads.note("settled") }
    }

    private struct Probe: Event {
        static let topic: Topic = "thread.probe"
        var number: Int
    }

    private struct Question: RequestEvent {
        typealias Reply = Int
        static let topic: Topic = "thread.question"
        var number: Int
    }

    @Test func `handlers, middleware, codecs and listeners never run on a connection's thread`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let threads = Threads()
        var configuration = EventBusConfiguration()
        configuration.codec = Codec(threads: threads)
        configuration.publishMiddleware = [Middleware(threads: threads)]
        configuration.consumeMiddleware = [Middleware(threads: threads)]
        let rabbit = try broker.configuration { $0.exchange = "events-\(name)" }
        let bus = try EventBus(transport: .rabbit(rabbit), configuration: configuration)
        let handled = Locked(0)
        bus.subscribe(
            to: Probe.self,
            group: "group-\(name)",
            options: .init(retry: .fixed(.milliseconds(50), maximumAttempts: 3))
        ) { event, context in
            threads.note("handler before")
            await Task.yield()
            // From here on it runs on the thread that the awaited call resumed it on.
            _ = try await bus.publish(Probe(number: -1 - event.number), options: .init(headers: ["unused": 1]))
            threads.note("handler after a publish")
            if context.attempt == 1, event.number >= 0 { throw CancellationError() }
            handled.withLock { $0 += 1 }
        }
        bus.respond(to: Question.self, group: "group-\(name)") { question, _ in
            threads.note("responder")
            return question.number
        }
        bus.local.on(Probe.self) { _ in threads.note("listener") }
        try await bus.withRunning {
            // An additional thread, to check that code on such a thread is detected.
            let control = try ConnectionThread(name: "eventbus-con")
            control.execute { threads.note("control") }
            try await eventually("the control ran") { threads.all["control"] != nil }
            let inputs = try serving()
            #expect(threads.all["control"]?.isSubset(of: inputs) ?? false)
            #expect(inputs.count >= 2)
            for number in 0..<20 { try await bus.publish(Probe(number: number)) }
            #expect(try await bus.request(Question(number: 5), timeout: .seconds(10)) == 5)
            try await eventually("handled") { handled.withLock { $0 } >= 20 }
            let all = threads.all
            for what in [
                "encoding", "decoding", "publish middleware before", "publish middleware after",
                "consume middleware before", "consume middleware after", "handler before", "handler after a publish",
                "responder", "listener", "settled",
            ] {
                let seen = all[what] ?? []
                #expect(!seen.isEmpty, "\(what) did not run")
                #expect(seen.isDisjoint(with: inputs), "\(what) ran on a connection's thread")
            }
            print("threads: \(all.count) kinds of user code, none on one of \(inputs.count) connection threads")
        }
    }

    /// Returns the system's number of the calling thread.
    fileprivate static func currentThread() -> pid_t {
        var buffer = [CChar](repeating: 0, count: 64)
        let length = readlink("/proc/thread-self", &buffer, buffer.count)
        let text = String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.split(separator: "/").last.flatMap { pid_t($0) } ?? 0
    }

    /// Returns the threads of this process that serve connections of the bus.
    private func serving() throws -> Set<pid_t> {
        let directory = try #require(opendir("/proc/self/task"))
        defer { closedir(directory) }
        var threads: Set<pid_t> = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let thread = pid_t(name), let kind = contents(of: "/proc/self/task/\(name)/comm") else { continue }
            if kind.hasPrefix("eventbus-pub") || kind.hasPrefix("eventbus-con") { threads.insert(thread) }
        }
        return threads
    }
}
