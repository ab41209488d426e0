internal import CPostgres
internal import EventBus

/// The rows that a statement returned, in the binary format.
///
/// Every value is checked for its type and length before it is read, because the bytes come from the server.
// Safe because a result is never changed after libpq has returned it.
final class PostgresResult: @unchecked Sendable {
    /// The identities of the types that are read, from PostgreSQL's `pg_type.dat`, which never change.
    private enum TypeID {
        static let boolean: Oid = 16
        static let bytes: Oid = 17
        static let integer64: Oid = 20
        static let integer16: Oid = 21
        static let integer32: Oid = 23
        static let texts: Set<Oid> = [19, 25, 1043]
    }

    private let pointer: OpaquePointer

    /// Creates a result that owns `pointer`.
    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        PQclear(pointer)
    }

    /// A kind of reply.
    enum Kind {
        /// The result of a statement.
        case success
        case error
        /// A statement was not carried out, because an earlier one of its batch failed.
        case aborted
        /// The end of a batch.
        case sync
        case unexpected
    }

    var kind: Kind {
        switch PQresultStatus(pointer) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK: .success
        case PGRES_FATAL_ERROR: .error
        case PGRES_PIPELINE_ABORTED: .aborted
        case PGRES_PIPELINE_SYNC: .sync
        default: .unexpected
        }
    }

    /// The number of rows.
    var count: Int { Int(PQntuples(pointer)) }

    /// The number of rows that the statement inserted, updated or deleted.
    var affectedCount: Int { PQcmdTuples(pointer).flatMap { Int(String(cString: $0)) } ?? 0 }

    /// The error that the server reported.
    var error: PostgresServerError {
        func field(_ code: Character) -> String? {
            guard let ascii = code.asciiValue else { return nil }
            return PQresultErrorField(pointer, Int32(ascii)).map { String(cString: $0) }
        }
        return PostgresServerError(
            code: field("C") ?? "",
            message: field("M") ?? PQresultErrorMessage(pointer).map { String(cString: $0) } ?? "no message",
            hint: field("H")
        )
    }

    func isNull(_ row: Int, _ column: Int) -> Bool {
        bytes(row, column) == nil
    }

    func integer(_ row: Int, _ column: Int) throws(EventBusError) -> Int64 {
        guard let number = try optionalInteger(row, column) else { throw mismatch(column, "NULL where an integer is") }
        return number
    }

    func optionalInteger(_ row: Int, _ column: Int) throws(EventBusError) -> Int64? {
        guard let bytes = bytes(row, column) else { return nil }
        let type = PQftype(pointer, Int32(clamping: column))
        switch (type, bytes.count) {
        case (TypeID.integer64, 8): return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case (TypeID.integer32, 4): return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case (TypeID.integer16, 2): return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        default: throw mismatch(column, "no integer")
        }
    }

    func boolean(_ row: Int, _ column: Int) throws(EventBusError) -> Bool {
        guard let bytes = bytes(row, column), bytes.count == 1,
            PQftype(pointer, Int32(clamping: column)) == TypeID.boolean
        else { throw mismatch(column, "no boolean") }
        return bytes[0] != 0
    }

    func text(_ row: Int, _ column: Int) throws(EventBusError) -> String {
        guard let text = try optionalText(row, column) else { throw mismatch(column, "NULL where a text is") }
        return text
    }

    func optionalText(_ row: Int, _ column: Int) throws(EventBusError) -> String? {
        guard let bytes = bytes(row, column) else { return nil }
        guard TypeID.texts.contains(PQftype(pointer, Int32(clamping: column))),
            let text = String(validating: bytes, as: UTF8.self)
        else { throw mismatch(column, "no text") }
        return text
    }

    func data(_ row: Int, _ column: Int) throws(EventBusError) -> [UInt8] {
        guard let bytes = bytes(row, column), PQftype(pointer, Int32(clamping: column)) == TypeID.bytes else {
            throw mismatch(column, "no bytes")
        }
        return Array(bytes)
    }

    /// Returns the bytes of a value, or `nil` for `NULL` and for a value that does not exist.
    private func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        guard row >= 0, row < count, column >= 0, column < Int(PQnfields(pointer)) else { return nil }
        let (row, column) = (Int32(clamping: row), Int32(clamping: column))
        guard PQfformat(pointer, column) == 1, PQgetisnull(pointer, row, column) == 0,
            let start = PQgetvalue(pointer, row, column)
        else { return nil }
        return UnsafeRawBufferPointer(start: start, count: Int(max(0, PQgetlength(pointer, row, column))))
    }

    private func mismatch(_ column: Int, _ problem: String) -> EventBusError {
        let name = PQfname(pointer, Int32(clamping: column)).map { String(cString: $0) } ?? "\(column)"
        return EventBusError(.decodingFailed, "the column \(name.quotedForError) of a stored row holds \(problem)")
    }
}
