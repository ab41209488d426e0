public import GRDB

extension DatabaseReader {
    /// How many rows a table has.
    public func count(of table: String) async throws -> Int {
        try await read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0 }
    }
}

extension DatabaseWriter {
    /// Changes the database behind the service's back.
    public func execute(_ sql: String) async throws {
        try await write { db in try db.execute(sql: sql) }
    }
}
