import EventBus
import EventBusInMemory
import EventBusTesting
import Foundation
import GRDB
import Logging
import ServiceLifecycle
import Testing

@testable import EventBusOutbox

/// An event with a key.
struct OrderPlaced: Event, Equatable {
    static let topic: Topic = "order.placed"
    var orderID: String
    var number = 0
    var partitionKey: String? { orderID }
}

/// An event without a key.
struct NoteTaken: Event, Equatable {
    static let topic: Topic = "note.taken"
    var number: Int
}

/// An event of another topic, with a key.
struct OrderPaid: Event, Equatable {
    static let topic: Topic = "order.paid"
    var orderID: String
    var number = 0
    var partitionKey: String? { orderID }
}

struct Broken: Error, CustomStringConvertible {
    var description: String { "broken" }
}

/// A collection that several tasks of a test append to.
final class Collected<Element: Sendable>: Sendable {
    private let state = Locked<[Element]>([])

    var all: [Element] { state.withLock { $0 } }
    var count: Int { state.withLock { $0.count } }

    /// Adds an element, and returns the new number of elements.
    @discardableResult
    func add(_ element: Element) -> Int {
        state.withLock { state in
            state.append(element)
            return state.count
        }
    }
}

/// Publish middleware with a closure that may refuse the event.
struct Refusing: PublishMiddleware {
    var refusal: @Sendable (Envelope) async -> (any Error)?

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        if let error = await refusal(event.envelope) { throw error }
        return try await next(event)
    }
}

extension Logger {
    /// A logger that discards its messages.
    static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

/// A scripted reply that replaces the broker's reply to some events.
enum Answer: Sendable {
    case error(any Error)
    /// No reply before the deadline.
    case silence
    /// There is no outcome, whatever the deadline.
    case nothing
}

/// An in-memory transport that answers some events with scripted replies.
final class ScriptedTransport: Transport {
    private let base: InMemoryTransport
    private let answer: @Sendable (Envelope) -> Answer?
    /// All sent events in order.
    let sent = Collected<Envelope>()

    init(_ broker: InMemoryBroker, answer: @escaping @Sendable (Envelope) -> Answer?) {
        base = InMemoryTransport(broker: broker)
        self.answer = answer
    }

    var name: String { "scripted" }
    var clock: AnyClock { base.clock }

    func run() async throws { try await base.run() }

    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        sent.add(envelope)
        switch answer(envelope) {
        case nil: return try await base.publish(envelope, options: options)
        case .error(let error): throw error
        case .silence:
            try await clock.sleep(until: options.deadline)
            throw EventBusError(.indeterminate, "no answer")
        case .nothing:
            try await Signal().wait()
            throw EventBusError(.indeterminate, "no answer")
        }
    }

    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        await withTaskGroup(of: (Int, Result<PublishOutcome, any Error>).self) { group in
            for (index, envelope) in envelopes.enumerated() {
                group.addTask {
                    do {
                        return (index, .success(try await self.publish(envelope, options: options)))
                    } catch {
                        return (index, .failure(error))
                    }
                }
            }
            var results = envelopes.map { _ in Result<PublishOutcome, any Error>.failure(Broken()) }
            for await (index, result) in group { results[index] = result }
            return results
        }
    }

    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await base.request(envelope, deadline: deadline)
    }

    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try await base.reply(envelope, to: address)
    }

    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await base.attach(queue, to: sink)
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { base.deadLetters(of: group) }
    func health() -> [ComponentHealth] { base.health() }
}

/// Returns an in-memory database with the tables of outbox and inbox.
func makeDatabase() throws -> DatabaseQueue {
    let database = try DatabaseQueue()
    try migrate(database)
    return database
}

func migrate(_ database: any DatabaseWriter) throws {
    var migrator = DatabaseMigrator()
    Outbox.registerMigration(in: &migrator)
    SQLiteInbox.registerMigration(in: &migrator)
    try migrator.migrate(database)
}

/// A separate database file, which is deleted with this object.
final class DatabaseFile: Sendable {
    private let folder: URL

    convenience init() throws {
        let folder = Self.newFolder()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.init(folder: folder)
        try migrate(try open())
    }

    private init(folder: URL) {
        self.folder = folder
    }

    private static func newFolder() -> URL {
        FileManager.default.temporaryDirectory.appending(path: "outbox-\(UUID().uuidString)")
    }

    /// The path of the database.
    var path: String { folder.appending(path: "data.sqlite").path }

    /// Returns a copy of the current files.
    func copy() throws -> DatabaseFile {
        let copy = Self.newFolder()
        try FileManager.default.copyItem(at: folder, to: copy)
        return DatabaseFile(folder: copy)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// Opens a separate connection pool on the file, as another process would.
    func open() throws -> DatabasePool {
        var configuration = GRDB.Configuration()
        configuration.busyMode = .timeout(10)
        return try DatabasePool(path: path, configuration: configuration)
    }
}

extension OutboxRelay.Configuration {
    /// Returns a configuration changed by `change`.
    static func with(_ change: (inout OutboxRelay.Configuration) -> Void) -> OutboxRelay.Configuration {
        var configuration = OutboxRelay.Configuration()
        change(&configuration)
        return configuration
    }
}

extension EventBusConfiguration {
    static func refusing(_ refusal: @escaping @Sendable (Envelope) async -> (any Error)?) -> EventBusConfiguration {
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [Refusing(refusal: refusal)]
        return configuration
    }
}

extension OutboxRelay {
    /// Waits until the relay has done all possible work at this instant of a manual clock.
    func rest() async {
        while case .busy = activity() { await Task.yield() }
    }
}

extension DatabaseReader {
    /// Waits until `isMet` returns `true` for the result of `fetch`.
    func wait<Value: Sendable>(
        for fetch: @escaping @Sendable (Database) throws -> Value,
        until isMet: (Value) -> Bool
    ) async throws {
        for try await value in ValueObservation.tracking(fetch).values(in: self) where isMet(value) { return }
        throw CancellationError()
    }

    /// Waits until the outbox holds this many events.
    func waitForBacklog(of count: Int) async throws {
        try await wait(for: { try Int.fetchOne($0, sql: "SELECT count(*) FROM eventbus_outbox") }) { $0 == count }
    }

    /// Advances the time until the outbox contains only events that wait for a subscription or for their time.
    func drain(by clock: ManualClock, _ relay: OutboxRelay? = nil) async throws {
        while try await !waiting().isEmpty {
            clock.advance(by: .seconds(1))
            await relay?.rest()
            await Task.yield()
        }
    }

    /// Returns the payloads of the events that can be published, in order.
    func waiting() async throws -> [String] {
        try await read { try String.fetchAll($0, sql: "SELECT payload FROM eventbus_outbox ORDER BY sequence") }
    }
}

/// Runs services in this order while `body` runs, then shuts them down gracefully, the last one first.
func running(_ services: any Service..., body: @escaping @Sendable () async throws -> Void) async throws {
    let group = ServiceGroup(services: services, logger: .quiet)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        try result.get()
    }
}
