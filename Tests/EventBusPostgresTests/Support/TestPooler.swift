import EventBus
import EventBusTesting
import Foundation
import Glibc
import Testing

/// A pooler in transaction mode, PgBouncer, with two connections for each database.
struct TestPooler: Sendable {
    static let program = "/usr/sbin/pgbouncer"

    let port: Int
    private let pid: pid_t
    private let directory: URL

    /// Starts a pooler of the server that a connection string names. It ends by itself after some minutes.
    init(of url: String) async throws {
        let parts = try #require(url.wholeMatch(of: /postgres:\/\/(.*):(.*)@(.*):([0-9]+)\/.*/))
        let (listener, port) = try listenOnLoopback()
        Glibc.close(listener)
        self.port = port
        directory = FileManager.default.temporaryDirectory.appending(path: "eventbus-pooler-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let settings = """
            [databases]
            * = host=\(parts.3) port=\(parts.4) user=\(parts.1) password=\(parts.2)
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(port)
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = 2

            """
        let file = directory.appending(path: "pgbouncer.ini").path
        try settings.write(toFile: file, atomically: true, encoding: .utf8)
        // It refuses to run as root.
        let user = getuid() == 0 ? "setpriv --reuid=nobody --regid=nogroup --clear-groups" : ""
        if getuid() == 0 { try await run("chown", ["-R", "nobody:nogroup", directory.path]) }
        let output = try await run(
            "sh",
            ["-c", "timeout 600 \(user) \(Self.program) -q \"$1\" >\"$1.log\" 2>&1 & echo $!", "sh", file]
        )
        pid = try #require(pid_t(output.filter(\.isNumber)))
        try await eventually("the pooler accepts connections", within: .seconds(20)) {
            guard let socket = connectOnLoopback(to: port) else { return false }
            Glibc.close(socket)
            return true
        }
    }

    /// Returns the connection string of a database through the pooler.
    func url(of url: String) throws -> String {
        let parts = try #require(url.wholeMatch(of: /(.*):([0-9]+)\/(.*)/))
        return "\(parts.1):\(port)/\(parts.3)"
    }

    func stop() {
        kill(pid, SIGTERM)
        try? FileManager.default.removeItem(at: directory)
    }
}
