import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests {
    /// A broker that dies, freezes, fills up or loses a queue. Each test prints its figures.
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct BrokerFaultTests {
        /// Waits until `count` more events of the load are confirmed, or throws.
        func wait(for count: Int, _ load: Load, within limit: Duration = .seconds(20)) async throws {
            let start = load.confirmed.count
            try await eventually("\(count) more confirmed", within: limit) { load.confirmed.count >= start + count }
        }

        /// Ends the load, waits until every confirmed event was handled, and returns the number of those that were not.
        func lost(of load: Load, _ running: Task<Void, Never>, _ seen: SeenNumbers) async throws -> Int {
            load.stop()
            await running.value
            let confirmed = load.confirmed
            try await eventually(
                "every confirmed event handled; \(confirmed.subtracting(seen.all).count) are missing",
                within: .seconds(60)
            ) { confirmed.isSubset(of: seen.all) }
            return confirmed.subtracting(seen.all).count
        }

        func port(_ broker: TestBroker) throws -> Int {
            try RabbitConfiguration(uri: broker.url).hosts[0].port
        }
    }
}
