import Foundation
import Glibc
import Testing

@testable import Fleet

extension EndToEndTests {
    @Test("A fleet that is killed leaves no process behind")
    func killed() async throws {
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "fleet-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.path(percentEncoded: false)
        let fleet = try await RunningProcess(
            "\(FleetPaths().executables)/ShopFleet",
            arguments: ["--rate", "1", "--keep", "\(path)/files"],
            environment: ["TMPDIR": path],
            log: "\(path)/output"
        )
        try await wait(atMost: .seconds(120), every: .milliseconds(100), for: "orders in \(path)/output") {
            if let status = fleet.status { throw FleetProblem("the fleet ended with \(status), see \(path)/output") }
            return try String(contentsOfFile: "\(path)/output", encoding: .utf8).contains(" orders | ")
        }
        // At least the fleet, four services, RabbitMQ, Redis, and Erlang's name server.
        #expect(processes(ofFolder: path).count >= 8)
        await fleet.kill()
        try await wait(atMost: .seconds(30), every: .milliseconds(100), for: "the end of all processes of \(path)") {
            processes(ofFolder: path).isEmpty
        }
        try FileManager.default.removeItem(at: folder)
    }

    /// Returns the processes whose temporary directory is this folder.
    private func processes(ofFolder path: String) -> [pid_t] {
        let mark = Data("TMPDIR=\(path)\0".utf8)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { pid in
            // A process that has ended meanwhile, or is a zombie, has none.
            let environment = FileManager.default.contents(atPath: "/proc/\(pid)/environ") ?? Data()
            return environment.range(of: mark) != nil
        }
    }
}
