import CLibpq
import Glibc

/// A connection of libpq. Its calls block, so it belongs to an actor on a thread of its own.
final class PostgresConnection {
    private let handle: OpaquePointer
    /// The time by which the present transaction has to be done.
    var deadline: ContinuousClock.Instant

    /// Connects.
    init(_ address: ConnectionString, deadline: ContinuousClock.Instant) throws(PostgresError) {
        guard let handle = address.connect() else { throw .unavailable("there is no memory to connect to PostgreSQL") }
        guard PQstatus(handle) == CONNECTION_OK else {
            let reason = Self.message(of: handle)
            PQfinish(handle)
            throw .unavailable("no connection to PostgreSQL at \(address): \(reason)")
        }
        // Notices would be written to standard error.
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        self.handle = handle
        self.deadline = deadline
    }

    deinit {
        PQfinish(handle)
    }

    /// A Boolean value indicating whether the connection is idle outside of a transaction.
    var isIdle: Bool { PQstatus(handle) == CONNECTION_OK && PQtransactionStatus(handle) == PQTRANS_IDLE }

    /// Carries out one statement with its values, and waits for the answer.
    func execute(_ sql: String, _ values: [SQLValue]) throws(PostgresError) -> PostgresResult {
        let arguments = try Arguments(values)
        let isSent = arguments.withPointers { texts, lengths, formats in
            PQsendQueryParams(handle, sql, Int32(values.count), nil, texts, lengths, formats, 0)
        }
        return try answer(isSent: isSent == 1)
    }

    /// Carries out several statements without values.
    func executeScript(_ sql: String) throws(PostgresError) {
        _ = try answer(isSent: PQsendQuery(handle, sql) == 1)
    }

    /// Waits for the answer to what was sent. The last result counts, or the first error.
    private func answer(isSent: Bool) throws(PostgresError) -> PostgresResult {
        guard isSent else { throw lost() }
        var last = PostgresResult()
        var failure: PostgresError?
        while true {
            while PQisBusy(handle) == 1 { try receive() }
            guard let result = PQgetResult(handle) else { break }
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: last = Self.read(result)
            default: failure = failure ?? Self.error(result)
            }
        }
        if let failure { throw failure }
        guard PQstatus(handle) == CONNECTION_OK else { throw lost() }
        return last
    }

    /// Waits for bytes of the server, until the deadline at most.
    private func receive() throws(PostgresError) {
        let (seconds, attoseconds) = ContinuousClock.now.duration(to: deadline).components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0 else { throw .unavailable("PostgreSQL has not answered in time") }
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, Int32(clamping: milliseconds)) >= 0 || errno == EINTR else { throw lost() }
        if descriptor.revents != 0, PQconsumeInput(handle) == 0 { throw lost() }
    }

    private func lost() -> PostgresError {
        .unavailable("the connection to PostgreSQL is lost: \(Self.message(of: handle))")
    }

    private static func message(of handle: OpaquePointer) -> String {
        oneLine(PQerrorMessage(handle).map { String(cString: $0) } ?? "")
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).map { $0.drop(while: \.isWhitespace) }.joined(separator: "; ")
    }

    private static func error(_ result: OpaquePointer) -> PostgresError {
        let message = oneLine(PQresultErrorMessage(result).map { String(cString: $0) } ?? "")
        guard let code = PQresultErrorField(result, Int32(UInt8(ascii: "C"))) else { return .unavailable(message) }
        return .refused(sqlState: String(cString: code), message)
    }

    private static func read(_ result: OpaquePointer) -> PostgresResult {
        let width = PQnfields(result)
        let columns = Dictionary((0..<width).map { (String(cString: PQfname(result, $0)), Int($0)) }) { $1 }
        let rows = (0..<PQntuples(result)).map { row in
            PostgresRow(
                columns: columns,
                values: (0..<width).map { column in
                    PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
                }
            )
        }
        let command = String(cString: PQcmdStatus(result))
        return PostgresResult(
            rows: rows,
            affectedCount: Int(String(cString: PQcmdTuples(result))) ?? 0,
            command: command
        )
    }
}

/// The values of a statement in the memory layout that libpq takes.
private struct Arguments {
    private var bytes: [UInt8] = []
    private var starts: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    init(_ values: [SQLValue]) throws(PostgresError) {
        for value in values {
            switch value {
            case .null: add(nil, isBinary: false)
            case .text(let text):
                // The code that the server has for it.
                if text.utf8.contains(0) {
                    throw .refused(sqlState: "22021", "PostgreSQL stores no text with U+0000")
                }
                add(Array(text.utf8), isBinary: false)
            case .integer(let number): add(Array("\(number)".utf8), isBinary: false)
            case .boolean(let flag): add([UInt8(ascii: flag ? "t" : "f")], isBinary: false)
            case .bytes(let bytes): add(bytes, isBinary: true)
            }
        }
    }

    private mutating func add(_ value: [UInt8]?, isBinary: Bool) {
        starts.append(value == nil ? nil : bytes.count)
        lengths.append(Int32(clamping: value?.count ?? 0))
        formats.append(isBinary ? 1 : 0)
        guard let value else { return }
        // A text ends with a zero byte.
        bytes += value
        bytes.append(0)
    }

    func withPointers<Result>(
        _ body: ([UnsafePointer<CChar>?], [Int32], [Int32]) -> Result
    ) -> Result {
        bytes.withUnsafeBytes { memory in
            let base = memory.bindMemory(to: CChar.self).baseAddress
            return body(starts.map { start in start.flatMap { base?.advanced(by: $0) } }, lengths, formats)
        }
    }
}
