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

    @Test func `nobody else reads their files`() async throws {
        let root = try await TestFleet.shared().directory
        let files = try #require(FileManager.default.enumerator(atPath: root))
        var count = 0
        for case let file as String in files {
            // A temporary file may be gone.
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: "\(root)/\(file)"),
                let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue,
                attributes[.type] as? FileAttributeType != .typeSymbolicLink
            else { continue }
            count += 1
            #expect(mode & 0o077 == 0, "\(file) has \(String(mode, radix: 8))")
        }
        #expect(count > 50)
        // For root, PostgreSQL runs as another user, who has to pass.
        let own = try FileManager.default.attributesOfItem(atPath: root)[.posixPermissions] as? NSNumber
        #expect([0o700, 0o711].contains(own?.intValue))
    }
}
