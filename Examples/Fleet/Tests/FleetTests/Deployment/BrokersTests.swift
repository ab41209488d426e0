import Foundation
import Testing

@testable import Fleet

/// The servers of tests, on a machine that others use too.
@Suite(.timeLimit(.minutes(5)))
struct BrokersTests {
    @Test func `RabbitMQ and Redis refuse whoever has no password`() async throws {
        let brokers = try await TestFleet.shared()
        let port = try #require(brokers.redis.split(separator: ":").last)
        let answer = try await Script(path: "/usr/bin/redis-cli").run("-p", String(port), "CONFIG", "GET", "dir")
        #expect(answer.contains("NOAUTH"), "\(answer)")
        await #expect(throws: FleetProblem.self) {
            _ = try await brokers.control("authenticate_user", "guest", "guest")
        }
        let login = try #require(brokers.rabbitMQ.firstMatch(of: /\/\/guest:([0-9a-f]{32})@/))
        _ = try await brokers.control("authenticate_user", "guest", String(login.1))
    }
}
