import EventBus
import EventBusOutbox
import EventBusTesting
import Foundation
import Testing

@testable import EventBusPostgres

/// A connection that is cut one byte later each time, through every step of its conversation. A sample of the bytes by
/// default, and all of them with EVENTBUS_TEST_FULL=1.
@Suite("A connection to PostgreSQL that is cut after each byte", .timeLimit(.minutes(120)))
struct CutTests {
    private static let isFull = ProcessInfo.processInfo.environment["EVENTBUS_TEST_FULL"] == "1"

    /// Returns a proxy and the settings of a client that connects through it.
    private static func proxy(
        to database: TestDatabase,
        cutting direction: CuttingProxy.Direction,
        every stride: Int,
        until end: Int
    ) throws -> (CuttingProxy, PostgresConfiguration) {
        let parts = try #require(database.url.wholeMatch(of: /(.*):([0-9]+)\/(.*)/))
        let proxy = try CuttingProxy(
            to: try #require(Int(parts.2)),
            cutting: direction,
            every: isFull ? stride : stride * 131,
            until: end
        )
        var configuration = try PostgresConfiguration("\(parts.1):\(proxy.port)/\(parts.3)")
        configuration.reconnect = ReconnectDelays(initial: .milliseconds(1), maximum: .milliseconds(1))
        return (proxy, configuration)
    }

    @Test(
        "The relay loses no event, publishes none of a rolled back transaction, and keeps the order of each key",
        arguments: [(CuttingProxy.Direction.toServer, 50_000), (.toClient, 20_000)]
    )
    func relay(direction: CuttingProxy.Direction, end: Int) async throws {
        let scene = Scene(try await TestPostgres.database())
        let (proxy, settings) = try Self.proxy(to: scene.database, cutting: direction, every: 3, until: end)
        let client = try PostgresClient(settings, logger: .quiet)
        var configuration = OutboxRelay.Configuration()
        // So that an exchange is short enough for several to fit into one connection.
        configuration.batchSize = 5
        configuration.pollInterval = .milliseconds(1)
        configuration.leaseDuration = .seconds(1)
        configuration.retry = RetryPolicy(
            maximumAttempts: 20,
            initial: .milliseconds(1),
            maximum: .milliseconds(5)
        )
        let relay = try OutboxRelay(client, bus: scene.bus, configuration: configuration, logger: .quiet)
        let session = try scene.database.session()
        let stored = Locked(0)
        let reasons = Locked<Set<String>>([])
        try await scene.run(relay) {
            var (number, cuts) = (0, -1)
            try await eventually("the conversation is over", within: .seconds(3600)) {
                // One transaction for each cut, so that the relay can keep up.
                guard proxy.cuts > cuts else { return proxy.isDone }
                cuts = proxy.cuts
                try await session.execute("BEGIN")
                _ = try await session.execute(
                    scene.outbox.row(for: OrderPlaced(orderID: "key-\(number % 5)", number: number))
                )
                let isCommitted = !number.isMultiple(of: 3)
                try await session.execute(isCommitted ? "COMMIT" : "ROLLBACK")
                number += 1
                if let reason = relay.health().reason { reasons.withLock { _ = $0.insert(reason) } }
                return proxy.isDone
            }
            let count = (0..<number).count { !$0.isMultiple(of: 3) }
            stored.withLock { $0 = count }
            // So the last connections were cut in the middle of exchanges.
            #expect(scene.arrived.count > 0)
            try await eventually("all arrive", within: .seconds(60)) {
                Set(scene.arrived.all.map(\.number)).count >= count
            }
            try await eventually("the relay is ready") { relay.health().status == .ready }
        }
        #expect(proxy.cuts > 20)
        let arrived = scene.arrived.all
        #expect(arrived.allSatisfy { !$0.number.isMultiple(of: 3) })
        #expect(Set(arrived.map(\.number)).count == stored.withLock { $0 })
        for (_, orders) in Dictionary(grouping: arrived, by: \.orderID) {
            var seen: Set<Int> = []
            let numbers = orders.map(\.number).filter { seen.insert($0).inserted }
            #expect(numbers == numbers.sorted())
        }
        let told = reasons.withLock { $0 }
        #expect(told.contains { $0.hasPrefix("the database cannot be used") }, "\(told)")
        await session.close()
        await client.close()
    }

    @Test(
        "The inbox keeps every record that it has confirmed, and every other call tells why it failed",
        arguments: [(CuttingProxy.Direction.toServer, 15_000), (.toClient, 4000)]
    )
    func inbox(direction: CuttingProxy.Direction, end: Int) async throws {
        let database = try await TestPostgres.database()
        let (proxy, settings) = try Self.proxy(to: database, cutting: direction, every: 1, until: end)
        let client = try PostgresClient(settings, logger: .quiet)
        let inbox = PostgresInbox(client)
        // Much longer than the test, so that a claim without an answer has to end in another way.
        let lease = Duration.seconds(7200)
        var (completed, errors): ([InboxKey], [EventBusError]) = ([], [])

        func attempt<Result>(_ call: () async throws -> Result) async throws -> Result? {
            do {
                return try await call()
            } catch let error as EventBusError {
                errors.append(error)
                return nil
            }
        }

        while !proxy.isDone {
            let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
            var claim: InboxClaim?
            // None is possible while every login is cut.
            try await eventually("it is claimed", within: .seconds(Self.isFull ? 3600 : 60)) {
                if case .new(let new)? = try await attempt({ try await inbox.begin(key, lease: lease) }) { claim = new }
                return claim != nil
            }
            let own = try #require(claim)
            _ = try await attempt { try await inbox.renew(own, lease: lease) }
            if try await attempt({ try await inbox.complete(own, retention: .seconds(600)) }) != nil {
                completed.append(key)
            } else {
                _ = try await attempt { try await inbox.abandon(own) }
            }
        }
        #expect(proxy.cuts > 20)
        #expect(!completed.isEmpty)
        let direct = PostgresInbox(database.client)
        for key in completed { #expect(try await direct.begin(key, lease: .seconds(1)) == .completed) }
        let codes: Set<EventBusError.Code> = [.unavailable, .indeterminate, .leaseExpired]
        #expect(errors.allSatisfy { codes.contains($0.code) && !$0.message.isEmpty }, "\(errors)")
        #expect(errors.contains { $0.code == .indeterminate })
        await client.close()
    }
}
