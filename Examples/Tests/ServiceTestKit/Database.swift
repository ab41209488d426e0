public import GRDB

extension DatabaseReader {
    /// Returns the number of rows of a table.
    public func count(of table: String) async throws -> Int {
        try await read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") ?? 0 }
    }
}

extension DatabaseWriter {
    /// Changes the database directly, bypassing the service.
    public func execute(_ sql: String) async throws {
        try await write { db in try db.execute(sql: sql) }
    }
}
