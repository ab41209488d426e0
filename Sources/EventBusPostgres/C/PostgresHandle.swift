internal import CPostgres
internal import EventBus

/// A connection of libpq in pipeline mode.
///
/// One thread at a time uses it: the one that connects, then that of the ``PostgresConnection``.
// Safe for that reason.
final class PostgresHandle: @unchecked Sendable {
    /// The oldest server that is supported, which is the first with `pg_current_xact_id`.
    private static let oldestVersion: Int32 = 130_000
    /// The time in seconds within which one host has to accept a connection if the connection string does not say.
    private static let connectTimeout = "10"

    private let pointer: OpaquePointer

    private init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        PQfinish(pointer)
    }

    /// Connects to the first suitable host. It blocks the calling thread, at most for the timeouts of all hosts.
    static func connect(_ configuration: PostgresConfiguration) throws(EventBusError) -> PostgresHandle {
        // The last value of a keyword counts, and those of the connection string come between.
        let keywords = ["connect_timeout", "fallback_application_name", "dbname", "client_encoding"]
        let values = [connectTimeout, "eventbus", configuration.connectionString, "UTF8"]
        let pointer = withCStrings(keywords) { keywords in
            withCStrings(values) { values in PQconnectdbParams(keywords, values, 1) }
        }
        guard let pointer else { throw EventBusError(.unavailable, "no memory for a connection to PostgreSQL") }
        let handle = PostgresHandle(pointer)
        guard PQstatus(pointer) == CONNECTION_OK else { throw handle.connectionError(configuration) }
        guard PQserverVersion(pointer) >= oldestVersion else {
            throw EventBusError(.unsupported, "the server is older than PostgreSQL 13; upgrade it")
        }
        // The default one prints to standard error.
        PQsetNoticeReceiver(pointer, { _, _ in }, nil)
        guard PQsetnonblocking(pointer, 1) == 0, PQenterPipelineMode(pointer) == 1 else {
            throw EventBusError(.unavailable, "libpq cannot pipeline: \(handle.message(configuration))")
        }
        return handle
    }

    private static func withCStrings<Result>(
        _ texts: [String],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
    ) -> Result {
        var storage: [CChar] = []
        let starts = texts.map { text in
            defer { storage += text.utf8CString }
            return storage.count
        }
        return storage.withUnsafeBufferPointer { buffer in
            var pointers = starts.map { buffer.baseAddress?.advanced(by: $0) }
            pointers.append(nil)
            return pointers.withUnsafeBufferPointer { list in
                // Never empty, because its last element is `nil`.
                list.baseAddress.map(body)
            }
        }.unsafelyUnwrapped
    }

    /// The error of a failed attempt to connect.
    private func connectionError(_ configuration: PostgresConfiguration) -> EventBusError {
        let message = message(configuration)
        let refusals = ["password authentication failed", "no password supplied", "no pg_hba.conf entry"]
        if PQconnectionNeedsPassword(pointer) == 1 || refusals.contains(where: { message.contains($0) }) {
            return EventBusError(.authenticationFailed, "PostgreSQL refused the login: \(message)")
        }
        return EventBusError(.unavailable, "no connection to PostgreSQL: \(message)")
    }

    /// libpq's description of the last problem, without the password.
    func message(_ configuration: PostgresConfiguration) -> String {
        let text = PQerrorMessage(pointer).map { String(cString: $0) } ?? ""
        return configuration.redact(text.split(separator: "\n").joined(separator: " "))
    }

    /// A Boolean value indicating whether the server is on another machine and has not proved its identity.
    var isUnverified: Bool {
        let host = PQhost(pointer).map { String(cString: $0) } ?? ""
        if host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@") || host == "localhost" || host == "::1"
            || host.hasPrefix("127.")
        {
            return false
        }
        guard PQsslInUse(pointer) == 1, let options = PQconninfo(pointer) else { return true }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if String(cString: keyword) == "sslmode" {
                return option.pointee.val.map { String(cString: $0) } != "verify-full"
            }
            option += 1
        }
        return true
    }

    // MARK: Input and output

    var socket: Int32 { PQsocket(pointer) }

    /// A Boolean value indicating whether libpq still has a socket. It closes the socket when it meets invalid bytes.
    var isAlive: Bool { PQstatus(pointer) == CONNECTION_OK }

    /// Queues a statement.
    func send(_ statement: PostgresStatement) -> Bool {
        ParameterList(statement.values).withPointers { count, values, lengths, formats in
            PQsendQueryParams(pointer, statement.sql, count, nil, values, lengths, formats, 1) == 1
        }
    }

    /// Queues the end of a batch, which is one transaction unless it contains `BEGIN` or `COMMIT`.
    func sendSync() -> Bool { PQpipelineSync(pointer) == 1 }

    /// The progress of writing.
    enum Flush {
        case done
        case incomplete
        case failed
    }

    /// Writes what is queued, as far as the socket takes it.
    func flush() -> Flush {
        switch PQflush(pointer) {
        case 0: .done
        case 1: .incomplete
        default: .failed
        }
    }

    /// Reads what has arrived. Returns `false` if the connection is lost.
    func consumeInput() -> Bool { PQconsumeInput(pointer) == 1 }

    /// A part of the server's replies.
    enum Reply {
        case result(PostgresResult)
        /// The end of the results of one statement.
        case end
        /// More has to arrive first.
        case incomplete
    }

    /// Returns the next part that has arrived.
    func nextReply() -> Reply {
        if PQisBusy(pointer) == 1 { return .incomplete }
        return PQgetResult(pointer).map { .result(PostgresResult($0)) } ?? .end
    }

    /// Removes the notifications that have arrived, and returns their number.
    func takeNotifications() -> Int {
        var count = 0
        while let notification = PQnotifies(pointer) {
            PQfreemem(notification)
            count += 1
        }
        return count
    }
}
