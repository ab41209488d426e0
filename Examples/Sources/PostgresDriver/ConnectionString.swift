import CLibpq

/// A connection string of libpq, which is a URI (`postgres://…`) or a list of `keyword=value`.
struct ConnectionString: Sendable, CustomStringConvertible {
    /// The text, with its password.
    let text: String
    /// The address for people, without the password.
    let description: String

    /// Parses `text`.
    ///
    /// - Throws: ``PostgresError``, without the text, which may contain a password.
    init(_ text: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard !text.utf8.contains(0), let options = PQconninfoParse(text, &message) else {
            PQfreemem(message)
            throw .invalid("the connection string of PostgreSQL cannot be read: check its form and its keywords")
        }
        defer { PQconninfoFree(options) }
        var parts: [String] = []
        var option = options
        while let keyword = option.pointee.keyword {
            let name = String(cString: keyword)
            if ["host", "hostaddr", "port", "dbname", "user"].contains(name), let value = option.pointee.val {
                parts.append("\(name)=\(String(cString: value))")
            }
            option += 1
        }
        self.text = text
        self.description = parts.isEmpty ? "the default address" : parts.joined(separator: " ")
    }

    /// Connects, and waits until the connection is established or has failed.
    ///
    /// - Returns: The connection, to be ended by `PQfinish`, or `nil` without memory.
    func connect() -> OpaquePointer? {
        // The string overrides the values before it.
        let settings = [
            ("connect_timeout", "3"), ("tcp_user_timeout", "10000"), ("dbname", text), ("client_encoding", "UTF8"),
        ]
        func withPointers(
            _ texts: [String],
            _ pointers: [UnsafePointer<CChar>?],
            _ body: ([UnsafePointer<CChar>?]) -> OpaquePointer?
        ) -> OpaquePointer? {
            guard let text = texts.first else { return body(pointers + [nil]) }
            return text.withCString { withPointers(Array(texts.dropFirst()), pointers + [$0], body) }
        }
        return withPointers(settings.map(\.0), []) { names in
            withPointers(settings.map(\.1), []) { values in PQconnectdbParams(names, values, 1) }
        }
    }
}
