import EventBus
import EventBusInMemory
import EventBusTesting
import Glibc
import Testing

@testable import EventBusPostgres

@Suite("The inbox in PostgreSQL, while handlers block threads", .timeLimit(.minutes(2)))
struct InboxRenewalTests {
    /// A block that looks for three seconds whether the claim on an event is active, and fails once it is not.
    private static func watch(_ id: EventID) -> String {
        """
        DO $$ BEGIN
            FOR look IN 1..60 LOOP
                IF NOT EXISTS (
                    SELECT FROM eventbus_inbox WHERE event_id = convert_to('\(id.rawValue)', 'UTF8')
                        AND NOT is_completed AND ends_at > extract(epoch FROM clock_timestamp()) * 1000
                ) THEN RAISE EXCEPTION 'the claim has ended at look %', look; END IF;
                PERFORM pg_sleep(0.05);
            END LOOP;
        END $$
        """
    }

    @Test("A claim is renewed while handlers block every thread that tasks run on")
    func renewsWithoutTasks() async throws {
        let database = try await TestPostgres.database()
        // In a process of its own, because other tests need these threads, too.
        await #expect(processExitsWith: .success) { [url = database.url as String] in
            let problems = try await Self.problemsOfBlockingHandlers(url)
            #expect(problems == [])
            exit(problems.isEmpty ? 0 : 1)
        }
    }

    /// Handles events with handlers that block all threads, and returns what they see of claims that have ended.
    private static func problemsOfBlockingHandlers(_ url: String) async throws -> [String] {
        let client = try PostgresClient(PostgresConfiguration(url), logger: .quiet)
        let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .quiet)
        let count = 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))
        var options = SubscriptionOptions(concurrency: count, inbox: PostgresInbox(client))
        options.inboxOptions = InboxOptions(lease: .seconds(1))
        let (handled, problems) = (Collected<Int>(), Collected<String>())
        bus.subscribe(to: NoteTaken.self, group: "g", options: options) { note, context in
            // As a driver does that blocks its thread.
            do {
                try runBlocking("psql", [url, "-v", "ON_ERROR_STOP=1", "-qc", watch(context.id)])
            } catch {
                problems.add("\(error)")
            }
            handled.add(note.number)
        }
        try await bus.withRunning {
            for number in 0..<count { try await bus.publish(NoteTaken(number: number)) }
            try await eventually("all events are handled", within: .seconds(60)) { handled.count == count }
        }
        return problems.all
    }
}
